import io

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chestxray14.base.findings import FINDINGS, NO_FINDING
from chestxray14.report.examples import choose_examples, show_example

NAME = "00000001_000.png"


def make_labels(sick: int, well: int) -> pd.DataFrame:
    """Return labels of images, the first `sick` of them with one finding or another."""
    rows = np.zeros((sick + well, 14), dtype=np.uint8)
    rows[np.arange(sick), np.arange(sick) % 14] = 1
    names = [f"{number:08d}_000.png" for number in range(len(rows))]
    return pd.DataFrame(rows, columns=list(FINDINGS), index=pd.Index(names))


def gradient(px: int) -> NDArray[np.uint8]:
    return np.add.outer(np.arange(px), np.arange(px)).astype(np.uint8)


def decode(picture: bytes) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    assert image.mode == "L"
    return np.asarray(image)


def chunks(picture: bytes) -> list[bytes]:
    """List the kinds of chunks in a PNG, read by its specification."""
    kinds, place = [], 8
    while place < len(picture):
        kinds.append(picture[place + 4 : place + 8])
        place += 12 + int.from_bytes(picture[place : place + 4], "big")
    return kinds


LABELS = make_labels(3, 1).set_axis([NAME, "b", "c", "d"])
PROBABILITIES = pd.DataFrame(0.1, index=LABELS.index, columns=list(FINDINGS))


def test_a_small_image_keeps_every_pixel() -> None:
    pixels = gradient(128)
    example = show_example(NAME, pixels, labels=LABELS, probabilities=PROBABILITIES)
    assert np.array_equal(decode(example.picture), pixels)
    assert example.image == NAME


def test_a_large_image_is_reduced_to_256_pixels_with_antialiasing() -> None:
    # A pattern finer than the small image can show becomes its mean; picking pixels would not.
    pixels = (np.indices((1024, 1024)).sum(axis=0) % 2 * 200).astype(np.uint8)
    example = show_example(NAME, pixels, labels=LABELS, probabilities=PROBABILITIES)
    small = decode(example.picture)
    assert small.shape == (256, 256)
    assert np.abs(small.astype(int) - 100).max() <= 2


def test_a_picture_carries_pixels_alone_and_the_same_bytes_each_time() -> None:
    first, second = (
        show_example(NAME, gradient(300), labels=LABELS, probabilities=PROBABILITIES)
        for _ in range(2)
    )
    assert first == second
    assert set(chunks(first.picture)) == {b"IHDR", b"IDAT", b"IEND"}


def test_a_read_only_row_of_a_larger_array_can_be_shown() -> None:
    images = np.stack([gradient(64), gradient(64)[::-1]])
    images.setflags(write=False)
    example = show_example(NAME, images[1], labels=LABELS, probabilities=PROBABILITIES)
    assert np.array_equal(decode(example.picture), images[1])


def test_the_five_highest_predictions_come_first_and_equal_ones_in_the_order_of_findings() -> None:
    probabilities = PROBABILITIES.copy()
    probabilities.loc[NAME, ["Hernia", "Edema", "Mass"]] = [0.9, 0.2, 0.4]
    example = show_example(
        NAME, gradient(8), labels=LABELS, probabilities=probabilities[list(FINDINGS[::-1])]
    )
    assert example.predictions == (
        ("Hernia", 0.9),
        ("Mass", 0.4),
        ("Edema", 0.2),
        ("Atelectasis", 0.1),
        ("Cardiomegaly", 0.1),
    )


def test_a_network_of_two_findings_has_two_predictions_and_never_no_finding() -> None:
    few = PROBABILITIES[["Mass", "Nodule"]].assign(**{NO_FINDING: 0.9})
    example = show_example(NAME, gradient(8), labels=LABELS, probabilities=few)
    assert example.predictions == (("Mass", 0.1), ("Nodule", 0.1))


def test_truth_has_the_labelled_findings_and_never_no_finding() -> None:
    labels = LABELS.assign(**{NO_FINDING: [0, 0, 0, 1]})
    labels.loc[NAME, "Hernia"] = 1
    sick, well = (
        show_example(name, gradient(8), labels=labels, probabilities=PROBABILITIES)
        for name in (NAME, "d")
    )
    assert sick.truth == ("Atelectasis", "Hernia")
    assert well.truth == ()


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    labels = make_labels(40, 60)
    chosen = choose_examples(labels, count=8, seed=0)
    assert choose_examples(labels.sample(frac=1, random_state=1), count=8, seed=0) == chosen
    assert choose_examples(labels[::-1], count=8, seed=0) == chosen
    assert choose_examples(labels, count=8, seed=1) != chosen
    assert len(set(chosen)) == 8


def test_a_quarter_shows_nothing_rounded_down() -> None:
    labels = make_labels(40, 60).assign(**{NO_FINDING: 1, "age": 50})
    for count, well in ((8, 2), (12, 3), (7, 1), (3, 0), (0, 0)):
        chosen = choose_examples(labels, count=count, seed=3)
        assert len(chosen) == count
        assert sum(not labels.loc[name, list(FINDINGS)].any() for name in chosen) == well


def test_too_few_of_one_kind_are_all_taken_and_not_filled_up() -> None:
    assert len(choose_examples(make_labels(50, 1), count=8, seed=0)) == 6 + 1
    assert len(choose_examples(make_labels(2, 50), count=8, seed=0)) == 2 + 2
    assert choose_examples(make_labels(0, 0), count=8, seed=0) == []


def test_every_image_may_be_drawn() -> None:
    labels = make_labels(6, 2)
    drawn = {name for seed in range(60) for name in choose_examples(labels, count=4, seed=seed)}
    assert drawn == set(labels.index)
