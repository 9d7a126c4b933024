"""The 14 findings, drawn on a chest.

A finding first deforms the body (a large heart, a raised dome), then it changes the maps of the
laid out chest. Those of the lung tissue are in `opacities`; those of the heart, the pleura, the
diaphragm and the air are here.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from chestxray14.phantom import opacities
from chestxray14.phantom.anatomy import lay_out
from chestxray14.phantom.body import Body, hilum, mediastinum_outline
from chestxray14.phantom.film import Chest, Map, Pose, Stroke, enlarge, expose, paint, smooth_step
from chestxray14.phantom.opacities import fill, patches, uneven_ball
from chestxray14.phantom.sites import Lesion, one_side

Box = tuple[float, float, float, float]


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


def _cardiomegaly(chest: Chest, lesion: Lesion) -> Map:
    outline = mediastinum_outline(chest.body)
    cover = paint(chest, [Stroke(outline)], blur=0.0, px=len(chest.x))
    middle = hilum(chest.body, 1)[1]
    floor = chest.body.apex + chest.body.height
    return cover * (chest.y > middle) * (chest.y < floor + 0.02)


def _emphysema(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    holes = patches(chest, site.seed, cells=12) * smooth_step((0.62 - chest.y) / 0.4)
    lungs = np.maximum(chest.lungs[-1], chest.lungs[1])
    chest.vessels = chest.vessels * (1 - 0.75 * enlarge(chest, holes * (0.4 + 0.6 * s)))
    chest.air = chest.air * (1 + 0.14 * s * enlarge(chest, holes))
    return lungs


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
    return fill(chest, one_side(chest, site.side) * fluid * (0.8 + 0.2 * s))


def _pleural_thickening(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    down = (chest.y - chest.body.apex) / chest.body.height
    if site.down < 0.4:
        where = smooth_step((0.24 - down) / 0.12)
    else:
        where = smooth_step((down - 0.3 - 0.2 * site.across) / 0.15)
    uneven = 0.6 + 0.8 * patches(chest, site.seed, cells=9)
    band = (0.017 + 0.042 * s) * where * uneven
    cover = smooth_step((band - chest.wall) / 0.008 + 0.5) * (where > 0.05)
    return fill(chest, one_side(chest, site.side) * cover * (0.6 + 0.3 * s))


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


def _hernia(chest: Chest, lesion: Lesion) -> Map:
    site, s = lesion.site, lesion.strength
    x = chest.body.shift + 0.015 + 0.05 * (site.across - 0.4)
    y = max(chest.body.dome) - 0.02
    radius = 0.062 + 0.04 * site.size
    ball = uneven_ball(chest, x, y, radius, seed=site.seed, rough=0.06)
    turn = np.linspace(0, 2 * np.pi, 32)
    gas = np.stack([np.cos(turn) * 0.6, np.minimum(np.sin(turn) * 0.55, 0.1) - 0.15], axis=1)
    bubble = paint(chest, [Stroke(np.add(gas * radius, [x, y]))], blur=0.002)
    chest.extra = chest.extra + (0.16 + 0.45 * s) * enlarge(chest, smooth_step(1.2 * ball))
    chest.extra = chest.extra - (0.32 + 0.55 * s) * bubble
    chest.air = chest.air * (1 - 0.9 * enlarge(chest, smooth_step(2 * ball)))
    return ball


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
    "Fibrosis": opacities.fibrosis,
    "Edema": opacities.edema,
    "Infiltration": opacities.infiltration,
    "Pneumonia": opacities.pneumonia,
    "Consolidation": opacities.consolidation,
    "Atelectasis": opacities.atelectasis,
    "Mass": opacities.mass,
    "Nodule": opacities.nodule,
    "Hernia": _hernia,
    "Pleural_Thickening": _pleural_thickening,
    "Effusion": _effusion,
    "Pneumothorax": _pneumothorax,
}
