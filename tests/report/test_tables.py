import math

import pytest

from chestxray14.report.tables import (
    NONE,
    cell,
    excludes,
    in_words,
    make_table,
    number,
)
from chestxray14.scoring.claims import choose_digits
from chestxray14.scoring.evaluation import Bounded, Difference, Estimate


@pytest.mark.parametrize(
    ("error", "digits"), [(0.06, 2), (0.02, 2), (0.0199, 3), (0.003, 3), (0.0019, 4), (1e-5, 4)]
)
def test_digits_follow_the_standard_error(error: float, digits: int) -> None:
    found = Estimate(value=0.5, low=0.5 - 1.96 * error, high=0.5 + 1.96 * error)
    assert choose_digits([Estimate(value=0.7), found]) == digits


def test_without_an_interval_there_are_two_digits() -> None:
    assert choose_digits([Estimate(value=0.7)]) == 2


@pytest.mark.parametrize(("value", "text"), [(-0.0004, "0.00"), (-0.015, "−0.01"), (1, "1.00")])
def test_a_minus_is_one_and_never_before_zero(value: float, text: str) -> None:
    assert number(value, 2) == text


@pytest.mark.parametrize(
    ("low", "high", "apart"),
    [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0, 0.1, False), (-0.1, 0, False)],
)
def test_an_interval_on_one_side_excludes_0(low: float, high: float, apart: bool) -> None:
    assert excludes(Bounded(value=0, low=low, high=high), 0) is apart
    assert not excludes(Bounded(value=1), 0)


def test_a_cell_has_an_interval_where_there_is_one() -> None:
    assert cell(Estimate(value=0.5), 2).note == ""
    assert cell(Estimate(value=0.5, low=0.25, high=0.75), 1).note == "0.2 to 0.8"
    assert cell(Estimate(value=0.5, low=0.25, high=0.75), 1, "over 3").note == "0.2 to 0.8, over 3"
    assert [cell(none, 2, "over 3") for none in (None, math.nan)] == [cell(NONE)] * 2


def test_thousands_are_parted_and_whole_numbers_have_no_decimals() -> None:
    assert [cell(value, 2).text for value in (1234, 1234.0, "1234")] == [
        "1,234",
        "1,234.00",
        "1234",
    ]


def test_a_sentence_has_interval_and_p_or_says_that_patients_are_too_few() -> None:
    found = in_words(Difference(value=0.1, low=-0.02, high=0.2, p=0.0119), 2)
    assert found.startswith("0.10 (")
    assert "−0.02 to 0.20" in found
    assert found.endswith("p = 0.012)")
    assert "p < 0.001" in in_words(Difference(value=0.1, low=0, high=1, p=1e-5), 2)
    assert "too few" in in_words(Difference(value=0.1), 2)


def test_a_column_of_dashes_is_left_out_but_never_the_first() -> None:
    table = make_table("T", ("a", "b", "c"), [[NONE, NONE, "1"], [NONE, "", "2"]], words=["c"])
    assert table.columns == ("a", "c")
    assert [[c.text for c in row] for row in table.rows] == [[NONE, "1"], [NONE, "2"]]
    assert table.words == {"a", "c"}
