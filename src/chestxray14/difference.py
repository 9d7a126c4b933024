"""Two networks on the same test images: the paired difference of their AUROC."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from chestxray14.bootstrap import interval, p_value
from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.scores import DIGITS
from chestxray14.scoring import Scoring


def subtract(first: Scoring, second: Scoring) -> Mapping[str, Mapping[str, float]]:
    """Return first less second, by finding and as `macro` over those that both score.

    Each has its difference, the 95 % interval from the same draws of patients (`low`, `high`, left
    out where too few draws have both classes) and the two-sided p value. Raises `InputError` when
    no finding is scored in both.
    """
    scored = [[f for f in FINDINGS if f in each.evaluation.findings] for each in (first, second)]
    shared = [finding for finding in scored[0] if finding in scored[1]]
    if not shared:
        raise InputError("the two networks have no scored finding in common")
    values, draws = [], []
    for each, findings in zip((first, second), scored, strict=True):
        values.append([each.evaluation.findings[finding].auroc.value for finding in shared])
        draws.append(each.draws[:, [findings.index(finding) for finding in shared]])
    value, drawn = np.array(values[0]) - np.array(values[1]), draws[0] - draws[1]
    differences = {"macro": _describe(float(value.mean()), drawn.mean(axis=1))}
    for i, finding in enumerate(shared):
        differences[finding] = _describe(float(value[i]), drawn[:, i])
    return differences


def _describe(value: float, draws: NDArray[np.float64]) -> dict[str, float]:
    described = {"difference": value}
    if bounds := interval(draws):
        described |= {"low": bounds[0], "high": bounds[1], "p": p_value(draws)}
    return {name: round(number, DIGITS) for name, number in described.items()}
