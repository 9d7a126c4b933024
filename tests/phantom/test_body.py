"""The body: curves through their points, outlines where the measures say."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_chest import body

from chestxray14.phantom.body import (
    SIDES,
    chest_wall,
    hilum,
    lung_outline,
    mediastinum_outline,
    spline,
)


def test_a_spline_passes_through_its_points() -> None:
    points = np.array([(0.0, 0.0), (1.0, 2.0), (3.0, 1.0)])
    np.testing.assert_allclose(spline(points)[::8], points)
    np.testing.assert_allclose(spline(points, closed=True)[::8], points)


@pytest.mark.parametrize("side", SIDES)
def test_a_lung_keeps_to_its_side_inside_the_wall_and_above_its_angle(side: int) -> None:
    who = body(1)
    x, y = lung_outline(who, side).T
    assert (side * x > 0).all()
    assert np.abs(x).max() <= np.abs(chest_wall(who, side)[:, 0]).max() <= who.width
    assert y.min() == pytest.approx(who.apex, abs=0.02)
    assert y.max() == pytest.approx(who.dome[side > 0] + who.sulcus, abs=0.02)


def test_the_left_hilum_is_higher_and_the_mediastinum_moves_as_a_whole() -> None:
    who = replace(body(1), shift=0.0)
    pushed = replace(who, shift=0.03)
    (right, low), (left, high) = hilum(who, -1), hilum(who, 1)
    assert right == -left
    assert high < low
    assert hilum(pushed, 1) == pytest.approx((left + 0.03, high))
    moved = mediastinum_outline(pushed) - mediastinum_outline(who)
    np.testing.assert_allclose(moved, np.broadcast_to([0.03, 0.0], moved.shape), atol=1e-12)
