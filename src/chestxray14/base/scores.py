"""How well probabilities rank images, and the digits in which scores are written."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel

Record = TypeVar("Record", bound=BaseModel)

DIGITS = 5
"""Decimals in metrics files: finer than any interval, coarse enough to read a diff."""


def auroc(labels: ArrayLike, scores: ArrayLike, *, findings: Sequence[str]) -> dict[str, float]:
    """Return the AUROC of each finding, their mean as `macro`, and of all pooled as `micro`.

    `labels` are zeros and ones, NaN where unknown, and `scores` any numbers that grow with the
    finding, both (n, len(findings)). A finding of which only one class occurs has no AUROC and is
    left out, also of `macro` and `micro`; where all are, so are those.
    """
    truth = np.asarray(labels)
    given = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(given).all():
        raise ValueError("scores must be finite")
    scored = [i for i in range(len(findings)) if all((truth[:, i] == c).any() for c in (0, 1))]
    if not scored:
        return {}
    single = {findings[i]: rank_auroc(truth[:, i], given[:, i]) for i in scored}
    micro = rank_auroc(truth[:, scored].ravel(), given[:, scored].ravel())
    macro = float(np.mean(list(single.values())))
    return {"macro": macro, "micro": micro, **single}


def rank_auroc(labels: NDArray[Any], scores: NDArray[np.float64]) -> float:
    """Return the AUROC of one finding, zeros and ones (n,) of both classes and scores (n,).

    Where the label is neither, as NaN where it is unknown, an image is left out. The share of pairs of a positive and a negative in which the positive scores higher, ties as
    half (Mann & Whitney 1947).
    """
    negatives = np.sort(scores[labels == 0])
    positives = scores[labels == 1]
    below = np.searchsorted(negatives, positives, side="left")
    not_above = np.searchsorted(negatives, positives, side="right")
    # Whole numbers, so that the sum is exact.
    return float((below + not_above).sum() / (2 * len(positives) * len(negatives)))


def round_record(record: Record) -> Record:
    """Return a record with its floats rounded to `DIGITS` decimals, but for thresholds.

    A rounded threshold could call the very image it was chosen at.
    """
    return type(record).model_validate(_round(record.model_dump()))


def _round(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {k: v if k == "thresholds" else _round(v) for k, v in content.items()}
    return round(content, DIGITS) if isinstance(content, float) else content
