import io

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from chestxray14.localization.overlays import (
    FOUND_COLOUR,
    OPACITY,
    SMALLEST_SIDE,
    TRUTH_COLOUR,
    draw_overlay,
    encode,
)

GREY = np.full((64, 64), 100, np.uint8)


def open_overlay(heatmap: np.ndarray, pixels: np.ndarray = GREY) -> np.ndarray:
    return np.asarray(
        draw_overlay(pixels, heatmap.astype(np.float32), captions=("Mass 0.5", "not"))
    )


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


def test_boxes_lie_where_they_are_in_a_picture_of_1024_pixels() -> None:
    truth, found = np.array([[256.0, 512.0, 128.0, 256.0]]), np.array([[0.0, 0.0, 1024.0, 1024.0]])
    picture = np.asarray(
        draw_overlay(GREY, np.zeros((64, 64), np.float32), captions=(), truth=truth, found=found)
    )
    corners = [(256, 128), (256, 191), (383, 128), (383, 191)]
    for row, column in corners:
        assert tuple(picture[row, column]) == TRUTH_COLOUR
    for row, column in ((0, 0), (511, 511), (1, 300)):
        assert tuple(picture[row, column]) == FOUND_COLOUR
    for row, column in ((255, 127), (384, 192), (320, 160), (5, 5)):
        assert tuple(picture[row, column]) == (100, 100, 100)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_holds_the_picture(kind: str) -> None:
    picture = draw_overlay(GREY, np.eye(64, dtype=np.float32), captions=("Mass",))
    content = encode(picture, kind=kind)
    opened = Image.open(io.BytesIO(content))
    assert (opened.format, opened.size) == (kind, picture.size)
    error = np.asarray(opened, dtype=float) - np.asarray(picture)
    assert np.abs(error).mean() < (3 if kind == "JPEG" else 1e-9)
    assert content == encode(picture, kind=kind)
