"""Everything `evaluate` says of one network, from its predictions alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chestxray14.base.errors import InputError
from chestxray14.base.findings import NO_FINDING
from chestxray14.base.scores import DIGITS, rank_auroc, round_record
from chestxray14.files.names import hash_names
from chestxray14.files.predictions import Predicted
from chestxray14.scoring.bootstrap import (
    Resamples,
    bootstrap_auroc,
    bootstrap_findings,
    draw_patients,
    estimate,
)
from chestxray14.scoring.calibration import apply_platt, expected_calibration_error, fit_platt
from chestxray14.scoring.curves import precision_recall_table, reliability_table, roc_table
from chestxray14.scoring.decisions import choose_threshold, score_decisions
from chestxray14.scoring.evaluation import (
    RULES,
    Calibrated,
    Estimate,
    Evaluation,
    FindingScores,
    OperatingPoint,
    Rule,
)
from chestxray14.scoring.look_alikes import find_look_alikes
from chestxray14.scoring.params import Evaluate
from chestxray14.scoring.ranked import average_precision, brier_score, drop_unknown
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
    draws = bootstrap_findings(labels, scores, resamples)
    platt = {} if val is None else _fit_platt(val, columns)
    calibrated = {
        name: apply_platt(scores[:, columns.index(name)], slope=slope, intercept=intercept)
        for name, (slope, intercept) in platt.items()
    }
    points = _decide(test, val, sensitivity=params.sensitivity)
    n = len(findings)
    evaluation = Evaluation(
        label_version=label_version,
        split_sha256=hash_names(test.known["image"]),
        images=len(test.known),
        patients=int(test.known["patient"].nunique()),
        draws=params.draws,
        bins=params.bins,
        sensitivity=params.sensitivity,
        at_least=params.at_least,
        auroc=_average_auroc(
            labels[:, :n], scores[:, :n], draws=draws[:, :n], resamples=resamples
        ),
        average_precision={
            "macro": float(
                np.mean(
                    [
                        average_precision(*drop_unknown(labels[:, i], scores[:, i]))
                        for i in range(n)
                    ]
                )
            ),
            "micro": average_precision(
                *drop_unknown(labels[:, :n].ravel(), scores[:, :n].ravel())
            ),
        },
        findings={
            name: _score_finding(
                labels[:, i],
                scores[:, i],
                draws=draws[:, i],
                val_positives=(
                    int((val.labels([name]) == 1).sum())
                    if val and name in val.probabilities
                    else None
                ),
                calibrated=calibrated.get(name),
                platt=platt.get(name),
                bins=params.bins,
            )
            for i, name in enumerate(columns)
        },
        one_class=tuple(finding for finding in test.findings if finding not in findings),
        operating_points=points,
        subgroups=compare_groups(
            test.known,
            labels[:, :n],
            scores[:, :n],
            resamples,
            findings=findings,
            thresholds=points["youden"].thresholds if "youden" in points else None,
            at_least=params.at_least,
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


def summarise_evaluation(evaluation: Evaluation) -> dict[str, Any]:
    """Return what metrics/<name>/test.json holds: few enough numbers to read in a diff.

    Brier score and ECE (bins of equally many images) are means over the findings, and F1 is that of
    the rules that decide on all of them: a mean over fewer is another number.
    """
    scored = [evaluation.findings[name] for name in evaluation.scored]
    macro = evaluation.auroc["macro"]
    metrics: dict[str, Any] = {
        "auroc": {name: estimate.value for name, estimate in evaluation.auroc.items()}
        | {name: scores.auroc.value for name, scores in evaluation.findings.items()},
        "auroc_low": {} if macro.low is None else {"macro": macro.low},
        "auroc_high": {} if macro.high is None else {"macro": macro.high},
        "average_precision": evaluation.average_precision,
        "brier": {"as_predicted": _mean([scores.brier for scores in scored])},
        "ece": {"as_predicted": _mean([scores.ece_mass for scores in scored])},
        "f1_macro": {
            rule: point.decisions["macro avg"].f1
            for rule, point in evaluation.operating_points.items()
            if len(point.thresholds) == len(scored)
        },
        "label_accuracy": evaluation.look_alikes.label_accuracy,
        "all_negative_accuracy": evaluation.look_alikes.all_negative,
        "images": evaluation.images,
        "patients": evaluation.patients,
        "split_sha256": evaluation.split_sha256,
        "label_version": evaluation.label_version,
    }
    calibrated = [scores.calibrated for scores in scored if scores.calibrated]
    if len(calibrated) == len(scored):
        metrics["brier"]["after_platt"] = _mean([scores.brier for scores in calibrated])
        metrics["ece"]["after_platt"] = _mean([scores.ece_mass for scores in calibrated])
    return metrics


def _fit_platt(val: Predicted, columns: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return slope and intercept of what validation shows both present and absent."""
    fitted = [name for name in columns if name in val.columns]
    return {name: fit_platt(*_known_pairs(val, name)) for name in fitted}


def _known_pairs(predicted: Predicted, name: str) -> tuple[Labels, Matrix]:
    return drop_unknown(predicted.labels([name])[:, 0], predicted.scores([name])[:, 0])


def _average_auroc(
    labels: Labels, scores: Matrix, *, draws: Matrix, resamples: Resamples
) -> dict[str, Estimate]:
    """Return macro, micro and weighted AUROC; a draw counts where it scores every finding."""
    single = [rank_auroc(labels[:, i], scores[:, i]) for i in range(labels.shape[1])]
    positives = np.count_nonzero(labels == 1, axis=0)
    weights = resamples.counts.T.astype(np.float32) @ (labels == 1).astype(np.float32)
    return {
        "macro": estimate(float(np.mean(single)), draws.mean(axis=1)),
        "micro": estimate(
            rank_auroc(labels.ravel(), scores.ravel()),
            bootstrap_auroc(labels, scores, resamples),
        ),
        "weighted": estimate(
            float(np.average(single, weights=positives)),
            (draws * weights).sum(axis=1) / weights.sum(axis=1),
        ),
    }


def _score_finding(
    labels: Labels,
    scores: Matrix,
    *,
    draws: Matrix,
    val_positives: int | None,
    calibrated: Matrix | None,
    platt: tuple[float, float] | None,
    bins: int,
) -> FindingScores:
    images = len(labels)
    if calibrated is not None:
        _, calibrated = drop_unknown(labels, calibrated)
    labels, scores = drop_unknown(labels, scores)
    prevalence = float(labels.mean())
    precision = average_precision(labels, scores)
    fitted = None
    if calibrated is not None and platt is not None:
        slope, intercept = platt
        fitted = Calibrated(
            slope=slope, intercept=intercept, **_calibration(labels, calibrated, bins=bins)
        )
    return FindingScores(
        positives=int(labels.sum()),
        unknown=images - len(labels) or None,
        val_positives=val_positives,
        prevalence=prevalence,
        auroc=estimate(rank_auroc(labels, scores), draws),
        average_precision=precision,
        lift=precision / prevalence,
        label_accuracy=float(((scores >= 0.5) == labels).mean()),
        all_negative=1 - prevalence,
        calibrated=fitted,
        **_calibration(labels, scores, bins=bins),
    )


def _calibration(labels: Labels, probabilities: Matrix, *, bins: int) -> dict[str, float]:
    return {
        "brier": brier_score(labels, probabilities),
        "ece_width": expected_calibration_error(labels, probabilities, bins=bins, by="width"),
        "ece_mass": expected_calibration_error(labels, probabilities, bins=bins, by="mass"),
    }


def _decide(
    test: Predicted, val: Predicted | None, *, sensitivity: float
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
            points[rule] = OperatingPoint(
                thresholds=thresholds,
                decisions=score_decisions(test.labels(chosen), decisions, findings=chosen),
            )
    return points


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), DIGITS)
