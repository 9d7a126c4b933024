"""One patient's normal chest, drawn as a sum of X-ray attenuation.

`lay_out` paints soft tissue, air, vessels and bones of a body in a pose, each to a map of its own.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from chestxray14.phantom.body import (
    SIDES,
    Body,
    chest_wall,
    hilum,
    lung_outline,
    mediastinum_outline,
    spline,
)
from chestxray14.phantom.film import (
    FINE,
    GRID,
    Chest,
    Map,
    Pose,
    Stroke,
    body_grid,
    enlarge,
    equipment,
    noise_table,
    paint,
    resize,
    sample,
    smooth_step,
)


def lay_out(body: Body, pose: Pose, px: int) -> Chest:
    """Return the maps of a chest in a pose, `px` pixels square."""
    up = pose.breath
    body = replace(body, dome=(body.dome[0] - up, body.dome[1] - up))
    if pose.portable:
        body = replace(body, heart=body.heart * 1.1, mediastinum=body.mediastinum * 1.2)
    x, y = body_grid(pose, min(px, GRID))
    empty = np.zeros((px, px), np.float32)
    chest = Chest(
        body=body, pose=pose, px=px, thick=empty, air=empty, vessels=empty, bone=empty,
        extra=empty, x=x, y=y, wall=np.zeros_like(x), lungs={},
    )  # fmt: skip
    cage = Stroke(
        np.vstack([chest_wall(body, -1)[::-1], chest_wall(body, 1), [(0.5, 1.6), (-0.5, 1.6)]])
    )
    inside = paint(chest, [cage], blur=0.0, px=128)
    wall = ndimage.distance_transform_edt(inside > 0.5) / 128
    chest.wall = resize(wall.astype(np.float32), len(x))
    chest.thick = _soft_tissue(chest)
    covers = {
        side: paint(chest, [Stroke(lung_outline(body, side))], blur=0.0015) for side in SIDES
    }
    chest.lungs = {side: resize(cover, len(x)) for side, cover in covers.items()}

    depth = 1 - np.exp(-chest.wall / 0.045)
    depth *= 0.72 + 0.28 * np.clip((y - body.apex) / 0.25, 0, 1)
    both = covers[-1] + covers[1]
    heart = paint(chest, [Stroke(mediastinum_outline(body))], blur=0.0025)
    # Heart and vessels are thickest in their middle; lung lies before and behind their edge.
    solid = ndimage.gaussian_filter(resize(heart, 64), 2.2)
    hidden = heart * enlarge(chest, 0.83 + 0.16 * resize(solid, len(x)))
    chest.air = both * enlarge(chest, depth * body.air) * (1 - hidden)
    chest.air += 0.2 * paint(chest, _airways(body), blur=0.003) * (1 - 0.5 * both)
    chest.air += 0.35 * paint(chest, _stomach_gas(body), blur=0.004)
    chest.vessels = paint(chest, _vessels(body, px), blur=0.0016) * both * (1 - 0.75 * heart)
    chest.vessels += 0.5 * enlarge(chest, _hila(chest)) * both
    chest.bone = _bones(chest)
    chest.extra = equipment(chest)
    return chest


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
        rim = np.maximum(resize(rim / 128, len(chest.x)), 0.002)
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


def _vessels(body: Body, px: int) -> list[Stroke]:
    seen = body.branches[body.branches[:, 4] > 0.6 / (px if px >= FINE else 2 * px)]
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


def _bones(chest: Chest) -> Map:
    body = chest.body
    back, front = list[Stroke](), list[Stroke]()
    wall = chest_wall(body, 1)
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
