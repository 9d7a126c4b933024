"""The film: strokes land where they should, and exposure keeps the strips of the collimator."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_chest import body, film, pose

from chestxray14.phantom.anatomy import lay_out
from chestxray14.phantom.film import Stroke, paint


def test_a_painted_square_covers_its_area_where_it_lies() -> None:
    still = replace(pose(), dx=0.0, dy=0.0, angle=0.0, zoom=1.0, stretch=1.0)
    chest = lay_out(body(), still, 128)
    square = np.array([(-0.25, 0.25), (0.0, 0.25), (0.0, 0.5), (-0.25, 0.5)])
    cover = paint(chest, [Stroke(square)], blur=0.0)
    assert cover.mean() == pytest.approx(0.25**2, rel=0.04)
    rows, columns = np.nonzero(cover > 0.5)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == pytest.approx(
        (32, 63, 32, 63), abs=1
    )


@pytest.mark.parametrize("other", [256, 512])
def test_the_picture_is_the_same_at_every_size(other: int) -> None:
    calm = replace(pose(3), noise=0.0)
    small, large = film(body(3), calm).astype(float), film(body(3), calm, other)
    times = other // 128
    reduced = large.reshape(128, times, 128, times).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), reduced.ravel())[0, 1] > 0.995
    assert np.abs(small - reduced).mean() < 5


def test_what_the_collimator_keeps_out_is_black_and_the_rest_unchanged() -> None:
    whole = film(body(), pose())
    narrow = film(body(), replace(pose(), border=(0.125, 0, 0, 0.25), border_grey=0.0))
    seen = np.s_[:96, 16:]
    np.testing.assert_array_equal(narrow[seen], whole[seen])
    narrow[seen] = 0
    assert not narrow.any()


def test_the_letter_shines_in_its_corner_alone() -> None:
    marked = replace(pose(), marker=(0.94, 0.05, 0.05))
    maps = [lay_out(body(), how, 128).extra for how in (pose(), marked)]
    rows, columns = np.nonzero(np.abs(maps[1] - maps[0]) > 0.5)
    assert len(rows) > 5
    assert 0.05 * 128 - 2 <= rows.min() <= rows.max() <= 0.10 * 128 + 2
    assert 0.92 * 128 - 2 <= columns.min() <= columns.max() <= 0.96 * 128 + 2
