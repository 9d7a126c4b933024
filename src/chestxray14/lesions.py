"""The 14 findings, drawn on a chest.

A finding first deforms the body (a large heart, a raised dome), then it changes the maps of the
laid out chest: an opacity replaces air by tissue, and hides the vessels that lie in it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from chestxray14.anatomy import (
    SIDES,
    Body,
    Chest,
    Map,
    Pose,
    Stroke,
    enlarge,
    expose,
    hilum,
    lay_out,
    mediastinum_outline,
    noise_table,
    paint,
    sample,
    smooth_step,
)

Box = tuple[float, float, float, float]


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


def draw_study(
    body: Body, pose: Pose, lesions: Mapping[str, Lesion], px: int
) -> tuple[NDArray[np.uint8], dict[str, Box]]:
    """Return the film of a chest with findings and the box of each.

    The film is (px, px) grey. A box (x, y, width, height), in a picture of 1024 pixels a side,
    surrounds where the finding's own map exceeds a third of its largest value.
    """
    for finding, lesion in lesions.items():
        if finding in _DEFORM:
            body = _DEFORM[finding](body, lesion)
    chest = lay_out(body, pose, px)
    boxes = {}
    for finding, draw in _DRAW.items():
        if finding in lesions:
            boxes[finding] = _surround(draw(chest, lesions[finding]))
    return expose(chest), boxes


def _surround(footprint: Map) -> Box:
    rows, columns = np.nonzero(footprint >= max(float(footprint.max()) / 3, 1e-6))
    if not len(rows):
        rows, columns = np.array([0, len(footprint) - 1]), np.array([0, len(footprint) - 1])
    scale = 1024 / len(footprint)
    x, y = columns.min(), rows.min()
    width, height = columns.max() + 1 - x, rows.max() + 1 - y
    return float(x * scale), float(y * scale), float(width * scale), float(height * scale)


def _raise_dome(body: Body, side: int, by: float) -> Body:
    right, left = body.dome
    return replace(body, dome=(right - by, left) if side < 0 else (right, left - by))


def _deform_atelectasis(body: Body, lesion: Lesion) -> Body:
    side, s = lesion.site.side, lesion.strength
    body = _raise_dome(body, side, 0.01 + (0.03 + 0.04 * (lesion.site.size > 0.6)) * s)
    return replace(body, shift=body.shift + side * 0.02 * s)


def _deform_cardiomegaly(body: Body, lesion: Lesion) -> Body:
    return replace(body, heart=max(body.heart, 0.95) * (1.14 + 0.36 * lesion.strength))


def _deform_emphysema(body: Body, lesion: Lesion) -> Body:
    s = lesion.strength
    down = 0.02 + 0.045 * s
    return replace(
        body,
        dome=(body.dome[0] + down, body.dome[1] + down),
        sulcus=body.sulcus * (0.75 - 0.4 * s),
        heart=body.heart * (0.93 - 0.1 * s),
        width=body.width * (1.0 + 0.03 * s),
        air=body.air * (1.06 + 0.16 * s),
        vessel=body.vessel * (0.85 - 0.2 * s),
        drop=body.drop * (0.9 - 0.2 * s),
    )


def _deform_fibrosis(body: Body, lesion: Lesion) -> Body:
    up = 0.035 * lesion.strength
    return replace(
        body,
        dome=(body.dome[0] - up, body.dome[1] - up),
        width=body.width * (1 - 0.03 * lesion.strength),
        air=body.air * 0.96,
    )


def _deform_pneumothorax(body: Body, lesion: Lesion) -> Body:
    push = 0.06 * max(0.0, lesion.strength - 0.5)
    return replace(body, shift=body.shift - lesion.site.side * push)


def _place(chest: Chest, site: Site) -> tuple[float, float]:
    """Return the body coordinates of a site."""
    body = chest.body
    y = body.apex + site.down * (body.dome[site.side > 0] - body.apex)
    edge = body.width * (0.55 + 0.4 * min(1.0, site.down / 0.5))
    return site.side * (0.07 + site.across * (edge - 0.07)), y


def _blob(chest: Chest, x: float, y: float, rx: float, ry: float) -> Map:
    out: Map = np.exp(-(((chest.x - x) / rx) ** 2) - ((chest.y - y) / ry) ** 2)
    return out


def _ball(chest: Chest, x: float, y: float, radius: float, *, seed: int, rough: float) -> Map:
    """Return the thickness (0 to 1) of a ball with an uneven outline."""
    rng = np.random.default_rng(seed)
    dx, dy = chest.x - x, (chest.y - y) * rng.uniform(0.85, 1.15)
    angle = np.arctan2(dy, dx)
    edge = np.full_like(dx, radius)
    for waves in (2, 3, 5):
        edge *= 1 + rough / waves * rng.normal() * np.cos(waves * angle + rng.uniform(0, 6.3))
    rest = np.clip(1 - (dx**2 + dy**2) / edge**2, 0, 1)
    out: Map = np.sqrt(rest)
    return out


def _patches(chest: Chest, seed: int, *, cells: int) -> Map:
    """Return patches, 0 to 1, about `cells` to the side of the picture."""
    noise = sample(noise_table(seed, cells), chest) + 0.5 * sample(
        noise_table(seed + 1, 2 * cells), chest
    )
    return smooth_step(0.5 + 0.45 * noise)


def _side(chest: Chest, side: int) -> Map:
    """Return 1 on one side of the midline and 0 on the other."""
    return smooth_step(0.5 + 30 * side * chest.x)


def _fill(chest: Chest, opacity: Map, *, bronchi: float = 0.0) -> Map:
    """Replace air by tissue; return where. `bronchi` is how much air stays in the airways."""
    opacity = np.clip(opacity, 0, 1)
    cover = enlarge(chest, opacity)
    if bronchi:
        branches = [
            Stroke(np.array([(a, b + 0.004), (c, d + 0.004)]), 1.0, 0.0055)
            for a, b, c, d, w in chest.body.branches
            if w > 0.0042
        ]
        cover = cover * (1 - bronchi * paint(chest, branches, blur=0.0012))
    chest.air = chest.air * (1 - cover)
    chest.vessels = chest.vessels * (1 - 0.9 * cover)
    return opacity * np.maximum(chest.lungs[-1], chest.lungs[1])


def _atelectasis(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    rng = np.random.default_rng(site.seed)
    lung = _side(chest, site.side)
    if site.size > 0.6:
        # A collapsed lower lobe: a wedge from the hilum down, along the spine.
        x, y = hilum(chest.body, site.side)
        edge = 0.07 + (chest.y - y) * (0.35 + 0.3 * s)
        wedge = smooth_step((edge - chest.x * site.side) / 0.02) * smooth_step(
            (chest.y - y) / 0.12
        )
        base = smooth_step((chest.y - y - 0.14) / 0.1)
        return _fill(chest, lung * np.maximum(wedge, 0.35 * base) * (0.4 + 0.45 * s))
    total = np.zeros_like(chest.x)
    for _ in range(1 + int(site.size * 5)):
        place = replace(site, across=rng.uniform(0.25, 0.75), down=rng.uniform(0.68, 0.95))
        x, y = _place(chest, place)
        angle = rng.normal(0.15 * site.side, 0.3)
        along = (chest.x - x) * np.cos(angle) + (chest.y - y) * np.sin(angle)
        off = (chest.y - y) * np.cos(angle) - (chest.x - x) * np.sin(angle)
        long, thick = rng.uniform(0.045, 0.08), rng.uniform(0.005, 0.007) + 0.006 * s
        plate = np.exp(-((along / long) ** 4) - ((off + 0.7 * along**2) / thick) ** 2)
        total = np.maximum(total, plate)
    return _fill(chest, lung * total * (0.3 + 0.4 * s))


def _cardiomegaly(chest: Chest, lesion: Lesion) -> Map:
    outline = mediastinum_outline(chest.body)
    cover = paint(chest, [Stroke(outline)], blur=0.0, px=len(chest.x))
    middle = hilum(chest.body, 1)[1]
    floor = chest.body.apex + chest.body.height
    return cover * (chest.y > middle) * (chest.y < floor + 0.02)


def _effusion(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    body = chest.body
    level = body.dome[site.side > 0] + body.sulcus - 0.035 - 0.33 * s**1.4
    climb = (0.07 + 0.05 * s) * np.exp(-chest.wall / 0.028) + 0.02 * s
    soft = 0.07 if chest.pose.portable else 0.025 + 0.03 * s
    fluid = smooth_step((chest.y - level + climb) / soft)
    if chest.pose.portable:
        # Lying down, fluid spreads behind the lung and veils it.
        fluid = np.maximum(fluid, 0.3 * s * smooth_step((chest.y - level + 0.3) / 0.3))
    return _fill(chest, _side(chest, site.side) * fluid * (0.8 + 0.2 * s))


def _infiltration(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    total = np.zeros_like(chest.x)
    for side in SIDES if site.size > 0.55 else (site.side,):
        place = replace(
            site, side=side, across=0.2 + 0.5 * site.across, down=0.3 + 0.6 * site.down
        )
        x, y = _place(chest, place)
        r = 0.09 + 0.05 * site.size
        total += _blob(chest, x, y, r, 1.25 * r) * _side(chest, side)
    return _fill(
        chest, total * (0.25 + 0.75 * _patches(chest, site.seed, cells=18)) * (0.18 + 0.42 * s)
    )


def _mass(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    x, y = _place(
        chest, replace(site, across=0.15 + 0.7 * site.across, down=0.15 + 0.65 * site.down)
    )
    ball = _ball(
        chest, x, y, 0.048 + 0.042 * site.size * (0.5 + 0.5 * s), seed=site.seed, rough=0.08
    )
    return _fill(chest, ball * (0.3 + 0.55 * s))


def _nodule(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    rng = np.random.default_rng(site.seed)
    total = np.zeros_like(chest.x)
    for i in range(1 + int(3 * max(0.0, site.size - 0.4))):
        place = replace(site, across=0.15 + 0.75 * rng.random(), down=0.12 + 0.75 * rng.random())
        x, y = _place(chest, place)
        radius = 0.014 + 0.02 * rng.random()
        total = np.maximum(total, _ball(chest, x, y, radius, seed=site.seed + i, rough=0.1))
    return _fill(chest, total * (0.24 + 0.46 * s))


def _pneumonia(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    x, y = _place(
        chest, replace(site, across=0.3 + 0.4 * site.across, down=0.35 + 0.55 * site.down)
    )
    r = 0.085 + 0.04 * site.size
    lobe = np.clip(1.6 * _blob(chest, x, y, r, 1.1 * r) - 0.15, 0, 1)
    patchy = 0.35 + 0.65 * _patches(chest, site.seed, cells=26)
    return _fill(chest, _side(chest, site.side) * lobe * patchy * (0.24 + 0.51 * s), bronchi=0.5)


def _consolidation(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    top, dome = chest.body.apex, chest.body.dome[site.side > 0]
    down = (chest.y - top) / (dome - top)
    tilt = 0.5 * (np.abs(chest.x) - 0.2)
    # A lobe ends sharply at its fissure and fades elsewhere.
    if site.down < 0.4:
        lobe = smooth_step((0.5 - down + tilt) / 0.03) * smooth_step((down + 0.15) / 0.3)
    else:
        lobe = smooth_step((down - 0.55 + tilt) / 0.03) * smooth_step((1.25 - down) / 0.3)
    reach = replace(site, across=0.35 + 0.4 * site.across, down=0.22 if site.down < 0.4 else 0.8)
    x, y = _place(chest, reach)
    r = 0.1 + 0.06 * site.size
    lobe *= np.clip(1.9 * _blob(chest, x, y, r, 1.4 * r) - 0.1, 0, 1)
    even = 0.9 + 0.1 * _patches(chest, site.seed, cells=14)
    return _fill(chest, _side(chest, site.side) * lobe * even * (0.33 + 0.62 * s), bronchi=0.3)


def _edema(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    total = np.zeros_like(chest.x)
    strokes = []
    rng = np.random.default_rng(site.seed)
    for side in SIDES:
        x, y = hilum(chest.body, side)
        total += _blob(chest, x + side * 0.05, y + 0.04, 0.14, 0.19) * _side(chest, side)
        base = chest.body.dome[side > 0] + 0.3 * chest.body.sulcus
        for i in range(8):
            # Kerley's B lines: short, level, at the wall above the angle.
            at = np.array([(side * (chest.body.width * 0.95), base - 0.018 * i - 0.01)])
            line = np.vstack([at, at - [side * rng.uniform(0.025, 0.05), rng.normal(0, 0.003)]])
            strokes.append(Stroke(line, 0.4 + 0.6 * s, 0.0022))
    total *= smooth_step(chest.wall / 0.05) * (0.65 + 0.35 * _patches(chest, site.seed, cells=22))
    cover = _fill(chest, total * (0.25 + 0.55 * s))
    chest.extra = chest.extra + 0.35 * paint(chest, strokes, blur=0.001)
    return cover


def _emphysema(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    holes = _patches(chest, site.seed, cells=12) * smooth_step((0.62 - chest.y) / 0.4)
    lungs = np.maximum(chest.lungs[-1], chest.lungs[1])
    chest.vessels = chest.vessels * (1 - 0.75 * enlarge(chest, holes * (0.4 + 0.6 * s)))
    chest.air = chest.air * (1 + 0.14 * s * enlarge(chest, holes))
    return lungs


def _fibrosis(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    rng = np.random.default_rng(site.seed)
    turn = np.linspace(0, 5.2, 7)
    strokes = []
    for _ in range(int(220 + 480 * s)):
        place = Site(
            side=int(rng.choice(SIDES)),
            across=1.05 - 0.75 * rng.random() ** 1.3,
            down=1.1 - 0.9 * rng.random() ** 2.5,
            size=0.0,
            seed=0,
        )
        x, y = _place(chest, place)
        r = rng.uniform(0.004, 0.010) * rng.uniform(0.6, 1.4, (len(turn), 1))
        ring = np.stack([np.cos(turn), np.sin(turn)], axis=1) * r
        strokes.append(Stroke(np.add(ring, [x, y]), rng.uniform(0.3, 1.0), 0.002))
    lungs = np.maximum(chest.lungs[-1], chest.lungs[1])
    net = paint(chest, strokes, blur=0.0013) * enlarge(chest, lungs)
    chest.extra = chest.extra + (0.18 + 0.3 * s) * net
    low = smooth_step((chest.y - chest.body.apex - 0.18) / 0.35) * np.exp(-chest.wall / 0.12)
    return _fill(chest, lungs * low * (0.1 + 0.2 * s))


def _pleural_thickening(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    down = (chest.y - chest.body.apex) / chest.body.height
    if site.down < 0.4:
        where = smooth_step((0.24 - down) / 0.12)
    else:
        where = smooth_step((down - 0.3 - 0.2 * site.across) / 0.15)
    uneven = 0.6 + 0.8 * _patches(chest, site.seed, cells=9)
    band = (0.017 + 0.042 * s) * where * uneven
    cover = smooth_step((band - chest.wall) / 0.008 + 0.5) * (where > 0.05)
    return _fill(chest, _side(chest, site.side) * cover * (0.6 + 0.3 * s))


def _hernia(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    x = chest.body.shift + 0.015 + 0.05 * (site.across - 0.4)
    y = max(chest.body.dome) - 0.02
    radius = 0.062 + 0.04 * site.size
    ball = _ball(chest, x, y, radius, seed=site.seed, rough=0.06)
    turn = np.linspace(0, 2 * np.pi, 32)
    gas = np.stack([np.cos(turn) * 0.6, np.minimum(np.sin(turn) * 0.55, 0.1) - 0.15], axis=1)
    bubble = paint(chest, [Stroke(np.add(gas * radius, [x, y]))], blur=0.002)
    chest.extra = chest.extra + (0.16 + 0.45 * s) * enlarge(chest, smooth_step(1.2 * ball))
    chest.extra = chest.extra - (0.32 + 0.55 * s) * bubble
    chest.air = chest.air * (1 - 0.9 * enlarge(chest, smooth_step(2 * ball)))
    return ball


def _pneumothorax(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    down = (chest.y - chest.body.apex) / chest.body.height
    depth = (0.03 + 0.12 * s) * smooth_step((0.5 + 0.7 * s - down) / 0.45)
    depth *= 1 + 0.12 * np.sin(9 * down + site.size * 6)
    lung = enlarge(chest, chest.lungs[site.side])
    rim = ndimage.gaussian_filter(chest.wall, 0.04 * len(chest.x))
    gap = enlarge(chest, depth - rim)
    free = np.clip(gap / 0.003 + 0.5, 0, 1) * lung
    line = (
        np.clip(1 - np.abs(gap) / 0.0025, 0, 1)
        * lung
        * enlarge(chest, np.clip(depth / 0.02, 0, 1))
    )
    chest.vessels = chest.vessels * (1 - free)
    chest.air = chest.air * (1 - 0.28 * s * (lung - free)) * (1 + 0.18 * free) + 0.05 * free
    chest.extra = chest.extra + 0.2 * line
    gas: Map = chest.lungs[site.side] * (depth > rim) * (depth > 0.004)
    return gas


_DEFORM: dict[str, Callable[[Body, Lesion], Body]] = {
    "Atelectasis": _deform_atelectasis,
    "Cardiomegaly": _deform_cardiomegaly,
    "Pneumothorax": _deform_pneumothorax,
    "Emphysema": _deform_emphysema,
    "Fibrosis": _deform_fibrosis,
}

_DRAW: dict[str, Callable[[Chest, Lesion], Map]] = {
    "Cardiomegaly": _cardiomegaly,
    "Emphysema": _emphysema,
    "Fibrosis": _fibrosis,
    "Edema": _edema,
    "Infiltration": _infiltration,
    "Pneumonia": _pneumonia,
    "Consolidation": _consolidation,
    "Atelectasis": _atelectasis,
    "Mass": _mass,
    "Nodule": _nodule,
    "Hernia": _hernia,
    "Pleural_Thickening": _pleural_thickening,
    "Effusion": _effusion,
    "Pneumothorax": _pneumothorax,
}
