"""Where a patient has a finding, and how strong it is in a study."""

from dataclasses import dataclass

import numpy as np

from chestxray14.phantom.body import SIDES
from chestxray14.phantom.film import Chest, Map, smooth_step


@dataclass(frozen=True)
class Site:
    """Where a patient has a finding, should it be present; it stays over the studies."""

    side: int
    across: float
    """From the middle (0) to the chest wall (1)."""
    down: float
    """From the apex (0) to the diaphragm (1)."""
    size: float
    """0 to 1."""
    seed: int


@dataclass(frozen=True)
class Lesion:
    """One finding in one study; `strength` from 0, barely visible, to 1."""

    site: Site
    strength: float


def draw_site(rng: np.random.Generator) -> Site:
    """Return a random place."""
    return Site(
        side=int(rng.choice(SIDES)),
        across=rng.uniform(0.0, 1.0),
        down=rng.uniform(0.0, 1.0),
        size=rng.uniform(0.0, 1.0),
        seed=int(rng.integers(2**31)),
    )


def locate(chest: Chest, site: Site) -> tuple[float, float]:
    """Return the body coordinates of a site."""
    body = chest.body
    y = body.apex + site.down * (body.dome[site.side > 0] - body.apex)
    edge = body.width * (0.55 + 0.4 * min(1.0, site.down / 0.5))
    return site.side * (0.07 + site.across * (edge - 0.07)), y


def one_side(chest: Chest, side: int) -> Map:
    """Return 1 on one side of the midline and 0 on the other."""
    return smooth_step(0.5 + 30 * side * chest.x)
