"""Opacities: brighter than lung, of the size their name says, in place of air."""

import numpy as np
import pytest
from drawn_chest import body, lung_change, pose, study

from chestxray14.phantom.anatomy import lay_out
from chestxray14.phantom.opacities import fill
from chestxray14.phantom.sites import Site


def test_a_nodule_is_smaller_and_a_mass_larger_than_three_centimetres() -> None:
    site = Site(side=-1, across=0.5, down=0.4, size=0.3, seed=1)
    spans = {
        finding: np.array(study({finding: 0.5}, seed=2, site=site)[1][finding][2:])
        for finding in ("Nodule", "Mass")
    }
    centimetre = 1024 / 40
    # A box keeps what exceeds a third of the peak, a little less than the whole ball.
    assert spans["Nodule"].max() < 3 * centimetre
    assert spans["Mass"].min() > 2.5 * centimetre


@pytest.mark.parametrize("finding", ["Consolidation", "Mass", "Pneumonia", "Edema"])
def test_an_opacity_brightens_the_lung(finding: str) -> None:
    assert np.mean([lung_change(finding, seed).mean() for seed in range(3)]) > 8


def test_a_full_opacity_leaves_no_air_and_an_open_bronchus_some() -> None:
    solid, open_airways = lay_out(body(), pose(), 128), lay_out(body(), pose(), 128)
    everywhere = np.ones_like(solid.x)
    where = fill(solid, everywhere)
    fill(open_airways, everywhere, bronchi=0.5)
    np.testing.assert_allclose(solid.air, 0, atol=1e-6)
    assert where.max() == pytest.approx(1)
    assert where[:4].max() == pytest.approx(0)
    assert 0.3 < open_airways.air.max() < 0.8
