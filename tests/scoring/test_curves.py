import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

from chestxray14.scoring.calibration import bin_reliability
from chestxray14.scoring.curves import GRID, precision_recall_table, reliability_table, roc_table

Floats = NDArray[np.float64]

PREVALENCES = (0.002, 0.02, 0.18, 0.6)
NAMES = ("Hernia", "Fibrosis", "Infiltration", "No Finding")
SHIFTS = (0.0, 1.0, 3.0)


def make_scores(shift: float, *, images: int = 20_000) -> tuple[NDArray[np.int_], Floats]:
    """Return labels of four findings and probabilities that tell them apart, the more the shift."""
    rng = np.random.default_rng(0)
    labels = (rng.random((images, len(NAMES))) < PREVALENCES).astype(int)
    return labels, 1 / (1 + np.exp(-rng.normal(size=labels.shape) - shift * labels))


def points(table: pd.DataFrame, finding: str) -> Floats:
    return table[table["finding"] == finding].drop(columns="finding").to_numpy(np.float64)


@pytest.mark.parametrize("shift", SHIFTS)
def test_the_roc_rises_from_corner_to_corner_and_keeps_the_area(shift: float) -> None:
    labels, probabilities = make_scores(shift)
    table = roc_table(labels, probabilities, findings=NAMES)
    assert list(table.columns) == ["finding", "false_positive_rate", "true_positive_rate"]
    assert list(table["finding"].unique()) == list(NAMES)
    for i, finding in enumerate(NAMES):
        drawn = points(table, finding)
        assert drawn[1:, 0].tolist() == pytest.approx(GRID.tolist())
        assert drawn[0].tolist() == [0, 0]
        assert drawn[-1].tolist() == [1, 1]
        assert (np.diff(drawn, axis=0) >= 0).all()
        area = roc_auc_score(labels[:, i], probabilities[:, i])
        assert auc(*drawn.T) == pytest.approx(area, abs=0.005)


@pytest.mark.parametrize("shift", SHIFTS)
def test_the_curves_are_those_of_scikit_learn_at_the_grid(shift: float) -> None:
    labels, probabilities = make_scores(shift)
    roc = roc_table(labels, probabilities, findings=NAMES)
    recall = precision_recall_table(labels, probabilities, findings=NAMES)
    for i, finding in enumerate(NAMES):
        false, true, _ = roc_curve(labels[:, i], probabilities[:, i])
        expected = np.interp(GRID, false, true)
        np.testing.assert_allclose(points(roc, finding)[1:, 1], expected, atol=5.1e-5)
        precisions, recalls, _ = precision_recall_curve(labels[:, i], probabilities[:, i])
        strictest = [precisions[np.flatnonzero(recalls >= r - 1e-9)[-1]] for r in GRID]
        np.testing.assert_allclose(points(recall, finding)[:, 1], strictest, atol=5.1e-5)


def test_precision_and_recall_begin_where_nothing_is_called_and_end_where_all_are_caught() -> None:
    labels, probabilities = make_scores(1.0)
    table = precision_recall_table(labels, probabilities, findings=NAMES)
    assert list(table.columns) == ["finding", "recall", "precision"]
    for i, finding in enumerate(NAMES):
        drawn = points(table, finding)
        assert drawn[0].tolist() == [0, 1]
        lowest = probabilities[labels[:, i] == 1, i].min()
        all_caught = labels[probabilities[:, i] >= lowest, i].mean()
        assert drawn[-1] == pytest.approx([1, all_caught], abs=1e-4)
        assert (np.diff(drawn[:, 0]) >= 0).all()


def test_a_case_done_by_hand() -> None:
    labels, probabilities = np.array([[1], [0], [1], [0]]), np.array([[0.9], [0.8], [0.7], [0.6]])
    roc = points(roc_table(labels, probabilities, findings=["Mass"]), "Mass")
    assert roc[[0, 1, 50, 51, 101]].tolist() == [[0, 0], [0, 0.5], [0.49, 0.5], [0.5, 1], [1, 1]]
    table = points(precision_recall_table(labels, probabilities, findings=["Mass"]), "Mass")
    assert table[[0, 1, 50, 51, 100]].tolist() == [
        *([0, 1], [0.01, 1], [0.5, 1], [0.51, 0.6667], [1, 0.6667])
    ]


def test_a_finding_with_one_class_has_no_curve() -> None:
    labels = np.array([[0, 1, 1], [0, 1, 0]])
    for tabulate in (roc_table, precision_recall_table):
        table = tabulate(labels, np.full((2, 3), 0.5), findings=["Mass", "Nodule", "Edema"])
        assert set(table["finding"]) == {"Edema"}
        table = tabulate(labels[:, :2], np.full((2, 2), 0.5), findings=["Mass", "Nodule"])
        assert len(table) == 0
        assert table.columns[0] == "finding"


def test_reliability_pools_the_findings_in_bins_of_equal_mass() -> None:
    labels, probabilities = make_scores(1.0, images=500)
    calibrations = {"as predicted": probabilities, "after Platt": probabilities / 2}
    table = reliability_table(labels, calibrations, bins=20)
    assert list(table.columns) == ["calibration", "predicted", "observed", "labels"]
    assert list(table["calibration"].unique()) == list(calibrations)
    assert (table["labels"] == 100).all()
    first = table[table["calibration"] == "as predicted"].drop(columns="calibration")
    expected = bin_reliability(labels.ravel(), probabilities.ravel(), bins=20)
    np.testing.assert_allclose(first.to_numpy(), expected.to_numpy(), atol=5e-6)
