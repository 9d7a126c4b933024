import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from chestxray14.scoring.claims import (
    AT_LEAST,
    adjust,
    estimate,
    estimate_difference,
    interval,
    p_text,
    p_value,
    suffice,
    suffice_for_mean,
)
from chestxray14.scoring.evaluation import Difference, Estimate

Floats = NDArray[np.float64]


def test_interval_is_between_the_percentiles_by_hand() -> None:
    # Of 0, 1, ..., 1000 in any order, the 2.5th percentile is 25 and the 97.5th 975.
    values = np.random.default_rng(0).permutation(1001.0 * np.arange(1001)) / 1001
    assert interval(values) == pytest.approx((25, 975))


def test_interval_is_over_finite_draws_and_none_where_fewer_than_half_are() -> None:
    assert interval(np.array([0.0, 1.0, np.nan, np.nan])) == pytest.approx((0.025, 0.975))
    assert interval(np.array([0.0, 1.0, np.nan, np.nan, np.nan])) is None
    assert interval(np.array([np.nan])) is None


def test_equal_draws_have_no_bounds_and_no_p() -> None:
    ones = np.ones(100)
    assert interval(ones) is None
    assert estimate(1.0, ones, enough=True) == Estimate(value=1)
    assert estimate_difference(0.0, 0 * ones, enough=True) == Difference(value=0)


def test_too_few_patients_have_a_value_alone() -> None:
    draws = np.linspace(0.4, 0.6, 100)
    assert not suffice(AT_LEAST - 1)
    assert suffice(AT_LEAST)
    assert estimate(0.5, draws, enough=False) == Estimate(value=0.5)
    assert estimate_difference(0.5, draws, enough=False) == Difference(value=0.5)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        (np.ones(999), 2 / 1000),
        (-np.ones(999), 2 / 1000),
        (np.array([-1.0] * 4 + [1.0] * 95), 2 * 5 / 100),
        (np.array([-1.0] * 2 + [0.0] * 2 + [1.0] * 95), 2 * 5 / 100),
        (np.zeros(10), 1),
        (np.array([np.nan] * 5 + [1.0] * 9), 2 / 10),
        (np.array([np.nan]), 1),
    ],
)
def test_p_is_twice_the_smaller_side_with_one_added(differences: Floats, expected: float) -> None:
    assert p_value(differences) == pytest.approx(expected)


def test_holm_of_a_case_done_by_hand() -> None:
    told = adjust([Difference(value=0.1, p=p) for p in (0.03, 0.001, None, 0.02, 0.9)])
    # 4 x 0.001, then 3 x 0.02 = 0.06, and 2 x 0.03 is not below that.
    assert [each.p for each in told] == pytest.approx([0.06, 0.004, None, 0.06, 0.9])


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=20))
def test_an_adjusted_p_is_no_smaller_and_keeps_the_order(ps: list[float]) -> None:
    told = [each.p or 0 for each in adjust([Difference(value=0, p=p) for p in ps])]
    assert all(p <= after <= 1 for p, after in zip(ps, told, strict=True))
    order = np.argsort(ps, kind="stable")
    assert (np.diff(np.array(told)[order]) >= 0).all()
    assert min(told) == pytest.approx(min(1, len(ps) * min(ps)))


def test_a_p_is_printed_one_way() -> None:
    assert [p_text(p) for p in (2 / 1001, 0.0496, 1, 2e-5)] == [
        "0.002",
        "0.050",
        "1.000",
        "< 0.001",
    ]


def test_networks_are_told_apart_by_p_below_005_and_by_nothing_else() -> None:
    # 25 of 1,000 draws below 0 leave it just outside the interval; p counts one more.
    draws = np.concatenate([np.full(25, -0.1), np.full(975, 0.1)])
    found = estimate_difference(0.1, draws, enough=True)
    assert (found.low, found.high) == interval(draws)
    assert found.low is not None
    assert found.low > 0
    assert found.p == p_value(draws) == pytest.approx(2 * 26 / 1001)
    assert not found.told_apart
    assert estimate_difference(0.1, draws[2:], enough=True).told_apart


@pytest.mark.parametrize(
    ("patients", "in_all", "enough"),
    [
        ([5] * 10, 80, True),
        ([5] * 9, 80, False),  # 45 together
        ([5, 100], 200, False),  # hardly more than 5
        ([11, 11, 11, 11, 11, 100], 200, True),
        ([4, *[20] * 7], 80, False),
        ([20, 100], 200, True),  # either has its own
        ([19, 100], 200, False),
        ([20], 20, True),
        ([19], 80, False),
        ([10] * 14, 19, False),
    ],
)
def test_a_mean_takes_twenty_patients_of_each_finding_or_five_that_weigh_fifty(
    patients: list[int], in_all: int, enough: bool
) -> None:
    assert suffice_for_mean(patients, in_all=in_all) is enough
