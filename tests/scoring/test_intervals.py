import runpy
from collections.abc import Callable

import pytest
from conftest import ROOT

from chestxray14.scoring.claims import AT_LEAST, AT_LEAST_IN_A_MEAN, suffice_for_mean

simulate: Callable[..., tuple[float, float]] = runpy.run_path(
    str(ROOT / "benchmarks/intervals.py"), run_name="benchmark"
)["simulate"]

SETTING = {"patients": 80, "rounds": 400, "draws": 200, "auroc": 0.7}
pytestmark = pytest.mark.slow


def test_intervals_that_are_printed_hold_the_truth_and_p_claims_one_in_twenty() -> None:
    held, claimed = simulate([AT_LEAST], **SETTING)
    # 92 % and 6 % in a long run, give or take three standard errors of 400 rounds.
    assert held > 0.92 - 0.04
    assert claimed < 0.06 + 0.036
    each, together = AT_LEAST_IN_A_MEAN
    for classes in ([each] * (together // each), [each + 3] * 7 + [40]):
        assert suffice_for_mean(classes, in_all=80)
        held, _ = simulate(classes, **SETTING)
        assert held > 0.92 - 0.04


def test_a_mean_that_one_rare_finding_decides_holds_too_seldom_and_is_not_printed() -> None:
    classes = [AT_LEAST_IN_A_MEAN[0], 100]
    assert not suffice_for_mean(classes, in_all=200)
    held, _ = simulate(classes, **SETTING | {"patients": 200, "auroc": 0.85})
    assert held < 0.9


def test_two_patients_hold_and_claim_what_the_rule_is_there_for() -> None:
    held, claimed = simulate([2], **SETTING)
    assert held < 0.75
    assert claimed > 0.2
