"""Findings of the lung tissue: round, patchy, lobar and netlike opacities.

An opacity replaces air by tissue, and hides the vessels that lie in it.
"""

from dataclasses import replace

import numpy as np

from chestxray14.phantom.body import SIDES, hilum
from chestxray14.phantom.film import (
    Chest,
    Map,
    Stroke,
    enlarge,
    noise_table,
    paint,
    sample,
    smooth_step,
)
from chestxray14.phantom.sites import Lesion, Site, locate, one_side


def atelectasis(chest: Chest, lesion: Lesion) -> Map:
    """Draw a collapsed lower lobe or a few plates above the diaphragm; return where."""
    site, s = lesion.site, lesion.strength
    rng = np.random.default_rng(site.seed)
    lung = one_side(chest, site.side)
    if site.size > 0.6:
        # A collapsed lower lobe: a wedge from the hilum down, along the spine.
        x, y = hilum(chest.body, site.side)
        edge = 0.07 + (chest.y - y) * (0.35 + 0.3 * s)
        wedge = smooth_step((edge - chest.x * site.side) / 0.02) * smooth_step(
            (chest.y - y) / 0.12
        )
        base = smooth_step((chest.y - y - 0.14) / 0.1)
        return fill(chest, lung * np.maximum(wedge, 0.35 * base) * (0.4 + 0.45 * s))
    total = np.zeros_like(chest.x)
    for _ in range(1 + int(site.size * 5)):
        place = replace(site, across=rng.uniform(0.25, 0.75), down=rng.uniform(0.68, 0.95))
        x, y = locate(chest, place)
        angle = rng.normal(0.15 * site.side, 0.3)
        along = (chest.x - x) * np.cos(angle) + (chest.y - y) * np.sin(angle)
        off = (chest.y - y) * np.cos(angle) - (chest.x - x) * np.sin(angle)
        long, thick = rng.uniform(0.045, 0.08), rng.uniform(0.005, 0.007) + 0.006 * s
        plate = np.exp(-((along / long) ** 4) - ((off + 0.7 * along**2) / thick) ** 2)
        total = np.maximum(total, plate)
    return fill(chest, lung * total * (0.3 + 0.4 * s))


def infiltration(chest: Chest, lesion: Lesion) -> Map:
    """Draw faint, patchy clouds without an edge on one or both sides; return where."""
    site, s = lesion.site, lesion.strength
    total = np.zeros_like(chest.x)
    for side in SIDES if site.size > 0.55 else (site.side,):
        place = replace(
            site, side=side, across=0.2 + 0.5 * site.across, down=0.3 + 0.6 * site.down
        )
        x, y = locate(chest, place)
        r = 0.09 + 0.05 * site.size
        total += _blob(chest, x, y, r, 1.25 * r) * one_side(chest, side)
    return fill(
        chest, total * (0.25 + 0.75 * patches(chest, site.seed, cells=18)) * (0.18 + 0.42 * s)
    )


def mass(chest: Chest, lesion: Lesion) -> Map:
    """Draw a ball of more than three centimetres; return where."""
    site, s = lesion.site, lesion.strength
    x, y = locate(
        chest, replace(site, across=0.15 + 0.7 * site.across, down=0.15 + 0.65 * site.down)
    )
    ball = uneven_ball(
        chest, x, y, 0.048 + 0.042 * site.size * (0.5 + 0.5 * s), seed=site.seed, rough=0.08
    )
    return fill(chest, ball * (0.3 + 0.55 * s))


def nodule(chest: Chest, lesion: Lesion) -> Map:
    """Draw one or a few balls of less than three centimetres; return where."""
    site, s = lesion.site, lesion.strength
    rng = np.random.default_rng(site.seed)
    total = np.zeros_like(chest.x)
    for i in range(1 + int(3 * max(0.0, site.size - 0.4))):
        place = replace(site, across=0.15 + 0.75 * rng.random(), down=0.12 + 0.75 * rng.random())
        x, y = locate(chest, place)
        radius = 0.014 + 0.02 * rng.random()
        total = np.maximum(total, uneven_ball(chest, x, y, radius, seed=site.seed + i, rough=0.1))
    return fill(chest, total * (0.24 + 0.46 * s))


def pneumonia(chest: Chest, lesion: Lesion) -> Map:
    """Draw a patchy opacity in which airways stay open; return where."""
    site, s = lesion.site, lesion.strength
    x, y = locate(
        chest, replace(site, across=0.3 + 0.4 * site.across, down=0.35 + 0.55 * site.down)
    )
    r = 0.085 + 0.04 * site.size
    lobe = np.clip(1.6 * _blob(chest, x, y, r, 1.1 * r) - 0.15, 0, 1)
    patchy = 0.35 + 0.65 * patches(chest, site.seed, cells=26)
    return fill(chest, one_side(chest, site.side) * lobe * patchy * (0.24 + 0.51 * s), bronchi=0.5)


def consolidation(chest: Chest, lesion: Lesion) -> Map:
    """Draw a dense, even opacity that ends at a fissure; return where."""
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
    x, y = locate(chest, reach)
    r = 0.1 + 0.06 * site.size
    lobe *= np.clip(1.9 * _blob(chest, x, y, r, 1.4 * r) - 0.1, 0, 1)
    even = 0.9 + 0.1 * patches(chest, site.seed, cells=14)
    return fill(chest, one_side(chest, site.side) * lobe * even * (0.33 + 0.62 * s), bronchi=0.3)


def edema(chest: Chest, lesion: Lesion) -> Map:
    """Draw clouds around both hila and lines at the wall (Kerley B); return where."""
    site, s = lesion.site, lesion.strength
    total = np.zeros_like(chest.x)
    strokes = []
    rng = np.random.default_rng(site.seed)
    for side in SIDES:
        x, y = hilum(chest.body, side)
        total += _blob(chest, x + side * 0.05, y + 0.04, 0.14, 0.19) * one_side(chest, side)
        base = chest.body.dome[side > 0] + 0.3 * chest.body.sulcus
        for i in range(8):
            # Kerley's B lines: short, level, at the wall above the angle.
            at = np.array([(side * (chest.body.width * 0.95), base - 0.018 * i - 0.01)])
            line = np.vstack([at, at - [side * rng.uniform(0.025, 0.05), rng.normal(0, 0.003)]])
            strokes.append(Stroke(line, 0.4 + 0.6 * s, 0.0022))
    total *= smooth_step(chest.wall / 0.05) * (0.65 + 0.35 * patches(chest, site.seed, cells=22))
    cover = fill(chest, total * (0.25 + 0.55 * s))
    chest.extra = chest.extra + 0.35 * paint(chest, strokes, blur=0.001)
    return cover


def fibrosis(chest: Chest, lesion: Lesion) -> Map:
    """Draw a net of fine rings, densest low and at the wall; return where."""
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
        x, y = locate(chest, place)
        r = rng.uniform(0.004, 0.010) * rng.uniform(0.6, 1.4, (len(turn), 1))
        ring = np.stack([np.cos(turn), np.sin(turn)], axis=1) * r
        strokes.append(Stroke(np.add(ring, [x, y]), rng.uniform(0.3, 1.0), 0.002))
    lungs = np.maximum(chest.lungs[-1], chest.lungs[1])
    net = paint(chest, strokes, blur=0.0013) * enlarge(chest, lungs)
    chest.extra = chest.extra + (0.18 + 0.3 * s) * net
    low = smooth_step((chest.y - chest.body.apex - 0.18) / 0.35) * np.exp(-chest.wall / 0.12)
    return fill(chest, lungs * low * (0.1 + 0.2 * s))


def fill(chest: Chest, opacity: Map, *, bronchi: float = 0.0) -> Map:
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


def patches(chest: Chest, seed: int, *, cells: int) -> Map:
    """Return patches, 0 to 1, about `cells` to the side of the picture."""
    noise = sample(noise_table(seed, cells), chest) + 0.5 * sample(
        noise_table(seed + 1, 2 * cells), chest
    )
    return smooth_step(0.5 + 0.45 * noise)


def uneven_ball(
    chest: Chest, x: float, y: float, radius: float, *, seed: int, rough: float
) -> Map:
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


def _blob(chest: Chest, x: float, y: float, rx: float, ry: float) -> Map:
    out: Map = np.exp(-(((chest.x - x) / rx) ** 2) - ((chest.y - y) / ry) ** 2)
    return out
