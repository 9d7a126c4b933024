"""One patient's normal chest, drawn as a sum of X-ray attenuation.

Body coordinates are shares of the image side (about 40 cm): x is 0 on the midline and grows
towards the patient's left, the right of the picture; y runs from 0 (top) to 1 (bottom). Sides are
-1 (the patient's right) and 1. What lies in front of something else adds to it, as on a film:
outlines are rasterised to thickness maps, summed, and turned to grey by `expose`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

Map = NDArray[np.floating[Any]]
SIDES = (-1, 1)

GRID = 256
"""Largest side of the maps of smooth things, which are enlarged to the picture afterwards."""

_FINE = 512
"""Side below which outlines are rasterised at twice the side and then reduced."""


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


@dataclass(frozen=True)
class Pose:
    """What changes from one study to the next: position, breath and exposure."""

    portable: bool
    """AP, the patient lying or sitting in bed."""
    dx: float
    dy: float
    angle: float
    """Radians."""
    zoom: float
    stretch: float
    breath: float
    """How much the domes are raised by a shallow breath."""
    level: float
    """Grey of the lungs, 0 to 1."""
    contrast: float
    scatter: float
    noise: float
    border: tuple[float, float, float, float]
    """What the collimator leaves dark at the left, top, right and bottom."""
    border_grey: float
    marker: tuple[float, float, float] | None
    """x, y and height of the letter that marks the left side, in picture coordinates."""
    wires: int
    seed: int


@dataclass
class Chest:
    """The maps of one study, before exposure.

    `thick` soft tissue, `air` in the lungs, `vessels`, `bone` and `extra` (anything else) are
    (side, side); `x`, `y` (body coordinates), `wall` (distance to the inner chest wall, lungs
    only positive) and `lungs` (cover of the right and left lung, 0 to 1) are on the grid.
    """

    body: Body
    pose: Pose
    px: int
    thick: Map
    air: Map
    vessels: Map
    bone: Map
    extra: Map
    x: Map
    y: Map
    wall: Map
    lungs: dict[int, Map]


@dataclass(frozen=True)
class Stroke:
    """A curve to rasterise: filled where `width` is 0, else a line; `value` from 0 to 1."""

    points: NDArray[np.float64]
    value: float = 1.0
    width: float = 0.0


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


def draw_pose(rng: np.random.Generator, *, portable: bool) -> Pose:
    """Return how one study was taken; a portable one is less even."""
    loose = 1.6 if portable else 1.0
    border = np.where(rng.random(4) < 0.1 * loose, rng.uniform(0.005, 0.05, 4), 0.0)
    corner = rng.uniform(0.03, 0.10, 2)
    marked = rng.random() < 0.85
    return Pose(
        portable=portable,
        dx=rng.normal(0, 0.012 * loose),
        dy=rng.normal(0.0, 0.014 * loose),
        angle=rng.normal(0, 0.014 * loose),
        zoom=rng.normal(1.03 if portable else 0.99, 0.025 * loose),
        stretch=rng.normal(0.97 if portable else 1.0, 0.02),
        breath=abs(rng.normal(0.045 if portable else 0.0, 0.014)),
        level=rng.normal(0.33 if portable else 0.28, 0.05),
        contrast=rng.normal(0.92 if portable else 1.0, 0.09),
        scatter=rng.uniform(0.06, 0.16) if portable else rng.uniform(0.025, 0.07),
        noise=rng.uniform(0.005, 0.012) * loose,
        border=(border[0], border[1], border[2], border[3]),
        border_grey=float(rng.random() < 0.15),
        marker=(1 - corner[0], corner[1], rng.uniform(0.03, 0.05)) if marked else None,
        wires=int(rng.poisson(1.6 if portable else 0.12)),
        seed=int(rng.integers(2**31)),
    )


def lay_out(body: Body, pose: Pose, px: int) -> Chest:
    """Return the maps of a chest in a pose, `px` pixels square."""
    up = pose.breath
    body = replace(body, dome=(body.dome[0] - up, body.dome[1] - up))
    if pose.portable:
        body = replace(body, heart=body.heart * 1.1, mediastinum=body.mediastinum * 1.2)
    x, y = _body_grid(pose, min(px, GRID))
    empty = np.zeros((px, px), np.float32)
    chest = Chest(
        body=body, pose=pose, px=px, thick=empty, air=empty, vessels=empty, bone=empty,
        extra=empty, x=x, y=y, wall=np.zeros_like(x), lungs={},
    )  # fmt: skip
    cage = Stroke(np.vstack([_wall(body, -1)[::-1], _wall(body, 1), [(0.5, 1.6), (-0.5, 1.6)]]))
    inside = paint(chest, [cage], blur=0.0, px=128)
    wall = ndimage.distance_transform_edt(inside > 0.5) / 128
    chest.wall = _resize(wall.astype(np.float32), len(x))
    chest.thick = _soft_tissue(chest)
    covers = {
        side: paint(chest, [Stroke(lung_outline(body, side))], blur=0.0015) for side in SIDES
    }
    chest.lungs = {side: _resize(cover, len(x)) for side, cover in covers.items()}

    depth = 1 - np.exp(-chest.wall / 0.045)
    depth *= 0.72 + 0.28 * np.clip((y - body.apex) / 0.25, 0, 1)
    both = covers[-1] + covers[1]
    heart = paint(chest, [Stroke(mediastinum_outline(body))], blur=0.0025)
    # Heart and vessels are thickest in their middle; lung lies before and behind their edge.
    solid = ndimage.gaussian_filter(_resize(heart, 64), 2.2)
    hidden = heart * enlarge(chest, 0.83 + 0.16 * _resize(solid, len(x)))
    chest.air = both * enlarge(chest, depth * body.air) * (1 - hidden)
    chest.air += 0.2 * paint(chest, _airways(body), blur=0.003) * (1 - 0.5 * both)
    chest.air += 0.35 * paint(chest, _stomach_gas(body), blur=0.004)
    chest.vessels = paint(chest, _vessels(body, px), blur=0.0016) * both * (1 - 0.75 * heart)
    chest.vessels += 0.5 * enlarge(chest, _hila(chest)) * both
    chest.bone = _bones(chest)
    chest.extra = _equipment(chest)
    return chest


def expose(chest: Chest) -> NDArray[np.uint8]:
    """Return the film of a chest: (side, side) grey, air dark and bone bright.

    Beer and Lambert's law gives the exposure, to which blurred scatter and the noise of counted
    quanta are added; grey grows with its negative logarithm through an S-shaped film curve.
    """
    pose = chest.pose
    depth = 3.0 * chest.thick - 2.15 * np.minimum(chest.air, 1.25) + chest.extra
    depth += 0.5 * chest.vessels + 0.62 * chest.bone
    primary = np.exp(-depth)
    coarse = _resize(primary, 64)
    body = coarse < 0.7
    haze = ndimage.gaussian_filter(np.minimum(coarse, 0.5), 5)
    light = primary + pose.scatter * (0.4 + 2.5 * _resize(haze, chest.px))
    rng = np.random.default_rng(pose.seed)
    grain = rng.standard_normal(light.shape, dtype=np.float32)
    film = -np.log(light)
    film += pose.noise * grain * np.minimum(1 / np.sqrt(light), 6) * (chest.px / 1024) ** 0.5

    low = -np.log(_resize(light, 64))
    dark, bright = np.percentile(low[body], (8, 92))
    grey = pose.level + (film - dark) / (bright - dark) * (0.9 - pose.level) * pose.contrast
    grey = 1 / (1 + np.exp(-4.6 * (grey - 0.5)))
    grey = (grey - 0.06) / 0.86
    grey = _collimate(grey, pose)
    return np.clip(grey * 255, 0, 255).astype(np.uint8)


def paint(chest: Chest, strokes: Iterable[Stroke], *, blur: float, px: int = 0) -> Map:
    """Rasterise strokes, later ones over earlier ones, and blur by a share of the side.

    Returns values from 0 to 1, (side, side), or `px` square where that is given.
    """
    px = px or chest.px
    times = 1 if px >= _FINE else 2
    side = px * times
    picture = Image.new("L", (side, side))
    pen = ImageDraw.Draw(picture)
    strokes = list(strokes)
    if not strokes:
        return np.zeros((px, px), np.float32)
    ends = np.cumsum([0] + [len(stroke.points) for stroke in strokes])
    every = np.concatenate([stroke.points for stroke in strokes])
    flat = (_to_picture(every, chest.pose) * side - 0.5).ravel().tolist()
    for stroke, start, end in zip(strokes, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        points = flat[2 * start : 2 * end]
        width = stroke.width * side
        if not stroke.width:
            pen.polygon(points, fill=round(255 * stroke.value))
        else:
            # A line thinner than a pixel is as much fainter.
            grey = round(255 * stroke.value * min(1.0, width))
            joint = "curve" if width > 3 and len(points) > 4 else None
            pen.line(points, fill=grey, width=max(1, round(width)), joint=joint)
    if times > 1:
        picture = picture.reduce(times)
    if blur * px > 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(blur * px))
    return np.asarray(picture, dtype=np.float32) / 255


def enlarge(chest: Chest, field: Map) -> Map:
    """Return a grid map at the size of the picture."""
    return _resize(field, chest.px)


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


def lung_outline(body: Body, side: int) -> NDArray[np.float64]:
    """Return the closed outline of the lung of a side, below the heart too."""
    w, top, dome = body.width, body.apex, body.dome[side > 0]
    wall = _wall(body, side)
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


def _wall(body: Body, side: int) -> NDArray[np.float64]:
    shape = [
        (0.24, 0.02), (0.42, 0.0), (0.6, 0.03), (0.75, 0.12), (0.87, 0.28), (0.95, 0.5),
        (0.99, 0.75), (0.99, 0.95), (0.97, 1.15),
    ]  # fmt: skip
    return spline([(side * body.width * a, body.apex + body.height * b) for a, b in shape])


def _soft_tissue(chest: Chest) -> Map:
    body, reach = chest.body, chest.body.width + 0.055 + chest.body.fat
    arm = reach + (0.07 if chest.pose.portable else 0.15)
    shoulder = body.apex - 0.01
    half = [
        (0.085, -0.3), (0.088, shoulder - 0.11), (0.12, shoulder - 0.06), (0.24, shoulder - 0.02),
        (0.37, shoulder + 0.015), (0.46, shoulder + 0.07), (0.52, shoulder + 0.2),
        (reach + 0.0, shoulder + 0.33), (reach - 0.012, 0.6), (reach, 0.85), (reach + 0.02, 1.4),
    ]  # fmt: skip
    left = spline(half)
    torso = np.vstack([left, (left * [-1, 1])[::-1]])
    limb = spline([(0.42, shoulder + 0.08), (arm, shoulder + 0.3), (arm + 0.03, 0.75), (arm, 1.3)])
    limbs = [Stroke(limb * [side, 1], width=0.1) for side in SIDES]
    total = np.zeros((chest.px, chest.px), np.float32)
    for shapes, full in (([Stroke(torso)], 1.0), (limbs, 0.55)):
        coarse = paint(chest, shapes, blur=0.0, px=128)
        # The edge lies between pixels where the cover says so.
        rim = ndimage.distance_transform_edt(coarse > 0.5).astype(np.float32) + coarse - 0.5
        rim = ndimage.gaussian_filter(rim, 0.8)
        rim = np.maximum(_resize(rim / 128, len(chest.x)), 0.002)
        thick = full * np.sqrt(1 - np.exp(-rim / (0.05 * full)))
        if full == 1.0:
            thick *= _build(chest, reach)
        total = np.maximum(total, enlarge(chest, thick) * paint(chest, shapes, blur=0.0015))
    return total


def _build(chest: Chest, reach: float) -> Map:
    """Return how thick the trunk is from front to back, around 1."""
    body, x, y = chest.body, chest.x, chest.y
    thick: Map = 0.8 + 0.2 * np.clip((y - 0.1) / 0.6, 0, 1)
    thick *= 1 + 2.0 * body.fat - 0.14 * np.clip((np.abs(x) - body.width) / 0.06, 0, 1)
    thick += 0.16 * smooth_step((y - 0.62) / 0.3)
    for side in SIDES if body.breast else ():
        dx, dy = (x - side * (0.17 + 0.03 * body.breast)) / 0.19, (y - body.apex - 0.45) / 0.16
        dy = np.where(dy > 0, dy * 1.2, dy * 0.55)
        thick += 0.17 * body.breast * np.clip(1 - dx**2 - dy**2, 0, None) ** 0.8
    return thick


def smooth_step(t: Map) -> Map:
    """Return 0 below 0, 1 above 1 and a smooth rise between."""
    t = np.clip(t, 0, 1)
    rise: Map = t * t * (3 - 2 * t)
    return rise


def _airways(body: Body) -> list[Stroke]:
    fork = body.apex + 0.33 * body.height
    x = body.shift
    trunk = spline([(x, -0.2), (x, 0.1), (x - 0.004, fork - 0.08), (x - 0.004, fork)])
    right = spline([(x - 0.004, fork), (x - 0.035, fork + 0.035), (x - 0.07, fork + 0.07)])
    left = spline([(x - 0.004, fork), (x + 0.04, fork + 0.03), (x + 0.085, fork + 0.048)])
    return [Stroke(trunk, 1.0, 0.032), Stroke(right, 0.8, 0.024), Stroke(left, 0.7, 0.02)]


def _stomach_gas(body: Body) -> list[Stroke]:
    x, depth, half = body.gas
    if half < 0.025:
        return []
    turn = np.linspace(0, 2 * np.pi, 24)
    # Upright, the gas lies above a level of fluid.
    oval = np.stack([np.cos(turn) * half, np.minimum(np.sin(turn), 0.35) * half * 0.5], axis=1)
    return [Stroke(np.add(oval, [x, body.dome[1] + depth]), 0.8)]


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


def _vessels(body: Body, px: int) -> list[Stroke]:
    seen = body.branches[body.branches[:, 4] > 0.6 / (px if px >= _FINE else 2 * px)]
    pairs = np.add(seen[:, :4].reshape(-1, 2, 2), [body.shift, 0.0])
    values = np.minimum(1.0, 0.45 + 90 * seen[:, 4]).tolist()
    widths = (seen[:, 4] * body.vessel).tolist()
    return [Stroke(*each) for each in zip(pairs, values, widths, strict=True)]


def _hila(chest: Chest) -> Map:
    total = np.zeros_like(chest.x)
    for side in SIDES:
        x, y = hilum(chest.body, side)
        far = ((chest.x - x) / 0.03) ** 2 + ((chest.y - y) / 0.055) ** 2
        total += 1.4 * np.exp(-far)
    for cells in (40, 110):
        total += 0.15 * sample(noise_table(chest.body.texture, cells), chest)
    return total * chest.body.vessel


def noise_table(seed: int, cells: int) -> Map:
    """Return (cells, cells) draws of mean 0 and variance 1."""
    return np.random.default_rng(seed).standard_normal((cells, cells), dtype=np.float32)


def sample(noise: Map, chest: Chest) -> Map:
    """Return a table of noise, laid over the body and repeated, on the grid."""
    cells = len(noise)
    at = np.stack([chest.y * cells, chest.x * cells])
    out: Map = ndimage.map_coordinates(noise, at, order=1, mode="grid-wrap")
    return out


def _bones(chest: Chest) -> Map:
    body = chest.body
    back, front = list[Stroke](), list[Stroke]()
    wall = _wall(body, 1)
    pitch = body.height / 9.6
    for side in SIDES:
        for i in range(10):
            y = body.apex - 0.012 + pitch * i + (0.012 if i == 0 else 0)
            drop = body.drop * (0.75 + 0.05 * i)
            reach = float(np.interp(y + drop, wall[6:, 1], wall[6:, 0])) - 0.004
            for theta, half, into in (
                (np.linspace(0.11, 1.75, 24), 0.0095, back),
                (np.linspace(1.4, 2.5 - 0.03 * i, 20), 0.0105, front),
            ):
                if into is front and i > 7:
                    continue
                line = np.stack(
                    [
                        side * reach * np.sin(theta),
                        y + drop * (1 - np.cos(theta)) - 0.022 * np.sin(2 * theta),
                    ],
                    axis=1,
                )
                line[:, 0] += _bend(body, line[:, 1]) * np.cos(theta) ** 2
                band, rims = _band(line, half=half)
                # Below the diaphragm little light is left to show a rib.
                seen = 1.0 if y < max(body.dome) - 0.1 else 0.45
                into.append(Stroke(band, 0.55 * seen))
                if into is back:
                    into += [Stroke(rim, 0.85 * seen, 0.003) for rim in rims]
    total = 0.62 * paint(chest, back, blur=0.0014) + 0.42 * paint(chest, front, blur=0.002)
    total += 0.95 * paint(chest, _girdle(chest), blur=0.0016)
    total += 0.55 * paint(chest, _spine(body), blur=0.0022)
    return total * body.bone


def _band(
    line: NDArray[np.float64], *, half: float
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return the outline of a ribbon along a line, and its two rims."""
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    rims = [line + half * across, line - half * across]
    return np.vstack([rims[0], rims[1][::-1]]), rims


def _girdle(chest: Chest) -> list[Stroke]:
    """Clavicles, shoulder blades and upper arms."""
    body, w = chest.body, chest.body.width
    neck = body.apex + (0.03 if chest.pose.portable else 0.06)
    out = (0.9 if chest.pose.portable else 1.06) * w
    strokes = []
    for side in SIDES:
        collar = spline(
            [(0.032, neck + 0.025), (0.1, neck + 0.012), (0.2, neck - 0.03), (0.3, neck - 0.05),
             (w + 0.02, neck - 0.04)]
        ) * [side, 1]  # fmt: skip
        band, rims = _band(collar, half=0.0115)
        blade = spline(
            [(out - 0.08, neck + 0.02), (out - 0.055, neck + 0.2), (out + 0.0, neck + 0.33),
             (out + 0.035, neck + 0.2), (out + 0.085, neck + 0.06), (out + 0.02, neck - 0.005)],
            closed=True,
        ) * [side, 1]  # fmt: skip
        turn = np.linspace(0, 2 * np.pi, 28)
        ball = np.stack([0.042 * np.cos(turn), 0.045 * np.sin(turn)], axis=1)
        ball += [side * (w + 0.105), neck + 0.025]
        shaft = spline([(w + 0.115, neck + 0.03), (w + 0.155, neck + 0.3), (w + 0.2, 1.0)])
        strokes += [
            Stroke(blade, 0.32),
            Stroke(blade, 0.55, 0.004),
            Stroke(shaft * [side, 1], 0.7, 0.05),
            Stroke(ball, 0.75),
            Stroke(band, 0.6),
            *(Stroke(rim, 0.95, 0.0035) for rim in rims),
        ]
    return strokes


def _bend(body: Body, y: NDArray[np.float64]) -> NDArray[np.float64]:
    bent: NDArray[np.float64] = body.curve * np.sin((y - 0.1) * 4.5)
    return bent


def _spine(body: Body) -> list[Stroke]:
    strokes = []
    y = -0.08
    while y < 1.05:
        tall = 0.036 + 0.018 * max(0.0, y)
        half = 0.03 + 0.014 * max(0.0, y)
        x = float(_bend(body, np.array(y)))
        box = spline(
            [(x - half, y), (x + half, y), (x + 0.9 * half, y + 0.4 * tall), (x + half, y + 0.8 * tall),
             (x - half, y + 0.8 * tall), (x - 0.9 * half, y + 0.4 * tall)],
            closed=True,
        )  # fmt: skip
        strokes += [Stroke(box, 0.42), Stroke(box, 0.62, 0.0035)]
        for side in SIDES:
            at = x + side * 0.6 * half
            pedicle = np.array([(at, y + 0.2 * tall), (at, y + 0.55 * tall)])
            strokes.append(Stroke(pedicle, 0.8, 0.009))
        strokes.append(Stroke(np.array([(x, y + 0.3 * tall), (x, y + 0.85 * tall)]), 0.75, 0.008))
        y += tall
    return strokes


def _equipment(chest: Chest) -> Map:
    """Return wires, their electrodes and the letter of the left side."""
    rng = np.random.default_rng(chest.pose.seed + 1)
    strokes = []
    for _ in range(chest.pose.wires):
        start = np.array([rng.uniform(-0.3, 0.3), rng.uniform(0.2, 0.75)])
        end = np.array([rng.choice((-1, 1)) * 0.6, rng.uniform(0.0, 0.9)])
        knots = np.linspace(start, end, 5)
        knots[1:-1] += rng.normal(0, 0.05, (3, 2))
        strokes += [Stroke(spline(knots), 0.5, 0.0035)]
        turn = np.linspace(0, 2 * np.pi, 16)
        strokes += [Stroke(np.stack([np.cos(turn), np.sin(turn)], axis=1) * 0.011 + start, 0.6)]
    total = 0.8 * paint(chest, strokes, blur=0.0008)
    if chest.pose.marker is not None:
        x, y, tall = chest.pose.marker
        letter = np.array([(x - tall / 3, y), (x - tall / 3, y + tall), (x + tall / 3, y + tall)])
        at = _from_picture(letter, chest.pose)
        total += 4.0 * paint(chest, [Stroke(at, 1.0, tall / 5)], blur=0.0008)
    return total


def _collimate(grey: Map, pose: Pose) -> Map:
    """Return the picture with the strips that the collimator kept unexposed."""
    side = len(grey)
    left, top, right, bottom = (round(part * side) for part in pose.border)
    seen = np.full_like(grey, pose.border_grey)
    window = np.s_[top : side - bottom, left : side - right]
    seen[window] = grey[window]
    return seen


def _to_picture(points: NDArray[np.float64], pose: Pose) -> NDArray[np.float64]:
    cos, sin = pose.zoom * np.cos(pose.angle), pose.zoom * np.sin(pose.angle)
    x, y = points[:, 0], (points[:, 1] - 0.5) * pose.stretch
    return np.stack([0.5 + pose.dx + cos * x - sin * y, 0.5 + pose.dy + sin * x + cos * y], axis=1)


def _from_picture(points: NDArray[np.float64], pose: Pose) -> NDArray[np.float64]:
    cos, sin = np.cos(pose.angle) / pose.zoom, np.sin(pose.angle) / pose.zoom
    x, y = points[:, 0] - 0.5 - pose.dx, points[:, 1] - 0.5 - pose.dy
    return np.stack([cos * x + sin * y, 0.5 + (cos * y - sin * x) / pose.stretch], axis=1)


def _body_grid(pose: Pose, side: int) -> tuple[Map, Map]:
    centres = (np.arange(side) + 0.5) / side
    points = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    at = _from_picture(points, pose).astype(np.float32)
    return at[:, 0].reshape(side, side), at[:, 1].reshape(side, side)


def _resize(field: Map, side: int) -> Map:
    if len(field) == side:
        return field
    kind = Image.Resampling.BICUBIC if side > len(field) else Image.Resampling.BOX
    return np.asarray(Image.fromarray(field).resize((side, side), kind), dtype=np.float32)
