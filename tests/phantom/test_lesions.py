"""Each finding changes the picture where it says, and the more the stronger it is."""

import numpy as np
import pytest
from drawn_chest import body, inside, lung_change, study

from chestxray14.base.findings import BOXED_FINDINGS, FINDINGS


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_changes_the_picture_most_inside_its_box(finding: str, seed: int) -> None:
    normal, _ = study({}, seed=seed)
    ill, boxes = study({finding: 0.8}, seed=seed)
    box = inside(boxes[finding])
    # Exposure adapts to the whole chest: what counts is the change beyond a common shift.
    difference = ill - normal
    change = np.abs(difference - np.median(difference[~box]))
    assert change[box].mean() > 3
    assert change[box].mean() > 1.5 * change[~box].mean()


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_stronger_finding_changes_more(finding: str) -> None:
    changes = []
    for strength in (0.05, 0.5, 0.95):
        differences = [
            np.abs(study({finding: strength}, seed=seed)[0] - study({}, seed=seed)[0]).mean()
            for seed in range(2)
        ]
        changes.append(np.mean(differences))
    assert 0 < changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("finding", BOXED_FINDINGS)
def test_a_box_lies_inside_the_picture(finding: str) -> None:
    for seed in range(6):
        x, y, width, height = study({finding: seed / 5}, seed=seed)[1][finding]
        assert width > 0
        assert height > 0
        assert x >= 0
        assert y >= 0
        assert x + width <= 1024
        assert y + height <= 1024


def test_cardiomegaly_makes_the_heart_wider_than_half_the_chest() -> None:
    who = body(0)
    _, boxes = study({"Cardiomegaly": 1.0}, seed=0)
    assert boxes["Cardiomegaly"][2] / 1024 > 0.5 * 2 * who.width


def test_an_effusion_brightens_the_lung() -> None:
    assert np.mean([lung_change("Effusion", seed).mean() for seed in range(3)]) > 8


def test_emphysema_darkens_the_lungs() -> None:
    assert np.mean([lung_change("Emphysema", seed).mean() for seed in range(3)]) < -3


def test_a_pneumothorax_is_darker_than_lung_and_the_lung_beside_it_denser() -> None:
    changes = [np.percentile(lung_change("Pneumothorax", seed), (10, 90)) for seed in range(3)]
    darkest, brightest = np.mean(changes, axis=0)
    assert darkest < -5
    assert brightest > 5
