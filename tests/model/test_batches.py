import logging

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_index
from tiny import CPU, tiny_part

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.model import batches as module
from chestxray14.model.batches import (
    Part,
    copy_to,
    count_steps,
    fits,
    keep_on_device,
    ordered_batches,
    read_ahead,
    sample_part,
    select_part,
    shuffled_batches,
)

INDEX = make_index(11)
IMAGES = np.arange(len(INDEX), dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), dtype=np.uint8)
SPLIT = pd.DataFrame({"image": INDEX["image"], "part": ["train"] * 30 + ["val", "test", "test"]})
TRAIN = select_part(IMAGES, INDEX, SPLIT, part="train")
PART = tiny_part(10)
ROWS = np.array([7, 2, 9])
SOME = Part(PART.images, ROWS, [PART.names[i] for i in ROWS], PART.labels[ROWS])
META = torch.device("meta")


@pytest.mark.parametrize("batch", [2, 7, 29, 30, 64])
def test_an_epoch_shows_every_image_once_beside_its_own_labels(batch: int) -> None:
    batches = list(shuffled_batches(TRAIN, batch=batch, seed=0, epoch=0, device=CPU))
    seen = torch.cat([images[:, 0, 0] for images, _ in batches]).numpy()
    labels = torch.cat([labels for _, labels in batches]).numpy()
    assert sorted(seen) == list(range(30))
    np.testing.assert_array_equal(labels, INDEX[list(FINDINGS)].to_numpy()[seen])
    assert len(batches) == count_steps(TRAIN, batch=batch)
    sizes = {len(images) for images, _ in batches}
    assert max(sizes) <= batch
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1


def test_an_odd_number_of_images_leaves_no_batch_of_one() -> None:
    split = SPLIT.assign(part=["train"] * 5 + ["val"] * 28)
    part = select_part(IMAGES, INDEX, split, part="train")
    batches = shuffled_batches(part, batch=2, seed=0, epoch=0, device=CPU)
    assert sorted(len(images) for images, _ in batches) == [2, 3]


def order(seed: int, epoch: int) -> list[int]:
    batches = shuffled_batches(TRAIN, batch=8, seed=seed, epoch=epoch, device=CPU)
    return torch.cat([images[:, 0, 0] for images, _ in batches]).tolist()


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert order(0, 3) == order(0, 3)
    assert len({tuple(order(*key)) for key in ((0, 0), (0, 1), (1, 0), (1, 1))}) == 4


def test_prediction_keeps_the_order_of_the_index() -> None:
    batches = ordered_batches(TRAIN, batch=8, device=CPU)
    assert torch.cat([images[:, 0, 0] for images, _ in batches]).tolist() == list(range(30))


def test_labels_are_those_of_the_named_findings_in_their_order() -> None:
    part = select_part(IMAGES, INDEX, SPLIT, part="val", findings=("Hernia", "Mass"))
    expected = INDEX.loc[INDEX["image"].isin(part.names), ["Hernia", "Mass"]]
    np.testing.assert_array_equal(part.labels.numpy(), expected.to_numpy())


def test_a_sample_is_drawn_by_its_seed_in_order_with_its_own_labels() -> None:
    drawn = sample_part(TRAIN, at_most=9, seed=3)
    assert drawn.names == sample_part(TRAIN, at_most=9, seed=3).names == sorted(drawn.names)
    assert drawn.names != sample_part(TRAIN, at_most=9, seed=4).names
    rows = INDEX.set_index("image").loc[drawn.names]
    np.testing.assert_array_equal(drawn.rows, rows["row"])
    np.testing.assert_array_equal(drawn.labels.numpy(), rows[list(FINDINGS)])
    assert sample_part(TRAIN, at_most=99, seed=0).names == TRAIN.names


def test_a_split_of_other_data_is_refused() -> None:
    strange = pd.DataFrame({"image": ["strange.png"], "part": ["train"]})
    with pytest.raises(InputError, match="names 1 images that the packed data lacks"):
        select_part(IMAGES, INDEX, strange, part="train")


def test_an_index_of_other_images_is_refused() -> None:
    last = len(INDEX) - 1
    with pytest.raises(InputError, match=rf"names row {last} of {last} packed images"):
        select_part(IMAGES[:last], INDEX, SPLIT, part="test")


def test_a_part_fits_while_half_of_the_memory_stays_free() -> None:
    needed = 3 * 32 * 32
    assert fits(SOME, free=needed + 5000, total=10_000)
    assert not fits(SOME, free=needed + 4999, total=10_000)


def test_only_the_parts_own_rows_are_brought_and_keep_their_order() -> None:
    brought = copy_to(SOME, CPU)
    assert isinstance(brought.images, torch.Tensor)
    np.testing.assert_array_equal(brought.images.numpy(), np.asarray(PART.images)[ROWS])
    for draw in (
        lambda part: ordered_batches(part, batch=2, device=CPU),
        lambda part: shuffled_batches(part, batch=2, seed=0, epoch=1, device=CPU),
    ):
        for expected, found in zip(draw(SOME), draw(brought), strict=True):
            assert all(torch.equal(*pair) for pair in zip(expected, found, strict=True))


def test_a_part_larger_than_a_chunk_is_brought_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 4)
    brought = copy_to(PART, CPU)
    assert isinstance(brought.images, torch.Tensor)
    np.testing.assert_array_equal(brought.images.numpy(), PART.images)


def test_features_are_brought_in_their_own_precision() -> None:
    features = torch.rand(10, 5).bfloat16()
    brought = copy_to(Part(features, ROWS, SOME.names, SOME.labels), CPU)
    assert torch.equal(torch.as_tensor(brought.images), features[ROWS])


def test_on_a_device_batches_are_picked_there() -> None:
    # The device `meta` has shapes and no content, and refuses to be mixed with the CPU.
    brought = copy_to(SOME, META)
    [(images, labels)] = shuffled_batches(brought, batch=4, seed=0, epoch=0, device=META)
    assert (images.device, labels.device) == (META, META)
    assert images.shape == (3, 32, 32)
    assert images.dtype == torch.uint8


def test_a_gpu_with_too_little_free_memory_streams_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (6 * 10**9, 12 * 10**9))
    assert keep_on_device(SOME, torch.device("cuda")) is SOME
    assert "are streamed: 6.0 of the GPU's 12.0 GB are free" in caplog.text
    assert keep_on_device(SOME, CPU) is SOME


def test_the_next_batch_is_read_while_one_is_in_use_and_none_before() -> None:
    begun: list[int] = []

    def load(chosen: np.ndarray) -> int:
        begun.append(int(chosen[0]))
        return int(chosen[0])

    batches = [np.array([i]) for i in range(5)]
    seen = []
    for item in read_ahead(load, batches):
        seen.append(item)
        assert max(begun) <= item + 1
    assert seen == begun == [0, 1, 2, 3, 4]


def test_what_fails_while_reading_ahead_is_raised_where_the_batch_is_used() -> None:
    def load(chosen: np.ndarray) -> int:
        return 1 // int(chosen[0])

    batches = read_ahead(load, [np.array([1]), np.array([0])])
    assert next(batches) == 1
    with pytest.raises(ZeroDivisionError):
        next(batches)
