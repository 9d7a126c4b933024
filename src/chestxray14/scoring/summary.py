"""What of an evaluation fits into metrics/<name>/test.json."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chestxray14.base.scores import DIGITS
from chestxray14.scoring.evaluation import Evaluation, FindingScores


def summarise_evaluation(evaluation: Evaluation) -> dict[str, Any]:
    """Return what metrics/<name>/test.json holds: few enough numbers to read in a diff.

    Brier score, ECE and its floor are means over the findings, and F1 is that of
    the rules that decide on all of them: a mean over fewer is another number.
    """
    scored = [evaluation.findings[name] for name in evaluation.scored]
    macro = evaluation.auroc["macro"]
    metrics: dict[str, Any] = {
        "auroc": {name: estimate.value for name, estimate in evaluation.auroc.items()}
        | {name: scores.auroc.value for name, scores in evaluation.findings.items()},
        "auroc_low": {} if macro.low is None else {"macro": macro.low},
        "auroc_high": {} if macro.high is None else {"macro": macro.high},
        "average_precision": {"macro": evaluation.average_precision.value},
        **_summarise_calibration(scored),
        "f1_macro": {
            rule: point.macro["f1"].value
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
    return metrics


def _summarise_calibration(scored: Sequence[FindingScores]) -> dict[str, dict[str, float]]:
    """Return the mean Brier score, ECE and its floor, as predicted and, of all findings, after Platt."""
    states = {"as_predicted": [scores.calibration for scores in scored]}
    if all(scores.calibrated for scores in scored):
        states["after_platt"] = [
            scores.calibrated.calibration for scores in scored if scores.calibrated
        ]
    return {
        "brier": {name: _mean([each.brier.value for each in of]) for name, of in states.items()},
        "ece": {name: _mean([each.ece for each in of]) for name, of in states.items()},
        "ece_floor": {name: _mean([each.ece_floor for each in of]) for name, of in states.items()},
    }


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), DIGITS)
