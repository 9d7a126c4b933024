"""From probabilities to present and absent: thresholds, and what the decisions reach."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chestxray14.scoring.evaluation import AVERAGES, Decision, Rule

Counts = NDArray[np.int64]


def choose_threshold(
    labels: ArrayLike, probabilities: ArrayLike, *, rule: Rule, sensitivity: float
) -> float:
    """Return from which probability on one finding is called present.

    `labels` are zeros and ones, both (n,), of the validation part. Candidates are the
    probabilities that occur; of equally good ones the highest is chosen, which calls the fewest.
    `sensitivity`, a share, is what the rule of that name asks for. All rules but `half` need
    both classes and raise `ValueError` where one is missing.
    """
    if rule == "half":
        return 0.5
    present = np.asarray(labels) == 1
    positives, negatives = np.count_nonzero(present), np.count_nonzero(~present)
    if not positives or not negatives:
        raise ValueError("a threshold is chosen where a finding is both present and absent")
    candidates, places = np.unique(np.asarray(probabilities, np.float64), return_inverse=True)
    # From the highest candidate down, so that the first of the best is the highest.
    candidates = candidates[::-1]
    right = np.cumsum(np.bincount(places[present], minlength=len(candidates))[::-1])
    wrong = np.cumsum(np.bincount(places[~present], minlength=len(candidates))[::-1])
    if rule == "youden":
        # Times both class sizes: whole numbers, in which ties are exact.
        best = np.argmax(right * negatives - wrong * positives)
    elif rule == "max_f1":
        best = np.argmax(2 * right / (right + wrong + positives))
    else:
        best = np.argmax(right / positives >= sensitivity)
    return float(candidates[best])


def score_decisions(
    labels: ArrayLike, decisions: ArrayLike, *, findings: Sequence[str]
) -> dict[str, Decision]:
    """Return precision, recall and F1 of each finding, then of `AVERAGES`.

    Both are zeros and ones (n, len(findings)), a label NaN where unknown, which counts nowhere; also for a single finding, of which scikit-learn's
    report would have two classes and no averages. Otherwise equal to its `classification_report`
    with `zero_division=0`: micro pools all decisions, macro is the mean over the findings, weighted
    that by positives, samples the mean over the images.
    """
    truth = np.asarray(labels) == 1
    called = (np.asarray(decisions) == 1) & (truth | (np.asarray(labels) == 0))
    right = truth & called
    single = _rates(right.sum(axis=0), called.sum(axis=0), truth.sum(axis=0))
    by_image = _rates(right.sum(axis=1), called.sum(axis=1), truth.sum(axis=1))
    positives = truth.sum(axis=0)
    total = int(positives.sum())
    averages = (
        _rates(right.sum(), called.sum(), truth.sum()),
        single.mean(axis=1),
        single @ positives / max(total, 1),
        by_image.mean(axis=1),
    )
    rows = [
        *zip(findings, single.T, positives, strict=True),
        *((name, rates, total) for name, rates in zip(AVERAGES, averages, strict=True)),
    ]
    return {
        name: Decision(
            precision=float(precision), recall=float(recall), f1=float(f1), positives=int(count)
        )
        for name, (precision, recall, f1), count in rows
    }


def _rates(right: Counts, called: Counts, present: Counts) -> NDArray[np.float64]:
    """Return precision, recall and F1, stacked, 0 where they are 0 / 0."""
    shares = (right, called), (right, present), (2 * right, called + present)
    return np.stack([part / np.maximum(whole, 1) for part, whole in shares])
