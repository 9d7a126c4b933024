"""Whether what a network reaches holds elsewhere: on another dataset, and so on other patients."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from chestxray14.files.predictions import Predicted
from chestxray14.scoring.bootstrap import Resamples, draw_patients
from chestxray14.scoring.calibration import apply_platt
from chestxray14.scoring.claims import (
    estimate,
    estimate_difference,
    suffice,
    suffice_for_mean,
)
from chestxray14.scoring.evaluation import Difference, Estimate, Evaluated, Evaluation

Floats = NDArray[np.float64]
Scores = tuple[Evaluation, Floats]
"""A network's evaluation and the AUROC of its draws, (draws, scored findings)."""


class Drift(Evaluated):
    """How far probabilities are from what is observed: their mean less the share that is ill.

    Above 0 they promise more disease than there is. By finding, and as `macro` in the mean of them;
    `after_platt` by the correction that was fitted on the recipe's own validation part.
    """

    as_predicted: dict[str, Difference]
    after_platt: dict[str, Difference]


def measure_drift(predicted: Predicted, evaluation: Evaluation, *, seed: int) -> Drift:
    """Return the drift of a network on the images that `evaluation` is of, with 95 % intervals."""
    patients = predicted.known["patient"]
    resamples = draw_patients(patients, draws=evaluation.draws, seed=seed)
    raw, corrected = {}, {}
    for finding in evaluation.scored:
        labels = predicted.labels([finding])[:, 0].astype(np.float64)
        given = predicted.scores([finding])[:, 0]
        raw[finding] = given - labels
        if fit := evaluation.findings[finding].calibrated:
            fitted = apply_platt(given, slope=fit.slope, intercept=fit.intercept)
            corrected[finding] = fitted - labels
    return Drift(
        as_predicted=_average(raw, resamples, evaluation),
        after_platt=_average(corrected, resamples, evaluation),
    )


def compare_sets(own: Scores, there: Scores) -> dict[str, tuple[Estimate, Estimate, Difference]]:
    """Return what a network reaches on its own test part, what there, and there less own.

    By finding that both score, after `macro`, their mean; nothing where there is none. The patients
    are others, so a draw of one set says nothing of the same draw of the other.
    """
    shared = [name for name in own[0].scored if name in there[0].scored]
    if not shared:
        return {}

    def compare(names: list[str]) -> tuple[Estimate, Estimate, Difference]:
        values, draws, enough = [], [], []
        for evaluation, all_draws in (own, there):
            found = [evaluation.findings[name] for name in names]
            values.append(float(np.mean([scores.auroc.value for scores in found])))
            draws.append(all_draws[:, [evaluation.scored.index(n) for n in names]].mean(axis=1))
            patients = [scores.patients for scores in found]
            enough.append(suffice_for_mean(patients, in_all=evaluation.units))
        return (
            estimate(values[0], draws[0], enough=enough[0]),
            estimate(values[1], draws[1], enough=enough[1]),
            estimate_difference(values[1] - values[0], draws[1] - draws[0], enough=all(enough)),
        )

    return {"macro": compare(shared)} | {name: compare([name]) for name in shared}


def _average(
    distances: Mapping[str, Floats], resamples: Resamples, evaluation: Evaluation
) -> dict[str, Difference]:
    """Return the mean distance (n,) of each finding over its known labels, after that of all."""
    if not distances:
        return {}
    values: list[float] = []
    draws: list[Floats] = []
    counts = resamples.counts.T.astype(np.float32)
    for distance in distances.values():
        known = ~np.isnan(distance)
        weights = counts @ known.astype(np.float32)
        with np.errstate(invalid="ignore"):
            drawn = counts @ np.where(known, distance, 0) / weights
        values.append(float(distance[known].mean()))
        draws.append(drawn.astype(np.float64))
    patients = [evaluation.findings[finding].patients for finding in distances]
    mean: Floats = np.stack(draws).mean(axis=0)
    enough = suffice_for_mean(patients, in_all=evaluation.units)
    means = {"macro": estimate_difference(float(np.mean(values)), mean, enough=enough)}
    for finding, value, drawn, count in zip(distances, values, draws, patients, strict=True):
        means[finding] = estimate_difference(value, drawn, enough=suffice(count))
    return means
