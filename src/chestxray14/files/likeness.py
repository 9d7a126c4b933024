"""How a chest looks on the whole, so that a picture of something else is noticed.

A picture is reduced to `CELLS` a side and its cells are ranked by grey, so that neither exposure nor
contrast counts. Two such pictures are alike as far as their ranks correlate (Spearman).
"""

from collections.abc import Iterable, Sequence
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field

from chestxray14.base.params import Views

CELLS = 16

LEAST_LIKENESS = 0.25
"""Likeness to the mean chest below which a picture is none.

Of 147 real radiographs the lowest had 0.29, with the mean of others.
"""

TURNED_BY = 0.05
"""How much more like a chest a picture may be upside down or on its side."""


Look = Annotated[tuple[float, ...], Field(min_length=CELLS**2, max_length=CELLS**2)]


class Shown(BaseModel):
    """predictions/<recipe>/views.json: what `predict` showed the network of an image.

    `look` is how training images look on the whole, None where a version before wrote the file.
    """

    views: Views
    look: Look | None = None


def find_look(images: Iterable[NDArray[np.uint8]]) -> tuple[float, ...]:
    """Return the look of packed images (P, P): the mean of their ranked cells, row by row."""
    look = np.mean([_rank(image) for image in images], axis=0)
    return tuple(np.round(look, 2).ravel().tolist())


def is_like(image: NDArray[np.uint8], look: Sequence[float]) -> bool:
    """Tell whether a packed image (P, P) looks like the images of `look`, and not turned.

    A mirrored chest does, and a slice of the trunk may.
    """
    cells, chest = _rank(image), np.reshape(look, (CELLS, CELLS))
    turned = (cells[::-1], cells[::-1, ::-1], np.rot90(cells), np.rot90(cells, -1))
    likeness = _correlate(cells, chest)
    return likeness >= LEAST_LIKENESS and all(
        _correlate(other, chest) <= likeness + TURNED_BY for other in turned
    )


def _rank(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    cells = np.asarray(
        Image.fromarray(image).convert("F").resize((CELLS, CELLS), Image.Resampling.BOX)
    )
    # scipy.stats has this too, and takes half a second to import.
    ranks = np.asarray(pd.Series(cells.ravel()).rank(), dtype=np.float64)
    return ranks.reshape(CELLS, CELLS)


def _correlate(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    first, second = first - first.mean(), second - second.mean()
    norm = np.linalg.norm(first) * np.linalg.norm(second)
    return float((first * second).sum() / max(norm, 1e-9))
