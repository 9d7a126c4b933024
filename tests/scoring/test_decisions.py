from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    classification_report,
    f1_score,
    precision_recall_fscore_support,
    recall_score,
)

from chestxray14.scoring.decisions import choose_threshold, score_decisions
from chestxray14.scoring.evaluation import AVERAGES, Decision, Rule

RULES: tuple[Rule, ...] = get_args(Rule)

rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=2, max_size=30)


def worth(rule: Rule, labels: NDArray[np.int_], called: NDArray[np.bool_], least: float) -> float:
    """Return what a rule wants most, from scikit-learn, rounded so that ties are ties."""
    sensitivity = recall_score(labels, called)
    if rule == "youden":
        return float(round(sensitivity + recall_score(1 - labels, ~called) - 1, 12))
    if rule == "max_f1":
        return float(round(f1_score(labels, called), 12))
    return float(sensitivity >= least)


@given(
    rows=rows,
    rule=st.sampled_from(["youden", "max_f1", "sensitivity"]),
    least=st.sampled_from([0.0, 0.5, 0.55, 0.9, 1.0]),
)
def test_threshold_is_the_highest_of_the_best_of_all_that_occur(
    rows: list[tuple[int, int]], rule: Rule, least: float
) -> None:
    labels, tenths = np.array(rows).T
    assume(0 < labels.sum() < len(labels))
    probabilities = tenths / 10
    best = max(
        (worth(rule, labels, probabilities >= threshold, least), threshold)
        for threshold in probabilities
    )
    found = choose_threshold(labels, probabilities, rule=rule, sensitivity=least)
    assert found == best[1]


def test_the_rule_half_is_one_half_whatever_the_labels() -> None:
    assert choose_threshold([0, 0], [0.9, 0.1], rule="half", sensitivity=0.9) == 0.5


def test_thresholds_of_a_case_done_by_hand() -> None:
    labels, probabilities = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]

    def choose(rule: Rule, sensitivity: float = 1.0) -> float:
        return choose_threshold(labels, probabilities, rule=rule, sensitivity=sensitivity)

    # From 0.5 on 2 of 3 and no false one (J 2/3, F1 0.8), from 0.3 all and one false (2/3, 6/7).
    assert choose("youden") == 0.5
    assert choose("max_f1") == 0.3
    assert choose("sensitivity", 2 / 3) == 0.5
    assert choose("sensitivity", 0.67) == 0.3


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "half"])
def test_a_finding_with_one_class_has_no_threshold(rule: Rule, label: int) -> None:
    with pytest.raises(ValueError, match="both present and absent"):
        choose_threshold([label] * 3, [0.1, 0.2, 0.3], rule=rule, sensitivity=0.9)


def fields(decision: Decision) -> tuple[float, float, float, int]:
    return decision.precision, decision.recall, decision.f1, decision.positives


def reported(row: dict[str, Any]) -> tuple[float, float, float, int]:
    return row["precision"], row["recall"], row["f1-score"], row["support"]


tables = st.integers(2, 4).flatmap(
    lambda k: st.lists(
        st.lists(st.tuples(st.booleans(), st.booleans()), min_size=k, max_size=k),
        min_size=1,
        max_size=12,
    )
)


@given(tables)
@pytest.mark.filterwarnings("ignore")
def test_the_table_equals_the_report_of_scikit_learn(rows: list[list[tuple[bool, bool]]]) -> None:
    labels, decisions = np.moveaxis(np.array(rows), 2, 0).astype(int)
    names = [f"finding {i}" for i in range(labels.shape[1])]
    report = classification_report(
        labels, decisions, target_names=names, output_dict=True, zero_division=0
    )
    table = score_decisions(labels, decisions, findings=names)
    assert list(table) == [*names, *AVERAGES] == list(report)
    for name, decision in table.items():
        assert fields(decision) == pytest.approx(reported(report[name]))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_the_table_of_a_single_finding_has_its_own_scores_as_averages(
    rows: list[tuple[bool, bool]],
) -> None:
    labels, decisions = np.array(rows).T.astype(int)[:, :, None]
    table = score_decisions(labels, decisions, findings=["Mass"])
    expected = precision_recall_fscore_support(
        labels[:, 0], decisions[:, 0], average="binary", zero_division=0
    )[:3]
    for name in ("Mass", "micro avg", "macro avg"):
        assert fields(table[name])[:3] == pytest.approx(expected)
    # Over images, of which each has one decision, all three are the share rightly called.
    share = (labels & decisions).mean()
    assert fields(table["samples avg"]) == pytest.approx((share, share, share, labels.sum()))


def test_floats_and_booleans_do_as_well_as_integers() -> None:
    labels, probabilities = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.5, 0.5], [0.4, 0.6]])
    table = score_decisions(labels, probabilities >= [0.4, 0.55], findings=["Mass", "Nodule"])
    assert fields(table["Mass"]) == pytest.approx((1 / 2, 1, 2 / 3, 1))
    assert fields(table["Nodule"]) == (0, 0, 0, 1)
