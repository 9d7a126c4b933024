"""A reader beside a network's ROC curve: who finds more at the reader's specificity."""

import numpy as np
from numpy.typing import NDArray

from chestxray14.scoring.bootstrap import Resamples
from chestxray14.scoring.claims import estimate_difference
from chestxray14.scoring.expert_scores import Reader

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]


def compare_reader(
    present: Truth, given: Floats, called: Truth, resamples: Resamples, *, bounded: bool
) -> Reader:
    """Return a reader's sensitivity and specificity, and the network's sensitivity there.

    `present` is the reference, `given` the network's scores and `called` the reader's calls, of the n
    images that the reader read, both classes among them. In each draw of patients the reader's
    specificity and the network's threshold are found anew. No interval unless `bounded`.
    """
    # The images as they are, then each draw of them.
    counts = np.column_stack([np.ones(len(present), np.uint8), resamples.counts])
    own = _share(called[present], counts[present])
    network = _sensitivity_at(given, present, counts, false=_count(counts[called & ~present]))
    gaps = network - own
    return Reader(
        images=len(present),
        sensitivity=float(own[0]),
        specificity=float(1 - called[~present].mean()),
        network=float(network[0]),
        difference=estimate_difference(float(gaps[0]), gaps[1:], enough=bounded),
    )


def _sensitivity_at(
    given: Floats, present: Truth, counts: NDArray[np.uint8], *, false: NDArray[np.int64]
) -> Floats:
    """Return the highest sensitivity with at most `false` (draws,) false positives, in every draw."""
    order = np.argsort(-given, kind="stable")
    last = np.append(np.flatnonzero(np.diff(given[order])), len(given) - 1)
    ranked, shown = counts[order], present[order][:, None]
    wrong = np.cumsum(ranked * ~shown, axis=0, dtype=np.int32)[last]
    right = np.cumsum(ranked * shown, axis=0, dtype=np.int32)[last]
    # Before the first threshold nothing is called.
    right = np.vstack([np.zeros_like(right[:1]), right])
    places = (wrong <= false).sum(axis=0)
    with np.errstate(invalid="ignore"):
        found: Floats = right[places, np.arange(len(places))] / right[-1]
    return found


def _share(called: Truth, counts: NDArray[np.uint8]) -> Floats:
    with np.errstate(invalid="ignore"):
        share: Floats = _count(counts[called]) / _count(counts)
    return share


def _count(counts: NDArray[np.uint8]) -> NDArray[np.int64]:
    total: NDArray[np.int64] = counts.sum(axis=0, dtype=np.int64)
    return total
