"""Each finding changes the picture where it says, and the more the stronger it is."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from chestxray14 import anatomy
from chestxray14.findings import BOXED_FINDINGS, FINDINGS
from chestxray14.lesions import Box, Lesion, Site, draw_site, draw_study

PX = 128


def study(
    findings: dict[str, float], *, seed: int, site: Site | None = None
) -> tuple[NDArray[np.float64], dict[str, Box]]:
    """Return a film without noise and its boxes; the same patient for the same seed."""
    rng = np.random.default_rng(seed)
    body = anatomy.draw_body(rng, age=50, sex="M")
    pose = anatomy.draw_pose(rng, portable=False)
    pose = replace(pose, noise=0.0, border=(0, 0, 0, 0), wires=0, scatter=0.03, contrast=1.0)
    drawn = draw_site(rng)
    lesions = {f: Lesion(site or drawn, strength) for f, strength in findings.items()}
    grey, boxes = draw_study(body, pose, lesions, PX)
    return grey.astype(float), boxes


def inside(box: Box) -> NDArray[np.bool_]:
    x, y, width, height = (value * PX / 1024 for value in box)
    at = np.arange(PX) + 0.5
    rows, columns = (at > y) & (at < y + height), (at > x) & (at < x + width)
    return rows[:, None] & columns[None]


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


def test_cardiomegaly_makes_the_heart_wider_than_half_the_chest() -> None:
    body = anatomy.draw_body(np.random.default_rng(0), age=50, sex="M")
    _, boxes = study({"Cardiomegaly": 1.0}, seed=0)
    assert boxes["Cardiomegaly"][2] / 1024 > 0.5 * 2 * body.width


def lung_change(finding: str, seed: int) -> NDArray[np.float64]:
    """Return how the grey of the lung in the box changes, beyond a common shift."""
    normal, _ = study({}, seed=seed)
    ill, boxes = study({finding: 0.7}, seed=seed)
    box, difference = inside(boxes[finding]), ill - normal
    change: NDArray[np.float64] = difference[box & (normal < 110)]
    return change - np.median(difference[~box])


@pytest.mark.parametrize("finding", ["Consolidation", "Effusion", "Mass", "Pneumonia", "Edema"])
def test_an_opacity_brightens_the_lung(finding: str) -> None:
    assert np.mean([lung_change(finding, seed).mean() for seed in range(3)]) > 8


def test_emphysema_darkens_the_lungs() -> None:
    assert np.mean([lung_change("Emphysema", seed).mean() for seed in range(3)]) < -3


def test_a_pneumothorax_is_darker_than_lung_and_the_lung_beside_it_denser() -> None:
    changes = [np.percentile(lung_change("Pneumothorax", seed), (10, 90)) for seed in range(3)]
    darkest, brightest = np.mean(changes, axis=0)
    assert darkest < -5
    assert brightest > 5
