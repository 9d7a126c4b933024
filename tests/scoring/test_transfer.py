"""A network on another dataset: independent draws, and probabilities against what is observed."""

import numpy as np
import pytest
from made_predictions import PARAMS, evaluate, hide, predicted

from chestxray14.scoring.bootstrap import draw_patients
from chestxray14.scoring.calibration import apply_platt
from chestxray14.scoring.evaluation import Difference
from chestxray14.scoring.transfer import compare_sets, measure_drift

OWN = evaluate(predicted(60), predicted(50, seed=1))
THERE = hide(predicted(80, seed=2))
SCORED = evaluate(THERE, predicted(50, seed=1))


def test_a_difference_is_there_less_own_over_what_both_score() -> None:
    some = evaluate(predicted(80, seed=2, findings=("Mass", "Hernia")))
    compared = compare_sets((OWN.evaluation, OWN.draws), (some.evaluation, some.draws))
    assert list(compared) == ["macro", "Mass", "Hernia"]
    ours = [OWN.evaluation.findings[name].auroc.value for name in ("Mass", "Hernia")]
    theirs = [some.evaluation.findings[name].auroc.value for name in ("Mass", "Hernia")]
    own, there, gap = compared["macro"]
    assert (own.value, there.value) == pytest.approx((np.mean(ours), np.mean(theirs)))
    assert gap.value == pytest.approx(np.mean(theirs) - np.mean(ours))
    # The variances of independent means add up.
    widths = [np.subtract(each.high, each.low) for each in (own, there, gap)]
    assert widths[2] == pytest.approx(np.hypot(*widths[:2]), rel=0.35)
    nothing = some.evaluation.model_copy(update={"findings": {}})
    assert compare_sets((OWN.evaluation, OWN.draws), (nothing, some.draws[:, :0])) == {}


def test_drift_is_the_mean_probability_less_the_share_that_is_ill() -> None:
    evaluation = SCORED.evaluation
    drift = measure_drift(THERE, evaluation, seed=PARAMS.seed)
    known = THERE.known["Mass"].notna().to_numpy()
    labels, given = THERE.known["Mass"][known], THERE.probabilities["Mass"][known]
    assert drift.as_predicted["Mass"].value == pytest.approx(given.mean() - labels.mean())
    fit = evaluation.findings["Mass"].calibrated
    assert fit
    corrected = apply_platt(given, slope=fit.slope, intercept=fit.intercept)
    assert drift.after_platt["Mass"].value == pytest.approx(corrected.mean() - labels.mean())
    single = [drift.as_predicted[name].value for name in evaluation.scored]
    assert drift.as_predicted["macro"].value == pytest.approx(np.mean(single))
    # By hand: the images of the patients drawn, each as often as its patient.
    counts = draw_patients(THERE.known["patient"], draws=60, seed=PARAMS.seed).counts[known]
    drawn = [np.average(given - labels, weights=column) for column in counts.T]
    bounds = np.percentile(drawn, [2.5, 97.5])
    assert (drift.as_predicted["Mass"].low, drift.as_predicted["Mass"].high) == pytest.approx(
        tuple(bounds), abs=1e-5
    )


def test_a_drift_of_few_ill_patients_has_no_interval_and_one_over_images_has() -> None:
    def ask(**changes: object) -> Difference:
        findings = dict(SCORED.evaluation.findings)
        findings["Mass"] = findings["Mass"].model_copy(update=changes)
        evaluation = SCORED.evaluation.model_copy(update={"findings": findings, "patients": 0})
        return measure_drift(THERE, evaluation, seed=PARAMS.seed).as_predicted["Mass"]

    # Eighty patients are known, of whom so many show the finding.
    assert ask(patients=19).low is None
    assert ask(patients=20).low is not None
