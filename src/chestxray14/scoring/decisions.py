"""From probabilities to present and absent: thresholds, and what the decisions reach."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chestxray14.scoring import claims
from chestxray14.scoring.bootstrap import Resamples, bootstrap_sums
from chestxray14.scoring.claims import estimate
from chestxray14.scoring.evaluation import Decision, Estimate, Rule

Floats = NDArray[np.float64]

COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")


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


def measure(counts: ArrayLike) -> dict[str, Floats]:
    """Return what is told of decisions, from hits, false alarms, misses and right rejections (4, ...).

    Keys are those of `Decision`; NaN where a share is 0 / 0.
    """
    hits, false, missed, rejected = np.asarray(counts, np.float64)
    shares = {
        "sensitivity": (hits, hits + missed),
        "specificity": (rejected, rejected + false),
        "precision": (hits, hits + false),
        "npv": (rejected, rejected + missed),
        "f1": (2 * hits, 2 * hits + false + missed),
    }
    with np.errstate(invalid="ignore"):
        return {name: part / whole for name, (part, whole) in shares.items()}


def score_decisions(
    labels: ArrayLike, decisions: ArrayLike, resamples: Resamples, *, findings: Sequence[str]
) -> tuple[dict[str, Decision], dict[str, Estimate]]:
    """Return the decisions on each finding, and the mean of each share over them.

    Both are zeros and ones (n, len(findings)), a label NaN where unknown, which counts nowhere.
    Values are those of scikit-learn's `classification_report` with `zero_division=0`. A share has an
    interval by the patients of the rarer class, and by those whom it is a share of.
    """
    truth, called = np.asarray(labels), np.asarray(decisions) == 1
    shown, lacked = truth == 1, truth == 0
    outcomes = np.stack([shown & called, lacked & called, shown & ~called, lacked & ~called], 1)
    counts = outcomes.sum(axis=0)
    sums = bootstrap_sums(outcomes.reshape(len(truth), -1), resamples)
    draws = measure(sums.reshape(-1, *counts.shape).swapaxes(0, 1))
    values = {name: np.nan_to_num(share) for name, share in measure(counts).items()}

    rarer = [resamples.count_rarer(column) for column in truth.T]

    def limit(among: NDArray[np.bool_]) -> list[int]:
        return [min(n, resamples.count_patients(of)) for n, of in zip(rarer, among.T, strict=True)]

    known = shown | lacked
    patients = dict.fromkeys(values, rarer) | {
        # What few are called says little, be the finding as common as it may.
        "precision": limit(known & called),
        "npv": limit(known & ~called),
    }
    told = {
        finding: Decision.model_validate(
            dict(zip(COUNTS, map(int, counts[:, i]), strict=True))
            | {
                name: estimate(
                    float(share[i]), draws[name][:, i], enough=claims.suffice(patients[name][i])
                )
                for name, share in values.items()
            }
        )
        for i, finding in enumerate(findings)
    }
    macro = {
        name: estimate(
            float(share.mean()),
            draws[name].mean(axis=1),
            enough=claims.suffice_for_mean(
                patients[name], in_all=len(np.unique(resamples.patients))
            ),
        )
        for name, share in values.items()
    }
    return told, macro
