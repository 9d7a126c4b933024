import numpy as np
import pytest
from fake_run import make_run, make_test, tell
from page import Page
from sklearn.metrics import recall_score

from chestxray14.base.findings import FINDINGS
from chestxray14.report.leader import count_matrix, sort_gaps
from chestxray14.report.report import write_report
from chestxray14.report.results import Run
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


def page(*runs: Run) -> Page:
    return Page(write_report(tell(*runs)).html)


def test_decisions_show_both_sides_and_the_counts_beside_every_threshold() -> None:
    rows = page(make_run()).tables["At Youden's threshold"]
    assert [row["Finding"] for row in rows] == list(FINDINGS)
    row = rows[0]
    shares = {name: row[name].split(" ", 1) for name in ("Sensitivity", "Specificity", "NPV")}
    assert [value for value, _ in shares.values()] == ["0.70", "0.69", "0.95"]
    assert all(" to " in bounds for _, bounds in shares.values())
    counts = ("Hits", "False alarms", "Missed", "Rejected")
    assert [row[name] for name in counts] == ["14", "56", "6", "124"]


def test_recipes_that_platt_makes_no_better_are_named() -> None:
    runs = make_run("gains", ece=(0.1, 0.03)), make_run("loses", better=-0.1, ece=(0.03, 0.04))
    told = page(*runs)
    assert "no better for 1 of 2 recipes: loses." in told.sections["calibration"]
    rows = told.tables["Expected calibration error, mean over the findings"]
    assert [list(row.values())[:5] for row in rows] == [
        ["gains", "0.100", "0.020", "0.030", "0.020"],
        ["loses", "0.030", "0.020", "0.040", "0.020"],
    ]


def test_a_leak_has_no_decisions_calibration_and_groups() -> None:
    shown = page(make_run(kind="image")).sections
    assert not {"decisions", "calibration", "groups"} & set(shown)


def test_groups_of_which_none_is_apart_say_so() -> None:
    assert "None of 2 gaps" in page(make_run()).sections["groups"]
