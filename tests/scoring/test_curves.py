import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

from chestxray14.scoring.calibration import bin_reliability
from chestxray14.scoring.curves import POINTS, precision_recall_table, reliability_table, roc_table

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


def distance(dots: Floats, line: Floats) -> float:
    """Return how far the farthest dot is from the line drawn through the points."""
    starts, steps = line[:-1], np.diff(line, axis=0)
    lengths = np.maximum((steps**2).sum(axis=1), 1e-30)
    farthest = 0.0
    for dot in dots:
        share = np.clip(((dot - starts) * steps).sum(axis=1) / lengths, 0, 1)
        gaps = np.linalg.norm(dot - starts - share[:, None] * steps, axis=1)
        farthest = max(farthest, gaps.min())
    return farthest


def densely(line: Floats) -> Floats:
    """Return points all along a line."""
    places = np.linspace(0, len(line) - 1, 20 * len(line))
    return np.column_stack([np.interp(places, range(len(line)), axis) for axis in line.T])


@pytest.mark.parametrize("shift", SHIFTS)
def test_the_thinned_roc_rises_from_corner_to_corner_and_keeps_the_area(shift: float) -> None:
    labels, probabilities = make_scores(shift)
    table = roc_table(labels, probabilities, findings=NAMES)
    assert list(table.columns) == ["finding", "false_positive_rate", "true_positive_rate"]
    assert list(table["finding"].unique()) == list(NAMES)
    for i, finding in enumerate(NAMES):
        drawn = points(table, finding)
        assert len(drawn) <= POINTS
        assert drawn[0].tolist() == [0, 0]
        assert drawn[-1].tolist() == [1, 1]
        assert (np.diff(drawn, axis=0) >= 0).all()
        area = roc_auc_score(labels[:, i], probabilities[:, i])
        assert auc(*drawn.T) == pytest.approx(area, abs=0.005)


@pytest.mark.parametrize("shift", SHIFTS)
def test_drawn_and_full_curves_stay_within_a_hundredth_of_each_other(shift: float) -> None:
    labels, probabilities = make_scores(shift)
    roc = roc_table(labels, probabilities, findings=NAMES)
    recall = precision_recall_table(labels, probabilities, findings=NAMES)
    for i, finding in enumerate(NAMES):
        false, true, _ = roc_curve(labels[:, i], probabilities[:, i])
        precisions, recalls, _ = precision_recall_curve(labels[:, i], probabilities[:, i])
        for table, axes in ((roc, (false, true)), (recall, (recalls[::-1], precisions[::-1]))):
            drawn, full = points(table, finding), np.column_stack(axes)
            assert distance(full[:: max(1, len(full) // 2000)], drawn) < 0.01
            assert distance(densely(drawn)[::5], full) < 0.01


def test_precision_and_recall_begin_where_nothing_is_called_and_end_where_all_are() -> None:
    labels, probabilities = make_scores(1.0)
    table = precision_recall_table(labels, probabilities, findings=NAMES)
    assert list(table.columns) == ["finding", "recall", "precision"]
    for i, finding in enumerate(NAMES):
        drawn = points(table, finding)
        assert len(drawn) <= POINTS
        assert drawn[0].tolist() == [0, 1]
        assert drawn[-1] == pytest.approx([1, labels[:, i].mean()], abs=1e-4)
        assert (np.diff(drawn[:, 0]) >= 0).all()


def test_a_case_done_by_hand() -> None:
    labels, probabilities = np.array([[1], [0], [1], [0]]), np.array([[0.9], [0.8], [0.7], [0.6]])
    roc = roc_table(labels, probabilities, findings=["Mass"])
    corners = [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]
    assert points(roc, "Mass").tolist() == corners
    table = precision_recall_table(labels, probabilities, findings=["Mass"])
    steps = [[0, 1], [0.5, 1], [0.5, 0.5], [1, 0.6667], [1, 0.5]]
    assert points(table, "Mass").tolist() == steps


def test_a_finding_with_one_class_has_no_curve() -> None:
    labels = np.array([[0, 1, 1], [0, 1, 0]])
    for tabulate in (roc_table, precision_recall_table):
        table = tabulate(labels, np.full((2, 3), 0.5), findings=["Mass", "Nodule", "Edema"])
        assert set(table["finding"]) == {"Edema"}
        table = tabulate(labels[:, :2], np.full((2, 2), 0.5), findings=["Mass", "Nodule"])
        assert len(table) == 0
        assert table.columns[0] == "finding"


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=2, max_size=60))
def test_any_roc_of_few_points_keeps_its_area(rows: list[tuple[int, int]]) -> None:
    labels, tenths = np.array(rows).T
    table = roc_table(labels[:, None], tenths[:, None] / 10, findings=["Mass"])
    if 0 < labels.sum() < len(labels):
        assert auc(*points(table, "Mass").T) == pytest.approx(
            roc_auc_score(labels, tenths), abs=0.002
        )
    else:
        assert table.empty


def test_reliability_pools_the_findings_in_bins_of_equal_mass() -> None:
    labels, probabilities = make_scores(1.0, images=500)
    calibrations = {"as predicted": probabilities, "after Platt": probabilities / 2}
    table = reliability_table(labels, calibrations, bins=20)
    assert list(table.columns) == ["calibration", "predicted", "observed", "labels"]
    assert list(table["calibration"].unique()) == list(calibrations)
    assert (table["labels"] == 100).all()
    first = table[table["calibration"] == "as predicted"].drop(columns="calibration")
    expected = bin_reliability(labels.ravel(), probabilities.ravel(), bins=20, by="mass")
    np.testing.assert_allclose(first.to_numpy(), expected.to_numpy(), atol=5e-6)
