"""What draws of patients allow to be said: intervals, differences, p values, and when neither.

Simulated with this code (`benchmarks/intervals.py`, AUROC 0.85), the "95 %" interval of one finding holds
the truth in 57, 71, 83, 89, 92 and 93 % where 2, 3, 5, 10, 20 and 40 patients have the finding, and p is
below 0.05 where nothing differs in 28, 16, 8, 7, 6 and 4 %. The interval of a mean over findings, drawn
independently, holds it in 92 to 95 % by the rule of `suffice_for_mean`, also at AUROC 0.7.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from chestxray14.scoring.evaluation import Bounded, Difference, Estimate

Floats = NDArray[np.float64]

AT_LEAST = 20
"""Patients of the rarer class below which there is no interval, no p and no score of a group."""

AT_LEAST_IN_A_MEAN = 5, 50
"""The same of each of several rarer findings whose mean has an interval, and of what all weigh together."""

FEW = 40
"""Patients of the rarer class below which an interval is still a little too narrow."""

LEAST_DIGITS, MOST_DIGITS = 2, 4
"""Decimals that a score is printed with."""


def suffice(patients: int) -> bool:
    """Return whether so many patients of the rarer class allow an interval."""
    return patients >= AT_LEAST


def suffice_for_mean(patients: Sequence[int], *, in_all: int) -> bool:
    """Return whether a mean over findings has an interval, from the patients of each's rarer class.

    It has one where each of them would have its own. Else a mean is surer than its parts, but no surer
    than what it mostly varies by: patients are counted as Welch and Satterthwaite count degrees of
    freedom, so that k findings of n patients weigh k n, and one rare finding among common ones little
    more than itself.
    """
    each, together = AT_LEAST_IN_A_MEAN
    if in_all < AT_LEAST or min(patients) < (each if len(patients) > 1 else AT_LEAST):
        return False
    variances = 1 / np.array(patients, dtype=np.float64)
    weight = variances.sum() ** 2 / (variances**3).sum() * (1 + 1e-9)
    return min(patients) >= AT_LEAST or bool(weight >= together)


def interval(values: Floats) -> tuple[float, float] | None:
    """Return the 95 % percentile interval over the draws that have a value.

    The 2.5th and 97.5th percentile (Efron & Tibshirani 1993, chapter 13). Draws without one of the
    two classes have none and are left out, so that it holds for patients who show both. None where
    more than half of the draws are left out, and where all are equal, which says nothing.
    """
    finite = values[np.isfinite(values)]
    if not len(finite) or len(finite) < len(values) / 2 or np.ptp(finite) == 0:
        return None
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


def estimate(value: float, draws: Floats, *, enough: bool) -> Estimate:
    """Return a score with the interval of its draws, without bounds where there is none."""
    low, high = (interval(draws) if enough else None) or (None, None)
    return Estimate(value=value, low=low, high=high)


def estimate_difference(value: float, draws: Floats, *, enough: bool) -> Difference:
    """Return a paired difference with the interval and the p of its draws.

    `draws` has one network's score less another's, both in the same draw of patients. Without
    bounds and p where there is no interval.
    """
    bounds = interval(draws) if enough else None
    if bounds is None:
        return Difference(value=value)
    return Difference(value=value, low=bounds[0], high=bounds[1], p=p_value(draws))


def p_value(differences: Floats) -> float:
    """Return the two-sided p of paired differences, one a draw, that NaN is left out of.

    Twice the smaller share of the draws on either side of 0, which is the level at which the
    percentile interval just reaches 0 (Efron & Tibshirani 1993), at most 1. One is added to both
    counts, so that B draws never claim less than 2 / (B + 1) (Davison & Hinkley 1997, chapter 4).
    Paired means that both networks were scored with the same counts.
    """
    finite = differences[np.isfinite(differences)]
    fewer = min(np.count_nonzero(finite <= 0), np.count_nonzero(finite >= 0))
    return min(1.0, 2 * (fewer + 1) / (len(finite) + 1))


def adjust(differences: Sequence[Difference]) -> list[Difference]:
    """Return differences with their p adjusted for being asked together (Holm 1979).

    The i-th smallest of m is multiplied by m + 1 - i and never below one before it.
    """
    asked = [each.p for each in differences if each.p is not None]
    adjusted: dict[float, float] = {}
    largest = 0.0
    for place, p in enumerate(sorted(asked)):
        largest = max(largest, min(1.0, p * (len(asked) - place)))
        adjusted.setdefault(p, largest)
    return [
        each if each.p is None else each.model_copy(update={"p": adjusted[each.p]})
        for each in differences
    ]


def count_comparable(draws: int) -> int:
    """Return how many differences so many draws can tell apart when asked together.

    Of more, even the least p that the draws can have is not below 0.05 after Holm.
    """
    return sum(Difference(value=0, p=2 * m / (draws + 1)).told_apart for m in range(1, draws // 2))


def choose_digits(estimates: Iterable[Estimate | Bounded]) -> int:
    """Return how many decimals scores with such intervals are worth, from `LEAST_DIGITS` on.

    A step of the last one is at most half the standard error that the narrowest interval has.
    """
    errors = [
        (e.high - e.low) / 3.92 / 2 for e in estimates if e.low is not None and e.high is not None
    ]
    if not errors or min(errors) <= 0:
        return LEAST_DIGITS
    return min(MOST_DIGITS, max(LEAST_DIGITS, math.ceil(-math.log10(min(errors)))))


def p_text(p: float) -> str:
    """Return a p as it is printed everywhere; the draws' own least is in `p_value`."""
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"
