"""A site lies between its landmarks, on its side."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_chest import body, pose

from chestxray14.phantom.anatomy import lay_out
from chestxray14.phantom.body import SIDES
from chestxray14.phantom.sites import Site, draw_site, locate, one_side


@pytest.mark.parametrize("side", SIDES)
def test_a_site_goes_from_apex_to_dome_and_from_the_middle_towards_the_wall(side: int) -> None:
    chest = lay_out(body(), pose(), 64)
    high = Site(side=side, across=0.0, down=0.0, size=0.5, seed=0)
    assert locate(chest, high) == pytest.approx((0.07 * side, chest.body.apex))
    x, y = locate(chest, replace(high, across=1.0, down=1.0))
    assert y == pytest.approx(chest.body.dome[side > 0])
    assert 0.9 * chest.body.width < side * x < chest.body.width


def test_the_two_sides_part_at_the_midline_and_add_up_to_the_picture() -> None:
    chest = lay_out(body(), pose(), 64)
    right, left = (one_side(chest, side) for side in SIDES)
    np.testing.assert_allclose(right + left, 1, atol=1e-6)
    assert (left[chest.x > 0.02] == 1).all()
    assert (left[chest.x < -0.02] == 0).all()


def test_sites_fill_both_sides_and_every_height() -> None:
    rng = np.random.default_rng(0)
    sites = [draw_site(rng) for _ in range(400)]
    assert np.mean([site.side == 1 for site in sites]) == pytest.approx(0.5, abs=0.1)
    for name in ("across", "down", "size"):
        values = [getattr(site, name) for site in sites]
        assert np.quantile(values, (0.1, 0.5, 0.9)) == pytest.approx((0.1, 0.5, 0.9), abs=0.08)
