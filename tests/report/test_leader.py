import numpy as np
import pytest
from fake_run import make_run, make_test, tell
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import recall_score

from chestxray14.base.findings import FINDINGS
from chestxray14.report.leader import (
    count_matrix,
    describe_calibration,
    describe_decisions,
    describe_groups,
    nearest,
    sort_gaps,
)
from chestxray14.scoring.evaluation import Gap


def gap(value: float, low: float | None, high: float | None) -> Gap:
    return Gap(value=value, low=low, high=high, positives=20)


def test_gaps_are_sorted_by_the_bound_nearest_0_and_not_by_size() -> None:
    gaps = {
        "small and sure": gap(-0.1, -0.15, -0.05),
        "large and open": gap(0.4, -0.1, 0.8),
        "middle": gap(0.2, 0.01, 0.4),
        "no bounds": gap(0.9, None, None),
    }
    order = [name for name, *_ in sort_gaps((name, "men", each) for name, each in gaps.items())]
    assert order == ["small and sure", "middle", "large and open"]


@given(st.floats(-1, 1), st.floats(0.001, 1))
def test_a_bound_is_above_0_where_the_interval_is_on_one_side(value: float, spread: float) -> None:
    low, high = value - spread, value + spread
    assert (nearest(gap(value, low, high)) > 0) == (low > 0 or high < 0)


def test_the_diagonal_of_the_matrix_is_sensitivity_and_beside_it_stand_other_calls() -> None:
    test, names = make_test(), ("Mass", "Nodule")
    matrix = count_matrix(test, {"Mass": 0.3, "Nodule": 0.6})
    calls = test.scores(names) >= [0.3, 0.6]
    labels = test.labels(names)
    for row in range(2):
        for column in range(2):
            share = recall_score(labels[:, row], calls[:, column])
            assert matrix[row, column] == pytest.approx(share)


def test_a_finding_that_no_image_shows_is_no_number_of_the_matrix() -> None:
    test = make_test()
    none = type(test)(test.known.assign(Mass=0), test.probabilities)
    assert np.isnan(count_matrix(none, {"Mass": 0.3, "Nodule": 0.6})[0]).all()


def test_decisions_show_both_sides_and_the_counts_beside_every_threshold() -> None:
    section = describe_decisions(tell(make_run()))
    assert section is not None
    table = section.tables[1]
    assert [row[0].text for row in table.rows] == list(FINDINGS)
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["Sensitivity"].text, row["Specificity"].text, row["NPV"].text) == (
        *("0.70", "0.69", "0.95"),
    )
    assert all(row[name].note for name in ("Sensitivity", "Specificity", "Precision", "NPV", "F1"))
    counts = ("Hits", "False alarms", "Missed", "Rejected")
    assert [row[name].text for name in counts] == ["14", "56", "6", "124"]


def test_recipes_that_platt_makes_no_better_are_named() -> None:
    runs = make_run("better", ece=(0.1, 0.03)), make_run("worse", better=-0.1, ece=(0.03, 0.04))
    section = describe_calibration(tell(*runs))
    assert section is not None
    assert [run.name for run in section.facts["worse"]] == ["worse"]
    table = section.tables[0]
    assert [[c.text for c in row][:5] for row in table.rows] == [
        ["better", "0.100", "0.020", "0.030", "0.020"],
        ["worse", "0.030", "0.020", "0.040", "0.020"],
    ]


def test_a_leak_has_no_decisions_calibration_and_groups() -> None:
    told = tell(make_run(kind="image"))
    for describe in (describe_decisions, describe_calibration, describe_groups):
        assert describe(told) is None


def test_groups_of_which_none_is_apart_say_so() -> None:
    section = describe_groups(tell(make_run()))
    assert section is not None
    assert (section.facts["asked"], section.facts["apart"]) == (2, 0)
