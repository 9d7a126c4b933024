import numpy as np
import pytest
from fake_run import DRAWS, make_floor, make_run, tell
from hypothesis import given
from hypothesis import strategies as st

from chestxray14.base.findings import FINDINGS
from chestxray14.report.ranking import subtract
from chestxray14.report.results import Run
from chestxray14.scoring.claims import p_value

FEW = FINDINGS[:7]


def names(*runs: Run) -> list[str]:
    return [standing.run.name for standing in tell(*runs).first.standings]


def test_recipes_of_all_findings_are_ranked_first_then_the_others_by_their_gap() -> None:
    runs = (
        make_run("worse", better=-0.1),
        make_run("few_behind", findings=FEW, better=-0.05),
        make_run("best"),
        make_run("few_ahead", findings=FEW, better=0.05),
        make_run("far", better=0.2, pretrained="nih"),
    )
    assert names(*runs) == ["best", "worse", "few_ahead", "few_behind", "far"]


def test_a_gap_is_over_the_findings_that_both_score_and_says_how_many() -> None:
    leader, few = make_run("best"), make_run("few", findings=FINDINGS[4:9], better=-0.1)
    standing = tell(leader, few).first.standings[1]
    assert standing.shared == FINDINGS[4:9]
    assert standing.gap is not None
    assert standing.gap.value == pytest.approx(0.1)
    # The macro over its own findings is higher by more than that, as these are the easier ones.
    draws = leader.scored.draws[:, 4:9].mean(axis=1) - few.scored.draws.mean(axis=1)
    bounds = np.percentile(draws, [2.5, 97.5])
    assert [standing.gap.low, standing.gap.high] == pytest.approx(bounds)
    assert standing.gap.p == pytest.approx(p_value(draws))


def test_another_recipe_of_few_findings_moves_nobodys_gap() -> None:
    runs = make_run("best"), make_run("other", better=-0.03)
    alone = tell(*runs).first.standings[1]
    beside = tell(*runs, make_run("weak", findings=FEW[:2], better=-0.2)).first.standings[1]
    assert alone.gap is not None
    assert beside.gap is not None
    assert alone.gap.value == beside.gap.value
    assert alone.shared == beside.shared == FINDINGS


@pytest.mark.parametrize(("others", "factor"), [(0, 1), (1, 2), (3, 4)])
def test_p_is_adjusted_for_all_gaps_that_are_shown(others: int, factor: int) -> None:
    runs = [make_run("best"), make_run("next", better=-0.1)]
    runs += [make_run(f"other{i}", better=-0.2 - i / 100) for i in range(others)]
    gap = tell(*runs).first.standings[1].gap
    assert gap is not None
    # All draws are on one side, which is the least p, times the number of gaps.
    assert gap.p == pytest.approx(factor * 2 / (DRAWS + 1))


def test_the_floors_p_is_adjusted_for_its_findings_and_not_for_the_mean() -> None:
    above = tell(make_run()).first.above_floor
    assert above["macro"].p == pytest.approx(2 / (DRAWS + 1))
    for finding in FINDINGS:
        assert above[finding].p == pytest.approx(14 * 2 / (DRAWS + 1))


@pytest.mark.parametrize(
    ("better", "spread", "patients", "lead"),
    [
        (-0.1, 0.01, 40, "clear"),
        (-0.001, 0.05, 40, "tie"),
        (-0.1, 0.01, 4, "unknown"),
    ],
)
def test_what_the_draws_say_of_the_lead(
    better: float, spread: float, patients: int, lead: str
) -> None:
    runs = (
        make_run("best", spread=spread, patients=patients),
        make_run("next", better=better, spread=spread, patients=patients),
    )
    first = tell(*runs).first
    assert first.lead == lead
    assert [run.name for run in first.tied] == (["next"] if lead != "clear" else [])


def test_one_recipe_or_one_that_shares_no_finding_is_alone() -> None:
    assert tell(make_run()).first.lead == "alone"
    halves = make_run("a", findings=FINDINGS[:7]), make_run("b", findings=FINDINGS[7:])
    assert tell(*halves).first.lead == "alone"


def test_other_test_images_make_another_ranking_and_leaks_come_last() -> None:
    told = tell(
        make_run("leak", kind="image", better=0.1),
        make_run("official", kind="official", better=0.05),
        make_run("a"),
        make_run("b"),
    )
    assert [ranking.leader.name for ranking in told.rankings] == ["a", "official", "leak"]
    assert [ranking.leader.leaky for ranking in told.rankings] == [False, False, True]


def test_a_leak_is_never_beside_recipes_of_the_same_images() -> None:
    told = tell(make_run("a", sha256="ab" * 32), make_run("l", kind="image", sha256="ab" * 32))
    assert len(told.rankings) == 2
    assert told.leader.name == "a"


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_params_moves_no_place(order: list[str]) -> None:
    better = {"a": 0.0, "b": -0.02, "c": -0.04, "d": -0.06}
    assert names(*(make_run(name, better=better[name]) for name in order)) == ["a", "b", "c", "d"]


def test_a_difference_turned_round_is_its_negative() -> None:
    scored, floor = make_run().scored, make_floor()
    there = subtract(scored, floor, FINDINGS, in_all=50)
    back = subtract(floor, scored, FINDINGS, in_all=50)
    assert back.value == pytest.approx(-there.value)
    assert (back.low, back.high, back.p) == pytest.approx((-there.high, -there.low, there.p))  # type: ignore[operator]


def test_a_recipe_that_is_ahead_over_its_fewer_findings_is_told_and_not_the_next() -> None:
    few = make_run("few", findings=FEW, better=0.1)
    first = tell(make_run("best"), few, make_run("next", better=-0.1)).first
    assert [standing.run.name for standing in first.ahead] == ["few"]
    assert first.lead == "clear"
    assert first.next is not None
    assert first.next.run.name == "next"
    assert first.tied == ()
    assert tell(make_run("best"), few).first.lead == "behind"
