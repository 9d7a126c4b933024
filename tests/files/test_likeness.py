from pathlib import Path

import numpy as np
import pytest
from drawn_chest import body, film, pose
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

from chestxray14.data.images import decode, pack
from chestxray14.files.likeness import CELLS, LEAST_LIKENESS, find_look, is_like

Picture = NDArray[np.uint8]


def draw_chests(count: int, *, first: int) -> list[Picture]:
    return [
        film(body(seed), pose(seed, portable=seed % 2 == 0), 64)
        for seed in range(first, first + count)
    ]


TURNED = {
    "upside down": lambda image: image[::-1],
    "half a turn": lambda image: image[::-1, ::-1],
    "to the left": np.rot90,
    "to the right": lambda image: np.rot90(image, -1),
    "negative": lambda image: 255 - image,
}


def is_like_each(images: list[Picture], look: tuple[float, ...]) -> list[bool]:
    return [is_like(np.ascontiguousarray(image), look) for image in images]


def test_drawn_chests_are_like_others_and_not_like_them_turned() -> None:
    look, others = find_look(draw_chests(12, first=0)), draw_chests(12, first=50)
    assert all(is_like_each(others, look))
    for turn in TURNED.values():
        assert not any(is_like_each([turn(image) for image in others], look))


def test_likeness_is_spearmans_correlation_with_the_mean_of_ranks() -> None:
    rng = np.random.default_rng(0)
    chest = draw_chests(1, first=0)[0]
    look = find_look([chest])
    cells = np.asarray(Image.fromarray(chest).resize((CELLS, CELLS), Image.Resampling.BOX))
    for noise in (20, 120, 200, 300):
        image = (chest + rng.normal(0, noise, (CELLS, CELLS)).repeat(4, 0).repeat(4, 1)).clip(
            0, 255
        )
        picture = image.astype(np.uint8)
        small = Image.fromarray(picture).resize((CELLS, CELLS), Image.Resampling.BOX)
        likeness = spearmanr(np.ravel(small), cells.ravel()).statistic
        if abs(likeness - LEAST_LIKENESS) > 0.05:
            assert is_like(picture, look) == (likeness > LEAST_LIKENESS)


@pytest.mark.parametrize("px", [32, 50, 64])
def test_neither_exposure_nor_the_packed_size_counts(px: int) -> None:
    look = find_look(draw_chests(5, first=0))
    image = Image.fromarray(draw_chests(1, first=9)[0])
    dark = np.asarray(image.point(lambda value: value**2 / 255).resize((px, px)))
    assert is_like(dark, look)
    assert not is_like(np.full((px, px), 90, np.uint8), look)


def test_real_chests_are_like_other_patients_and_foreign_pictures_are_not(
    nih_sample: Path,
) -> None:
    by_patient: dict[str, list[Picture]] = {}
    for file in sorted(nih_sample.rglob("*.png")):
        image = pack(decode(file.read_bytes(), name=file.name), px=64)
        by_patient.setdefault(file.name[:8], []).append(image)
    patients = list(by_patient.values())
    halves = [[image for several in patients[side::2] for image in several] for side in (0, 1)]
    assert sum(map(len, halves)) == 147
    for known, others in (halves, halves[::-1]):
        look = find_look(known)
        assert all(is_like_each(others, look))
        for turn in TURNED.values():
            assert np.mean(is_like_each([turn(image) for image in others], look)) < 0.03
        liked = is_like_each(read_foreign(), look)
        assert len(liked) >= 20
        assert np.mean(liked) < 0.1


def read_foreign() -> list[Picture]:
    """Return a cat, faces, coins, text, textures, stars: the pictures that scikit-image ships."""
    data = pytest.importorskip("skimage").__path__[0]
    files = [*Path(data, "data").glob("*.png"), *Path(data, "data").glob("*.jpg")]
    return [pack(Image.open(file).convert("L"), px=64) for file in files]
