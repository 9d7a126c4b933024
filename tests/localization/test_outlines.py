"""The share of heat inside outlines, held against matplotlib's point-in-polygon and plain sums."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.path import Path as Polygon

from chestxray14.localization.outlines import fill, measure_heat

STAR = "512 100 620 400 930 400 680 590 770 900 512 710 250 900 340 590 100 400 400 400"
SQUARE = "256 256 767 256 767 767 256 767"


def inside(outline: str) -> np.ndarray:
    """Return which of 1024 x 1024 pixels have their middle in a polygon."""
    points = np.array(outline.split(), dtype=float).reshape(-1, 2)
    x, y = np.meshgrid(np.arange(1024), np.arange(1024))
    held = Polygon(points).contains_points(np.column_stack([x.ravel(), y.ravel()]))
    return held.reshape(1024, 1024)


@pytest.mark.parametrize("outline", [STAR, SQUARE])
def test_cells_are_covered_as_their_pixels_are(outline: str) -> None:
    expected = inside(outline).reshape(64, 16, 64, 16).mean(axis=(1, 3))
    found = fill([outline], cells=64)
    # The outline itself belongs to what it surrounds: a pixel's width of 16.
    assert np.abs(found - expected).max() < 0.15
    assert found.mean() == pytest.approx(expected.mean(), abs=0.004)


def test_outlines_that_overlap_count_once() -> None:
    np.testing.assert_array_equal(
        fill([SQUARE, SQUARE, STAR], cells=32), fill([STAR, SQUARE], cells=32)
    )


def outlines(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image", "finding", "outline"])


def test_heat_is_what_a_map_has_above_its_lowest_place() -> None:
    heatmap = np.full((4, 4), 3.0)
    heatmap[1, 1], heatmap[0, 0], heatmap[3, 3] = 9.0, 5.0, np.nan
    found = measure_heat(
        heatmap[None, None],
        images=["a.png"],
        findings=["Mass"],
        outlines=outlines(("a.png", "Mass", SQUARE)),
    )
    assert found.inside == {"mean": 0.75, "Mass": 0.75}
    assert found.area["Mass"] == pytest.approx(0.25, abs=1e-3)


def test_findings_are_means_over_their_images_and_flat_maps_have_the_area() -> None:
    maps = np.zeros((2, 2, 4, 4))
    maps[0, 0, 2, 2] = 1  # a.png, Nodule: all of it inside
    maps[1, 0, 0, 0] = 1  # b.png, Nodule: none
    found = measure_heat(
        maps,
        images=["a.png", "b.png"],
        findings=["Nodule", "Mass"],
        outlines=outlines(
            *(("a.png", "Nodule", SQUARE), ("b.png", "Nodule", SQUARE)),
            ("a.png", "Mass", SQUARE),
        ),
    )
    assert list(found.inside) == ["mean", "Nodule", "Mass"]
    assert found.inside["Nodule"] == 0.5
    assert found.inside["Mass"] == found.area["Mass"]
    assert found.images == {"Nodule": 2, "Mass": 1}


def test_without_outlines_there_is_no_mean() -> None:
    found = measure_heat(np.zeros((0, 1, 4, 4)), images=[], findings=["Mass"], outlines=outlines())
    assert (found.inside, found.images) == ({}, {})
