import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from chestxray14.overlays import OPACITY, SMALLEST_SIDE, caption, draw_overlay, name_pictures
from chestxray14.single_image import NOTICE, Answer

GREY = np.full((64, 64), 100, np.uint8)


def open_overlay(heatmap: np.ndarray, pixels: np.ndarray = GREY) -> np.ndarray:
    content = draw_overlay(pixels, heatmap.astype(np.float32), captions=("Mass 0.5", NOTICE))
    picture = Image.open(io.BytesIO(content))
    assert picture.format == "PNG"
    return np.asarray(picture)


def test_the_strongest_place_has_the_last_colour_and_the_rest_stays_grey() -> None:
    heatmap = np.zeros((64, 64))
    heatmap[40:56, 8:24] = 3.0
    heatmap[:8] = -5.0
    picture = open_overlay(heatmap)
    last = np.array(colormaps["plasma"](1.0)[:3]) * 255
    np.testing.assert_allclose(picture[384, 128], 100 * (1 - OPACITY) + last * OPACITY, atol=1)
    for place in ((10, 10), (200, 400), (384, 384)):
        np.testing.assert_array_equal(picture[place], [100, 100, 100])


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_map_without_anything_leaves_the_radiograph(value: float) -> None:
    picture = open_overlay(np.full((64, 64), value))
    assert (picture[:SMALLEST_SIDE] == 100).all()


def test_small_radiographs_are_enlarged_large_ones_kept_and_captions_lie_below() -> None:
    for px, side in ((64, SMALLEST_SIDE), (600, 600)):
        picture = open_overlay(np.zeros((px, px)), np.full((px, px), 100, np.uint8))
        assert picture.shape[1] == side
        assert (picture[:side] == 100).all()
        assert picture[side:].max() == 255


def test_a_caption_has_finding_probability_and_what_it_is_not() -> None:
    answer = Answer("Mass", raw=0.25, calibrated=0.5, threshold=None)
    first, second = caption(answer, recipe="best", drawn=True)
    assert first == "Mass 0.500 calibrated (0.250 raw), best"
    assert second == f"{NOTICE} best was trained on drawn images."
    raw = Answer("Mass", raw=0.25, calibrated=None, threshold=None)
    assert caption(raw, recipe="best", drawn=False) == ("Mass 0.250 raw, best", NOTICE)


def test_every_file_has_a_name_of_its_own() -> None:
    files = ["a/x.png", "b/X.jpg", "x-2.png", "1.2.840.1", "1.2.840.2", "y" * 300 + ".png"]
    names = name_pictures([Path(file) for file in files])
    assert names[:5] == ["x", "X-2", "x-2-2", "1.2.840.1", "1.2.840.2"]
    assert len(names[5]) == 100
