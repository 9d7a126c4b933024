"""A patient, a pose, a film, and films with findings: what the tests of the drawn chest share."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chestxray14.phantom.anatomy import lay_out
from chestxray14.phantom.body import Body, draw_body
from chestxray14.phantom.film import Pose, draw_pose, expose
from chestxray14.phantom.lesions import Box, draw_study
from chestxray14.phantom.sites import Lesion, Site, draw_site

PX = 128


def body(seed: int = 0, *, age: float = 50, sex: str = "M") -> Body:
    return draw_body(np.random.default_rng(seed), age=age, sex=sex)


def pose(seed: int = 0, *, portable: bool = False) -> Pose:
    drawn = draw_pose(np.random.default_rng(seed), portable=portable)
    return replace(drawn, border=(0, 0, 0, 0), wires=0, marker=None)


def film(who: Body, how: Pose, px: int = 128) -> NDArray[np.uint8]:
    return expose(lay_out(who, how, px))


def study(
    findings: dict[str, float], *, seed: int, site: Site | None = None
) -> tuple[NDArray[np.float64], dict[str, Box]]:
    """Return a film without noise and its boxes; the same patient for the same seed."""
    rng = np.random.default_rng(seed)
    body = draw_body(rng, age=50, sex="M")
    pose = draw_pose(rng, portable=False)
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


def lung_change(finding: str, seed: int) -> NDArray[np.float64]:
    """Return how the grey of the lung in the box changes, beyond a common shift."""
    normal, _ = study({}, seed=seed)
    ill, boxes = study({finding: 0.7}, seed=seed)
    box, difference = inside(boxes[finding]), ill - normal
    change: NDArray[np.float64] = difference[box & (normal < 110)]
    return change - np.median(difference[~box])
