from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import classification_report, confusion_matrix, f1_score, recall_score

from chestxray14.scoring.bootstrap import draw_patients
from chestxray14.scoring.decisions import choose_threshold, score_decisions
from chestxray14.scoring.evaluation import Rule

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
    drawn = draw_patients(np.arange(len(rows)), draws=3, seed=0)
    table, macro = score_decisions(labels, decisions, drawn, findings=names)
    assert list(table) == names
    keys = {"precision": "precision", "recall": "sensitivity", "f1-score": "f1"}
    for name, decision in table.items():
        assert decision.true_positives + decision.false_negatives == report[name]["support"]
        for theirs, ours in keys.items():
            assert getattr(decision, ours).value == pytest.approx(report[name][theirs])
    for theirs, ours in keys.items():
        assert macro[ours].value == pytest.approx(report["macro avg"][theirs])


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_the_counts_are_those_of_the_confusion_matrix_and_both_sides_stand_together(
    rows: list[tuple[bool, bool]],
) -> None:
    labels, decisions = np.array(rows).T.astype(int)
    drawn = draw_patients(np.arange(len(rows)), draws=3, seed=0)
    table, _ = score_decisions(labels[:, None], decisions[:, None], drawn, findings=["Mass"])
    told = table["Mass"]
    matrix = confusion_matrix(labels, decisions, labels=[0, 1]).ravel().tolist()
    assert [
        *(told.true_negatives, told.false_positives, told.false_negatives, told.true_positives)
    ] == matrix
    # Turned round, sensitivity is specificity and precision the negative predictive value.
    table, _ = score_decisions(1 - labels[:, None], 1 - decisions[:, None], drawn, findings=["-"])
    assert table["-"].sensitivity == told.specificity
    assert table["-"].precision == told.npv


def test_intervals_are_of_the_images_repeated() -> None:
    rng = np.random.default_rng(0)
    labels, calls = (rng.random((2, 150, 2)) < 0.4).astype(int)
    drawn = draw_patients(np.arange(150) // 2, draws=60, seed=0)
    table, macro = score_decisions(labels, calls, drawn, findings=["Mass", "Nodule"])
    again = [np.repeat(np.arange(150), count) for count in drawn.counts.T]
    for measure, scored in (("f1", f1_score), ("sensitivity", recall_score)):
        draws = np.array([[scored(labels[r, i], calls[r, i]) for i in (0, 1)] for r in again])
        for told, values in (
            (getattr(table["Nodule"], measure), draws[:, 1]),
            (macro[measure], draws.mean(axis=1)),
        ):
            assert [told.low, told.high] == pytest.approx(np.percentile(values, [2.5, 97.5]))


@pytest.mark.parametrize(("called", "bounded"), [(19, "npv"), (20, "both"), (81, "precision")])
def test_a_share_of_those_called_or_not_has_an_interval_from_twenty_patients_on(
    called: int, bounded: str
) -> None:
    # A patient an image, half of them ill, the first ones called.
    labels, calls = np.arange(100) % 2, np.arange(100) < called
    drawn = draw_patients(np.arange(100), draws=50, seed=0)
    table, _ = score_decisions(labels[:, None], calls[:, None], drawn, findings=["Mass"])
    has = {name for name in ("precision", "npv") if getattr(table["Mass"], name).low is not None}
    assert has == ({"precision", "npv"} if bounded == "both" else {bounded})
    assert table["Mass"].sensitivity.low is not None
