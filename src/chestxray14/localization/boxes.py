"""Boxes: those that a heatmap's bright regions have, and how two overlap.

A box is x, y, width and height in a picture of 1024 pixels a side, from its upper left corner.
"""

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from chestxray14.files.packed import IMAGE_PX

Boxes = NDArray[np.float64]
"""Boxes (n, 4), sides above 0."""

Heatmap = NDArray[np.floating[Any]]

NO_BOXES: Boxes = np.empty((0, 4))

CUTS = (60, 180)
"""Grey values, of 0 to 255, above which a heatmap's cells make boxes; each cut by itself."""


def find_boxes(heatmap: Heatmap) -> tuple[Boxes, Boxes]:
    """Return a box round each bright region of a heatmap (G, G) of the whole image, and the hot ones.

    After Wang et al. 2017: values are scaled to 0 to 255 over the map's own range, unrounded;
    those above each of `CUTS` form regions, cells that touch at a corner belonging together; hot are
    those of the highest cut. Boxes (n, 4) go from cell edge to cell edge, ordered by x, y, width and
    height, and one that two cuts make occurs once. Cells that are NaN were not seen by the network
    and lie in no region; a flat map has no box.
    """
    values = np.asarray(heatmap, dtype=np.float64)
    seen = values[~np.isnan(values)]
    if not seen.size or seen.min() == seen.max():
        return NO_BOXES, NO_BOXES
    scaled = (values - seen.min()) / (seen.max() - seen.min()) * 255
    touching = np.ones((3, 3))
    cut_off = [
        [
            (c.start, r.start, c.stop - c.start, r.stop - r.start)
            for r, c in ndimage.find_objects(ndimage.label(scaled > cut, touching)[0])
        ]
        for cut in CUTS
    ]
    found, hot = (
        np.array(sorted(set(cells)), dtype=np.float64) * IMAGE_PX / len(values)
        for cells in (chain.from_iterable(cut_off), cut_off[-1])
    )
    return found, hot


def find_peak(heatmap: Heatmap) -> tuple[float, float]:
    """Return x and y of the middle of the highest cell, NaN where a map (G, G) is flat.

    Among equally high cells that nearest the image's centre counts: beyond the middles of a
    network's outermost cells a map goes on to the edge as it is. NaN cells are skipped.
    """
    values = np.asarray(heatmap, dtype=np.float64)
    seen = values[~np.isnan(values)]
    if not seen.size or seen.min() == seen.max():
        return np.nan, np.nan
    places = np.argwhere(values == seen.max())
    away = ((2 * places + 1 - len(values)) ** 2).sum(axis=1)
    row, column = places[away.argmin()]
    cell = IMAGE_PX / len(values)
    return float((column + 0.5) * cell), float((row + 0.5) * cell)


def intersect(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Return the area that each of `first` (n, 4) shares with each of `second` (m, 4), (n, m)."""
    a, b = first[:, None], second[None]
    corner = np.maximum(a[..., :2], b[..., :2])
    end = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    # x + width - x may exceed the width by a rounding error.
    sides = np.clip(end - corner, 0, np.minimum(a[..., 2:], b[..., 2:]))
    area: NDArray[np.float64] = sides.prod(axis=-1)
    return area


def iou(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Return intersection over union of `first` (n, 4) and `second` (m, 4), (n, m), 0 to 1."""
    shared = intersect(first, second)
    both = first[:, 2:].prod(axis=1)[:, None] + second[:, 2:].prod(axis=1)[None]
    over: NDArray[np.float64] = shared / (both - shared)
    return over


def iobb(detected: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Return intersection over the area of the detected box (Wang et al. 2017), 0 to 1.

    `detected` (n, 4) are a network's, `truth` (m, 4) a radiologist's, the result is (n, m). A
    small box inside a large lesion has 1, whatever it misses of it.
    """
    over: NDArray[np.float64] = intersect(detected, truth) / detected[:, 2:].prod(axis=1)[:, None]
    return over


def hold(boxes: Boxes, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether each box (n, 4) holds each point (m, 2), (n, m), its edges included."""
    start, end = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:]
    inside: NDArray[np.bool_] = np.logical_and.reduce((start <= points) & (points <= end), axis=-1)
    return inside
