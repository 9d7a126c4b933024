"""Labels that are not known: every score is that of the known ones alone."""

import numpy as np
import pandas as pd
import pytest
from made_predictions import PARAMS, evaluate, hide, predicted
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from chestxray14.base.errors import InputError
from chestxray14.base.findings import NO_FINDING
from chestxray14.files.predictions import Predicted
from chestxray14.scoring.bootstrap import bootstrap_findings, draw_patients
from chestxray14.scoring.calibration import fit_platt
from chestxray14.scoring.decisions import choose_threshold
from chestxray14.scoring.metadata_floor import predict_from_metadata
from chestxray14.scoring.plausibility import list_doubts, rank, refuse_labels
from chestxray14.scoring.subgroups import compare_groups

FINDINGS = ("Mass", "Hernia")


TEST, VAL = hide(predicted(60)), hide(predicted(50, seed=1), seed=1)


def pair(some: Predicted, finding: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the known labels of a finding, and their probabilities."""
    known = some.known[finding].notna()
    return (
        some.known.loc[known, finding].to_numpy(int),
        some.probabilities.loc[known, finding].to_numpy(),
    )


def test_every_score_of_a_finding_is_of_its_known_labels() -> None:
    evaluation = evaluate(TEST, VAL).evaluation
    for finding in (*FINDINGS, NO_FINDING):
        told = evaluation.findings[finding]
        labels, scores = pair(TEST, finding)
        assert 0 < len(labels) < 180
        assert told.unknown == 180 - len(labels)
        assert told.positives == labels.sum()
        assert told.prevalence == round(labels.mean(), 5)
        assert told.auroc.value == round(roc_auc_score(labels, scores), 5)
        assert told.average_precision.value == round(average_precision_score(labels, scores), 5)
        assert told.calibration.brier.value == round(brier_score_loss(labels, scores), 5)
        patients = TEST.known.groupby("patient")[finding]
        assert told.patients == min((patients.max() == 1).sum(), (patients.min() == 0).sum())
        assert told.calibrated is not None
        slope, intercept = fit_platt(*pair(VAL, finding))
        assert told.calibrated.slope == pytest.approx(slope, abs=1e-5)
        assert told.calibrated.intercept == pytest.approx(intercept, abs=1e-5)


def test_averages_pool_the_known_labels() -> None:
    evaluation = evaluate(TEST).evaluation
    pairs = [pair(TEST, finding) for finding in TEST.findings]
    pooled = [np.concatenate(each) for each in zip(*pairs, strict=True)]
    single = [roc_auc_score(*each) for each in pairs]
    assert evaluation.auroc["macro"].value == round(np.mean(single), 5)
    assert evaluation.auroc["micro"].value == round(roc_auc_score(*pooled), 5)
    precisions = [average_precision_score(*each) for each in pairs]
    assert evaluation.average_precision.value == round(np.mean(precisions), 5)
    right = np.mean((pooled[1] >= 0.5) == pooled[0])
    assert evaluation.look_alikes.label_accuracy == round(right, 5)
    assert evaluation.look_alikes.all_negative == round(1 - pooled[0].mean(), 5)


def test_an_interval_draws_the_same_patients_with_their_known_images_alone() -> None:
    scoring = evaluate(TEST)
    resamples = draw_patients(TEST.known["patient"], draws=PARAMS.draws, seed=PARAMS.seed)
    for finding in FINDINGS:
        known = TEST.known[finding].notna().to_numpy()
        labels, scores = pair(TEST, finding)
        alone, _ = bootstrap_findings(labels[:, None], scores[:, None], resamples.restrict(known))
        column = scoring.evaluation.scored.index(finding)
        np.testing.assert_allclose(scoring.draws[:, column], alone[:, 0])


def test_thresholds_and_decisions_are_of_the_known_labels() -> None:
    point = evaluate(TEST, VAL).evaluation.operating_points["youden"]
    for finding in FINDINGS:
        threshold = choose_threshold(*pair(VAL, finding), rule="youden", sensitivity=0.9)
        assert point.thresholds[finding] == threshold
        labels, scores = pair(TEST, finding)
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, scores >= threshold, average="binary"
        )
        told = point.decisions[finding]
        shares = (told.precision.value, told.sensitivity.value, told.f1.value)
        assert shares == pytest.approx((precision, recall, f1), abs=1e-5)
        assert told.true_positives + told.false_negatives == labels.sum()
        assert told.false_positives + told.true_negatives == (labels == 0).sum()


def test_curves_and_groups_are_of_the_known_labels() -> None:
    scoring = evaluate(TEST, VAL)
    known = [len(pair(TEST, finding)[0]) for finding in TEST.findings]
    bins = scoring.reliability.groupby("calibration")["labels"].sum()
    assert set(bins) == {sum(known)}
    roc = scoring.roc[scoring.roc["finding"] == "Mass"]
    area = np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"])
    assert area == pytest.approx(roc_auc_score(*pair(TEST, "Mass")), abs=0.005)
    shared = scoring.evaluation.subgroups["sex"].shared
    women = scoring.evaluation.subgroups["sex"].groups["women"]  # all there are
    assert women.macro is not None
    assert women.macro.value == round(np.mean([roc_auc_score(*pair(TEST, f)) for f in shared]), 5)


def test_what_is_not_known_of_patients_is_in_no_group() -> None:
    nothing = TEST.known.assign(age=np.nan, sex=np.nan, view=np.nan, follow_up=np.nan)
    groups = compare_groups(
        nothing,
        TEST.labels(["Mass"]),
        TEST.scores(["Mass"]),
        draw_patients(nothing["patient"], draws=10, seed=0),
        findings=["Mass"],
        thresholds=None,
    )
    assert {name: (entry.unknown, entry.groups) for name, entry in groups.items()} == {
        name: (180, {}) for name in ("sex", "age", "view", "study")
    }


def test_no_finding_is_unknown_where_nothing_is_found_and_something_not_known() -> None:
    labels = TEST.known[list(TEST.labelled)]
    present, unknown = (labels == 1).any(axis=1), labels.isna().any(axis=1)
    expected = pd.Series(np.where(present, 0.0, np.where(unknown, np.nan, 1.0)))
    assert unknown.any()
    np.testing.assert_array_equal(TEST.known[NO_FINDING], expected)


def test_ranks_with_unknown_labels_are_those_of_the_known() -> None:
    labels, scores = TEST.labels(FINDINGS), TEST.scores(["Mass"])[:, 0].round(1)
    auroc, error = rank(labels, scores)
    for column in range(len(FINDINGS)):
        known = ~np.isnan(labels[:, column])
        alone, its_error = rank(labels[known][:, [column]], scores[known])
        assert auroc[column] == pytest.approx(alone[0])
        np.testing.assert_allclose(error[known, column], its_error[:, 0])
        assert not error[~known, column].any()


def test_a_column_that_repeats_the_known_labels_is_refused() -> None:
    copied = TEST.probabilities.assign(Mass=TEST.known["Mass"].fillna(0.5))
    copy = Predicted(TEST.known, copied)
    with pytest.raises(InputError, match="the column Mass repeats the label Mass"):
        refuse_labels(copy, name="p.csv")
    refuse_labels(TEST, name="p.csv")
    listed = TEST.known["image"].tolist()
    turned = TEST.probabilities.assign(Mass=1 - TEST.known["Mass"].fillna(0.5) * 0.9)
    assert list_doubts(TEST, listed=listed) == ()
    assert any(
        "Mass" in doubt for doubt in list_doubts(Predicted(TEST.known, turned), listed=listed)
    )


def test_metadata_are_fitted_on_known_labels() -> None:
    train, test = VAL.known, TEST.known
    whole = predict_from_metadata(train, test, seed=0, findings=["Mass"])
    alone = predict_from_metadata(train[train["Mass"].notna()], test, seed=0, findings=["Mass"])
    pd.testing.assert_frame_equal(whole, alone)
    few = ["age", "view"]
    without = [table.assign(**dict.fromkeys(few, np.nan)) for table in (train, test)]
    fewer = predict_from_metadata(*without, seed=0, findings=["Mass"])
    assert fewer["Mass"].nunique() == 3  # follow-up numbers, and one sex
    unknown = train.assign(Mass=np.nan)
    assert (predict_from_metadata(unknown, test, seed=0, findings=["Mass"])["Mass"] == 0).all()


def test_where_all_is_known_nothing_is_said_of_unknown_labels() -> None:
    assert "unknown" not in evaluate(predicted()).evaluation.findings["Mass"].model_dump(
        exclude_none=True
    )
