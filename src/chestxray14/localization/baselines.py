"""What maps of noise, and one box in the image's centre, find in place of a network's heatmap."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chestxray14.base.draws import generator
from chestxray14.files.packed import IMAGE_PX
from chestxray14.localization.boxes import Boxes, Heatmap, find_boxes, find_peak
from chestxray14.localization.cases import Case

NOISE_DRAWS = 10
"""Maps of noise for each heatmap: with one alone, few boxes would have a baseline by luck."""

CENTRE: Boxes = np.array([[0.25, 0.25, 0.5, 0.5]]) * IMAGE_PX
"""The centre baseline, half the image's side: a round number, fitted to no box."""


def put_centre(cases: Iterable[Case]) -> Iterator[Case]:
    """Yield each case with `CENTRE` and the image's middle in place of what its heatmap finds."""
    middle = (IMAGE_PX / 2, IMAGE_PX / 2)
    for case in cases:
        yield replace(case, found=CENTRE, hot=CENTRE, peak=middle)


def put_noise(cases: Iterable[Case], *, cells: int, resolution: int, seed: int) -> Iterator[Case]:
    """Yield `NOISE_DRAWS` of each case, with what maps of uniform noise find in place of its own.

    Noise of `cells` a side is enlarged bilinearly to (resolution, resolution).
    """
    for case in cases:
        name = zlib.crc32(f"{case.image}/{case.finding}".encode())
        for draw in range(NOISE_DRAWS):
            noise = generator("noise", seed, name, draw).random((cells, cells))
            heatmap = enlarge(noise, resolution)
            found, hot = find_boxes(heatmap)
            yield replace(case, found=found, hot=hot, peak=find_peak(heatmap))


def enlarge(cells: Heatmap, resolution: int) -> NDArray[np.float64]:
    """Return a map (g, g) enlarged bilinearly to (resolution, resolution).

    Cells have their values in their middles and the outermost ones go on to the edge, as in
    PyTorch's `interpolate` without `align_corners`.
    """
    middles = (np.arange(resolution) + 0.5) * len(cells) / resolution - 0.5
    places = np.clip(middles, 0, len(cells) - 1)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(len(cells))))
    enlarged: NDArray[np.float64] = weights @ cells @ weights.T
    return enlarged
