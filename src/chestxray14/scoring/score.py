"""Everything `evaluate` says of one network, from its predictions alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chestxray14.base.errors import InputError
from chestxray14.base.findings import NO_FINDING
from chestxray14.base.scores import rank_auroc, round_record
from chestxray14.files.names import hash_names
from chestxray14.files.predictions import Predicted
from chestxray14.scoring.bootstrap import (
    Resamples,
    bootstrap_findings,
    bootstrap_sums,
    draw_patients,
)
from chestxray14.scoring.calibration import (
    apply_platt,
    calibration_floor,
    expected_calibration_error,
    fit_line,
    fit_platt,
)
from chestxray14.scoring.claims import estimate, suffice, suffice_for_mean
from chestxray14.scoring.curves import precision_recall_table, reliability_table, roc_table
from chestxray14.scoring.decisions import choose_threshold, score_decisions
from chestxray14.scoring.evaluation import (
    RULES,
    Calibrated,
    Calibration,
    Estimate,
    Evaluation,
    FindingScores,
    OperatingPoint,
    Rule,
)
from chestxray14.scoring.look_alikes import find_look_alikes
from chestxray14.scoring.params import Evaluate
from chestxray14.scoring.ranked import average_precision, drop_unknown
from chestxray14.scoring.subgroups import compare_groups

Matrix = NDArray[np.float64]
Labels = NDArray[Any]


@dataclass(frozen=True)
class Scoring:
    """What is written: the record, the AUROC of each bootstrap draw, and three tables of curves.

    `draws` is (draws, findings), the findings that are scored in the dataset's order, NaN
    as of `bootstrap_auroc`.
    """

    evaluation: Evaluation
    draws: Matrix
    roc: pd.DataFrame
    precision_recall: pd.DataFrame
    reliability: pd.DataFrame


def score(
    test: Predicted,
    *,
    val: Predicted | None = None,
    train: Predicted | None = None,
    params: Evaluate,
    label_version: str,
    doubts: Sequence[str] = (),
) -> Scoring:
    """Return every score of one network on the test part, nothing of it chosen there.

    `val` gives thresholds and calibration; `train`, images it was trained on, a look-alike; `doubts`
    are recorded. Raises `InputError` unless a finding is both present and absent in `test`.
    """
    columns = test.columns
    findings = tuple(name for name in columns if name != NO_FINDING)
    if not findings:
        raise InputError("no finding is both present and absent in the predicted test images")
    labels, scores = test.labels(columns), test.scores(columns)
    resamples = draw_patients(test.known["patient"], draws=params.draws, seed=params.seed)
    draws, precision_draws = bootstrap_findings(labels, scores, resamples)
    patients = [resamples.count_rarer(column) for column in labels.T]
    platt = {} if val is None else _fit_platt(val, columns)
    calibrated = {
        name: apply_platt(scores[:, columns.index(name)], slope=slope, intercept=intercept)
        for name, (slope, intercept) in platt.items()
    }
    points = _decide(test, val, resamples, sensitivity=params.sensitivity)
    scored = {
        name: _score_finding(
            labels[:, i],
            scores[:, i],
            resamples,
            draws=(draws[:, i], precision_draws[:, i]),
            patients=patients[i],
            platt=platt.get(name),
            params=params,
        )
        for i, name in enumerate(columns)
    }
    n = len(findings)
    enough = suffice_for_mean(patients[:n], in_all=int(test.known["patient"].nunique()))
    evaluation = Evaluation(
        label_version=label_version,
        split_sha256=hash_names(test.known["image"]),
        images=len(test.known),
        patients=test.patients,
        draws=params.draws,
        bins=params.bins,
        sensitivity=params.sensitivity,
        auroc={
            "macro": estimate(
                float(np.mean([scored[name].auroc.value for name in findings])),
                draws[:, :n].mean(axis=1),
                enough=enough,
            ),
            "micro": Estimate(value=rank_auroc(labels[:, :n].ravel(), scores[:, :n].ravel())),
        },
        average_precision=estimate(
            float(np.mean([scored[name].average_precision.value for name in findings])),
            precision_draws[:, :n].mean(axis=1),
            enough=enough,
        ),
        findings=scored,
        one_class=tuple(finding for finding in test.findings if finding not in findings),
        operating_points=points,
        subgroups=compare_groups(
            test.known,
            labels[:, :n],
            scores[:, :n],
            resamples,
            findings=findings,
            thresholds=points["youden"].thresholds if "youden" in points else None,
        ),
        look_alikes=find_look_alikes(test, train, findings=findings),
        doubts=tuple(doubts),
    )
    series = {"as predicted": scores[:, :n]}
    if all(finding in calibrated for finding in findings):
        series["after Platt"] = np.column_stack([calibrated[finding] for finding in findings])
    return Scoring(
        evaluation=round_record(evaluation),
        draws=draws[:, :n],
        roc=roc_table(labels[:, :n], scores[:, :n], findings=findings),
        precision_recall=precision_recall_table(labels[:, :n], scores[:, :n], findings=findings),
        reliability=reliability_table(labels[:, :n], series, bins=params.bins),
    )


def _fit_platt(val: Predicted, columns: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return slope and intercept of what validation shows both present and absent."""
    fitted = [name for name in columns if name in val.columns]
    return {name: fit_platt(*_known_pairs(val, name)) for name in fitted}


def _known_pairs(predicted: Predicted, name: str) -> tuple[Labels, Matrix]:
    return drop_unknown(predicted.labels([name])[:, 0], predicted.scores([name])[:, 0])


def _score_finding(
    labels: Labels,
    scores: Matrix,
    resamples: Resamples,
    *,
    draws: tuple[Matrix, Matrix],
    patients: int,
    platt: tuple[float, float] | None,
    params: Evaluate,
) -> FindingScores:
    """Return the scores of one finding; `draws` are those of AUROC and average precision."""
    enough = suffice(patients)
    images, known = len(labels), ~np.isnan(labels)
    if not known.all():
        labels, scores = labels[known], scores[known]
        resamples = resamples.restrict(known)
    fitted = None
    if platt is not None:
        slope, intercept = platt
        after = apply_platt(scores, slope=slope, intercept=intercept)
        fitted = Calibrated(
            slope=slope,
            intercept=intercept,
            calibration=_calibrate(labels, after, resamples, enough=enough, params=params),
        )
    return FindingScores(
        positives=int(labels.sum()),
        patients=patients,
        unknown=images - len(labels) or None,
        prevalence=float(labels.mean()),
        auroc=estimate(rank_auroc(labels, scores), draws[0], enough=enough),
        average_precision=estimate(average_precision(labels, scores), draws[1], enough=enough),
        calibration=_calibrate(labels, scores, resamples, enough=enough, params=params),
        calibrated=fitted,
    )


def _calibrate(
    labels: Labels,
    probabilities: Matrix,
    resamples: Resamples,
    *,
    enough: bool,
    params: Evaluate,
) -> Calibration:
    errors = (probabilities - labels) ** 2
    sums = bootstrap_sums(np.column_stack([errors, np.ones_like(errors)]), resamples)
    line = fit_line(labels, probabilities, resamples.patients) if enough else None
    slope, intercept = line or (None, None)
    return Calibration(
        brier=estimate(float(errors.mean()), sums[:, 0] / sums[:, 1], enough=enough),
        ece=expected_calibration_error(labels, probabilities, bins=params.bins),
        ece_floor=calibration_floor(probabilities, bins=params.bins, seed=params.seed),
        slope=slope,
        intercept=intercept,
    )


def _decide(
    test: Predicted, val: Predicted | None, resamples: Resamples, *, sensitivity: float
) -> dict[Rule, OperatingPoint]:
    """Return decisions by each rule over the findings for which validation gives a threshold."""
    points: dict[Rule, OperatingPoint] = {}
    for rule in RULES:
        chosen = [name for name in test.columns if name != NO_FINDING]
        thresholds = dict.fromkeys(chosen, 0.5)
        if rule != "half":
            chosen = [name for name in chosen if val is not None and name in val.columns]
            thresholds = {
                name: choose_threshold(
                    *_known_pairs(val, name),
                    rule=rule,
                    sensitivity=sensitivity,
                )
                for name in chosen
                if val is not None
            }
        if chosen:
            decisions = test.scores(chosen) >= np.array([thresholds[name] for name in chosen])
            told, macro = score_decisions(
                test.labels(chosen), decisions, resamples, findings=chosen
            )
            points[rule] = OperatingPoint(thresholds=thresholds, decisions=told, macro=macro)
    return points
