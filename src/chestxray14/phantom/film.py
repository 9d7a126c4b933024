"""The film of a study: strokes rasterised in a pose to maps, and maps exposed to grey.

Outlines are rasterised to thickness maps. What lies in front of something else adds to it, as on a
film: `expose` sums the maps and turns them to grey. Body coordinates are those of `body`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from chestxray14.phantom.body import Body, spline

Map = NDArray[np.floating[Any]]

GRID = 256
"""Largest side of the maps of smooth things, which are enlarged to the picture afterwards."""

FINE = 512
"""Side below which outlines are rasterised at twice the side and then reduced."""


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


def expose(chest: Chest) -> NDArray[np.uint8]:
    """Return the film of a chest: (side, side) grey, air dark and bone bright.

    Beer and Lambert's law gives the exposure, to which blurred scatter and the noise of counted
    quanta are added; grey grows with its negative logarithm through an S-shaped film curve.
    """
    pose = chest.pose
    depth = 3.0 * chest.thick - 2.15 * np.minimum(chest.air, 1.25) + chest.extra
    depth += 0.5 * chest.vessels + 0.62 * chest.bone
    primary = np.exp(-depth)
    coarse = resize(primary, 64)
    body = coarse < 0.7
    haze = ndimage.gaussian_filter(np.minimum(coarse, 0.5), 5)
    light = primary + pose.scatter * (0.4 + 2.5 * resize(haze, chest.px))
    rng = np.random.default_rng(pose.seed)
    grain = rng.standard_normal(light.shape, dtype=np.float32)
    film = -np.log(light)
    film += pose.noise * grain * np.minimum(1 / np.sqrt(light), 6) * (chest.px / 1024) ** 0.5

    low = -np.log(resize(light, 64))
    dark, bright = np.percentile(low[body], (8, 92))
    grey = pose.level + (film - dark) / (bright - dark) * (0.9 - pose.level) * pose.contrast
    grey = 1 / (1 + np.exp(-4.6 * (grey - 0.5)))
    grey = (grey - 0.06) / 0.86
    grey = _collimate(grey, pose)
    return np.clip(grey * 255, 0, 255).astype(np.uint8)


def _collimate(grey: Map, pose: Pose) -> Map:
    """Return the picture with the strips that the collimator kept unexposed."""
    side = len(grey)
    left, top, right, bottom = (round(part * side) for part in pose.border)
    seen = np.full_like(grey, pose.border_grey)
    window = np.s_[top : side - bottom, left : side - right]
    seen[window] = grey[window]
    return seen


def paint(chest: Chest, strokes: Iterable[Stroke], *, blur: float, px: int = 0) -> Map:
    """Rasterise strokes, later ones over earlier ones, and blur by a share of the side.

    Returns values from 0 to 1, (side, side), or `px` square where that is given.
    """
    px = px or chest.px
    times = 1 if px >= FINE else 2
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


def equipment(chest: Chest) -> Map:
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


def smooth_step(t: Map) -> Map:
    """Return 0 below 0, 1 above 1 and a smooth rise between."""
    t = np.clip(t, 0, 1)
    rise: Map = t * t * (3 - 2 * t)
    return rise


def noise_table(seed: int, cells: int) -> Map:
    """Return (cells, cells) draws of mean 0 and variance 1."""
    return np.random.default_rng(seed).standard_normal((cells, cells), dtype=np.float32)


def sample(noise: Map, chest: Chest) -> Map:
    """Return a table of noise, laid over the body and repeated, on the grid."""
    cells = len(noise)
    at = np.stack([chest.y * cells, chest.x * cells])
    out: Map = ndimage.map_coordinates(noise, at, order=1, mode="grid-wrap")
    return out


def body_grid(pose: Pose, side: int) -> tuple[Map, Map]:
    """Return x and y in body coordinates of a picture of `side` pixels, each (side, side)."""
    centres = (np.arange(side) + 0.5) / side
    points = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    at = _from_picture(points, pose).astype(np.float32)
    return at[:, 0].reshape(side, side), at[:, 1].reshape(side, side)


def _to_picture(points: NDArray[np.float64], pose: Pose) -> NDArray[np.float64]:
    cos, sin = pose.zoom * np.cos(pose.angle), pose.zoom * np.sin(pose.angle)
    x, y = points[:, 0], (points[:, 1] - 0.5) * pose.stretch
    return np.stack([0.5 + pose.dx + cos * x - sin * y, 0.5 + pose.dy + sin * x + cos * y], axis=1)


def _from_picture(points: NDArray[np.float64], pose: Pose) -> NDArray[np.float64]:
    cos, sin = np.cos(pose.angle) / pose.zoom, np.sin(pose.angle) / pose.zoom
    x, y = points[:, 0] - 0.5 - pose.dx, points[:, 1] - 0.5 - pose.dy
    return np.stack([cos * x + sin * y, 0.5 + (cos * y - sin * x) / pose.stretch], axis=1)


def enlarge(chest: Chest, field: Map) -> Map:
    """Return a grid map at the size of the picture."""
    return resize(field, chest.px)


def resize(field: Map, side: int) -> Map:
    """Return a square map at another side: averaged when smaller, bicubic when larger."""
    if len(field) == side:
        return field
    kind = Image.Resampling.BICUBIC if side > len(field) else Image.Resampling.BOX
    return np.asarray(Image.fromarray(field).resize((side, side), kind), dtype=np.float32)
