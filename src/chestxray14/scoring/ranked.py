"""What images ranked by their score give: average precision, ROC and precision over recall.

As scikit-learn has them, whose import takes longer than all the scores of a small test part.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the precision at each positive of one finding, averaged; zeros and ones and scores (n,)."""
    hits, false = _count(labels, scores)
    return float(np.sum(np.diff(hits, prepend=0) * (hits / (hits + false))) / hits[-1])


def drop_unknown(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[Any], Floats]:
    """Return labels and scores (n,) of the images whose label is known, zero or one."""
    truth = np.asarray(labels)
    known = (truth == 0) | (truth == 1)
    return truth[known], np.asarray(scores, np.float64)[known]


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Return false and true positive rates from (0, 0) to (1, 1)."""
    hits, false = _count(labels, scores)
    return np.append(0, false) / false[-1], np.append(0, hits) / hits[-1]


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Return recall and precision from recall 0, where nothing is called and precision is 1."""
    hits, false = _count(labels, scores)
    return np.append(0, hits / hits[-1]), np.append(1, hits / (hits + false))


def _count(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many positives and negatives score at least each distinct score, highest first."""
    present, given = np.asarray(labels) == 1, np.asarray(scores, np.float64)
    order = np.argsort(-given, kind="stable")
    last = np.append(np.flatnonzero(np.diff(given[order])), len(given) - 1)
    hits = np.cumsum(present[order])[last]
    return hits, last + 1 - hits
