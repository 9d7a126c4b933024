"""A patient: measures that stay over the studies, and the outlines they give.

Body coordinates are shares of the image side (about 40 cm): x is 0 on the midline and grows
towards the patient's left, the right of the picture; y runs from 0 (top) to 1 (bottom). Sides are
-1 (the patient's right) and 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SIDES = (-1, 1)


@dataclass(frozen=True)
class Body:
    """What stays over a patient's studies. Lengths in body coordinates, factors around 1."""

    width: float
    """Half the inner width of the chest."""
    height: float
    """From the apex of the lungs to the costophrenic angles."""
    apex: float
    dome: tuple[float, float]
    """y of the top of the right and of the left hemidiaphragm."""
    sulcus: float
    """How far the costophrenic angle reaches below the dome."""
    heart: float
    vessel: float
    shift: float
    """Where the mediastinum sits, to the left of the midline."""
    mediastinum: float
    knob: float
    fat: float
    breast: float
    bone: float
    curve: float
    """Sideways bend of the spine."""
    drop: float
    """Slope of the ribs."""
    air: float
    gas: tuple[float, float, float]
    """The gastric bubble: x, depth under the left dome, half width."""
    branches: NDArray[np.float64]
    """(segments, 5) lung vessels: x and y of both ends, width."""
    texture: int
    """Seed of the fine pattern of the lungs."""


def draw_body(rng: np.random.Generator, *, age: float, sex: str) -> Body:
    """Return the anatomy of a patient of `age` years and `sex` F or M."""
    young = float(np.clip((16 - age) / 14, 0, 1))
    old = float(np.clip((age - 45) / 40, 0, 1))
    height = rng.normal(0.70, 0.03) - 0.06 * young - (0.02 if sex == "F" else 0)
    apex = rng.normal(0.11, 0.012) + 0.03 * young
    right = apex + height - rng.normal(0.085, 0.012)
    width = rng.normal(0.372, 0.014) - 0.02 * young - (0.008 if sex == "F" else 0)
    return Body(
        width=width,
        height=height,
        apex=apex,
        dome=(right, right + rng.normal(0.018, 0.01)),
        sulcus=rng.normal(0.085, 0.01) - 0.02 * young,
        heart=rng.normal(0.97, 0.07) + 0.12 * young + 0.05 * old,
        vessel=rng.normal(1.0, 0.15),
        shift=rng.normal(0.0, 0.006),
        mediastinum=rng.normal(1.0, 0.1) + 0.25 * young + 0.1 * old,
        knob=rng.normal(0.9, 0.15) + 0.5 * old - 0.4 * young,
        fat=abs(rng.normal(0.03, 0.022)) * (1 - 0.6 * young),
        breast=max(0.0, rng.normal(0.9, 0.35)) if sex == "F" and age > 13 else 0.0,
        bone=rng.normal(1.0, 0.12) - 0.2 * old - 0.2 * young,
        curve=rng.normal(0, 0.006 + 0.008 * old),
        drop=rng.normal(0.085, 0.01) - 0.02 * young + 0.01 * old,
        air=rng.normal(1.0, 0.04),
        gas=(rng.uniform(0.1, 0.2), rng.uniform(0.03, 0.07), rng.uniform(0.0, 0.09)),
        branches=_grow_vessels(rng, width=width, top=apex + 0.41 * height),
        texture=int(rng.integers(2**31)),
    )


def _grow_vessels(rng: np.random.Generator, *, width: float, top: float) -> NDArray[np.float64]:
    """Return (segments, 5), thinnest first: x and y of both ends, width; a tree in each lung."""
    grown = []
    for side in SIDES:
        angle = np.linspace(-1.4, 1.45, 9)
        x = rng.normal(0.062, 0.006, 9)
        y = top + rng.normal(0.02 * angle, 0.008) - 0.006 * side
        angle = angle + rng.normal(0, 0.12, 9)
        thick, bend = rng.uniform(0.006, 0.0095, 9), rng.normal(0, 0.05, 9)
        for _ in range(20):
            length = rng.uniform(0.014, 0.026, len(x))
            x2, y2 = x + length * np.cos(angle), y + length * np.sin(angle)
            grown.append(np.stack([side * x, y, side * x2, y2, thick], axis=1))
            goes = np.flatnonzero((thick > 0.0011) & (x2 < width) & (x2 > 0.02))
            forks = goes[rng.random(len(goes)) < 0.55]
            turn = rng.choice((-1, 1), len(forks)) * rng.uniform(0.3, 0.8, len(forks))
            # Each goes on a little thinner, and some send out a side branch.
            drift = angle[goes] + bend[goes] + rng.normal(0, 0.19, len(goes))
            thinner = thick[goes] * rng.uniform(0.83, 0.94, len(goes))
            x, y = np.append(x2[goes], x2[forks]), np.append(y2[goes], y2[forks])
            bend = np.append(bend[goes], rng.normal(0, 0.08, len(forks)))
            side_branch = thick[forks] * rng.uniform(0.4, 0.75, len(forks))
            angle, thick = np.append(drift, angle[forks] + turn), np.append(thinner, side_branch)
    table = np.vstack(grown)
    return table[np.argsort(table[:, 4], kind="stable")]


def spline(points: ArrayLike, *, closed: bool = False) -> NDArray[np.float64]:
    """Return a smooth curve through points (Catmull-Rom), eight steps from each to the next."""
    p = np.asarray(points, dtype=np.float64)
    ends = (p[-1:], p[:2]) if closed else (2 * p[:1] - p[1:2], 2 * p[-1:] - p[-2:-1])
    q = np.vstack([ends[0], p, ends[1]])[:, None]
    a, b, c, d = q[:-3], q[1:-2], q[2:-1], q[3:]
    t = np.linspace(0, 1, 8, endpoint=False)[:, None]
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    flat: NDArray[np.float64] = curve.reshape(-1, 2)
    return flat if closed else np.vstack([flat, p[-1:]])


def chest_wall(body: Body, side: int) -> NDArray[np.float64]:
    """Return the inner line of the chest wall of a side, (points, 2), from the apex down."""
    shape = [
        (0.24, 0.02), (0.42, 0.0), (0.6, 0.03), (0.75, 0.12), (0.87, 0.28), (0.95, 0.5),
        (0.99, 0.75), (0.99, 0.95), (0.97, 1.15),
    ]  # fmt: skip
    return spline([(side * body.width * a, body.apex + body.height * b) for a, b in shape])


def lung_outline(body: Body, side: int) -> NDArray[np.float64]:
    """Return the closed outline of the lung of a side, below the heart too."""
    w, top, dome = body.width, body.apex, body.dome[side > 0]
    wall = chest_wall(body, side)
    tip = dome + body.sulcus
    wall = wall[wall[:, 1] < tip - 0.01]
    curve = [(0.975, 1.0), (0.9, 0.55), (0.78, 0.2), (0.56, 0.0), (0.34, 0.1), (0.1, 0.55)]
    floor = spline([(side * w * a, dome + body.sulcus * b) for a, b in curve])
    middle = [(0.07, 0.7), (0.08, 0.3), (0.13, 0.12), (0.24, 0.02)]
    inner = spline([(side * w * a, top + body.height * b) for a, b in middle])
    return np.vstack([wall, floor, inner])


def mediastinum_outline(body: Body) -> NDArray[np.float64]:
    """Return the closed outline of heart and great vessels."""
    top = body.apex
    floor = sum(body.dome) / 2 + 0.055
    span = floor - top - 0.25 * body.height
    m, h, k = body.mediastinum, body.heart, body.knob
    crown = [
        (-0.042 * m, top - 0.14), (-0.048 * m, top + 0.10), (-0.058 * m, top + 0.22),
        (-0.064, floor - 0.56 * span),
    ]  # fmt: skip
    heart = [
        (-0.095 * h, floor - 0.38 * span), (-0.112 * h, floor - 0.2 * span),
        (-0.1 * h, floor - 0.02 * span), (-0.04, floor + 0.06), (0.1 * h, floor + 0.06),
        (0.17 * h, floor + 0.02), (0.214 * h, floor - 0.06 * span),
        (0.222 * h, floor - 0.17 * span), (0.202 * h, floor - 0.31 * span),
        (0.162 * h, floor - 0.46 * span), (0.11 * h, floor - 0.61 * span),
    ]  # fmt: skip
    aorta = [
        (0.084 + 0.006 * m, floor - 0.72 * span), (0.074 + 0.008 * m, floor - 0.84 * span),
        (0.06 * m + 0.018 * k, top + 0.25), (0.052 * m + 0.026 * k, top + 0.205),
        (0.048 * m + 0.021 * k, top + 0.165), (0.042 * m, top + 0.125), (0.04 * m, top - 0.12),
    ]  # fmt: skip
    outline = spline(crown + heart + aorta, closed=True)
    return np.add(outline, [body.shift, 0.0])


def hilum(body: Body, side: int) -> tuple[float, float]:
    """Return where a lung's vessels enter it; the left hilum lies a little higher."""
    return side * (
        0.05 + 0.022 * body.mediastinum
    ) + body.shift, body.apex + 0.41 * body.height - (0.012 if side > 0 else 0)
