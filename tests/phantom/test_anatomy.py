"""The normal chest: same draw, same picture; dark lungs, bright heart; the patient persists."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_chest import body, film, pose
from numpy.typing import NDArray

from chestxray14.phantom.anatomy import lay_out
from chestxray14.phantom.body import mediastinum_outline
from chestxray14.phantom.film import expose


def test_the_same_seeds_draw_the_same_picture_and_others_another() -> None:
    first = film(body(1), pose(1))
    assert first.dtype == np.uint8
    assert first.shape == (128, 128)
    np.testing.assert_array_equal(first, film(body(1), pose(1)))
    assert (first != film(body(2), pose(1))).mean() > 0.5


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_lungs_are_dark_and_heart_and_abdomen_bright(seed: int, portable: bool) -> None:
    who, how = body(seed, sex="FM"[seed % 2]), pose(seed, portable=portable)
    chest = lay_out(who, how, 128)
    grey = expose(chest).astype(float)
    clear = (chest.wall > 0.04) & (np.abs(chest.x) > 0.17)
    lungs = grey[(chest.lungs[-1] + chest.lungs[1] > 0.99) & clear].mean()
    floor = max(chest.body.dome)
    heart = grey[(abs(chest.x - 0.06) < 0.05) & (abs(chest.y - floor + 0.08) < 0.05)].mean()
    abdomen = grey[(abs(chest.x) < 0.2) & (abs(chest.y - floor - 0.14) < 0.03)].mean()
    assert lungs + 60 < heart
    assert lungs + 80 < abdomen


def test_two_studies_of_a_patient_are_more_alike_than_two_patients() -> None:
    def alike(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        middle = np.s_[20:100, 20:108]
        return float(np.corrcoef(a[middle].ravel(), b[middle].ravel())[0, 1])

    poses = [pose(seed) for seed in range(4)]
    firsts = [film(body(seed), poses[0]) for seed in range(4)]
    others = [[film(body(seed), how) for how in poses[1:]] for seed in range(4)]
    same = np.mean([alike(first, other) for first, row in zip(firsts, others, strict=True)
                    for other in row])  # fmt: skip
    strangers = np.mean([alike(firsts[i], other) for i in range(4) for j in range(4) if i != j
                         for other in others[j]])  # fmt: skip
    assert same > strangers + 0.01


def test_an_ap_film_magnifies_the_heart_and_raises_the_domes() -> None:
    who = body(5)
    upright = lay_out(who, pose(5), 128)
    lying = lay_out(who, replace(pose(5), portable=True, breath=0.05), 128)
    spans = [np.ptp(mediastinum_outline(chest.body)[:, 0]) for chest in (upright, lying)]
    assert spans[1] / spans[0] == pytest.approx(1.1, abs=0.02)
    assert max(lying.body.dome) < max(upright.body.dome)
