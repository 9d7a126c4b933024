import pytest

from chestxray14.report.tables import (
    Cell,
    Column,
    auroc_text,
    difference_column,
    difference_text,
    estimate_column,
    interval_text,
    join_columns,
    number_column,
    p_text,
    text_column,
    text_table,
)
from chestxray14.scoring.evaluation import Estimate


@pytest.mark.parametrize(
    ("ours", "theirs", "text"),
    [
        (0.84006, 0.84, "+0.0001"),
        (0.84004, 0.84, "0.0000"),
        (0.84, 0.85549, "−0.0155"),
        (0.83994, 0.84006, "−0.0002"),
    ],
)
def test_a_difference_is_that_of_the_printed_numbers(
    ours: float, theirs: float, text: str
) -> None:
    printed = round(float(f"{ours:.4f}") - float(f"{theirs:.4f}"), 4)
    assert float(text.replace("−", "-")) == printed
    assert difference_text(ours, theirs) == text


def test_an_auroc_has_four_digits_and_a_missing_one_a_dash() -> None:
    assert [auroc_text(value) for value in (0.84546, 1.0, None)] == ["0.8455", "1.0000", "–"]


def test_no_difference_to_a_missing_number_or_one_of_another_protocol() -> None:
    _, cells = difference_column(
        "ours − theirs",
        ours=[0.8, None, 0.8, 0.8],
        theirs=[0.7, 0.7, None, 0.7],
        apart=[False, False, False, True],
    )
    assert [cell.text for cell in cells] == ["+0.1000", "–", "–", "–"]


def test_a_missing_number_is_not_marked_as_one_of_another_protocol() -> None:
    _, cells = number_column(Column("Source"), [0.8, None, 0.7], apart=[True, True, False])
    assert cells == [Cell("0.8000", apart=True), Cell("–"), Cell("0.7000")]


def test_a_column_of_nothing_but_dashes_is_left_out() -> None:
    columns = [
        text_column("Name", ["a", "b"]),
        number_column(Column("Empty"), [None, None]),
        number_column(Column("Half"), [None, 0.5]),
    ]
    table = join_columns("Caption", columns, tones=["", "ours"])
    assert [column.title for column in table.columns] == ["Name", "Half"]
    texts = [[cell.text for cell in row.cells] for row in table.rows]
    assert texts == [["a", "–"], ["b", "0.5000"]]
    assert [row.tone for row in table.rows] == ["", "ours"]


def test_a_table_of_words_knows_its_columns_of_numbers() -> None:
    table = text_table("Caption", ("Name", "Size"), [("a", "1"), ("b", "2")], numeric=(1,))
    assert [column.numeric for column in table.columns] == [False, True]
    assert [row.cells for row in table.rows] == [
        (Cell("a"), Cell("1")),
        (Cell("b"), Cell("2")),
    ]


def test_an_estimate_has_its_interval_in_small_print_where_it_has_one() -> None:
    whole = Estimate(value=0.73704, low=0.70149, high=0.77151)
    half = Estimate(value=0.5, low=0.4)
    _, cells = estimate_column(Column("Ours"), [whole, half, None])
    assert cells == [Cell("0.7370", note="0.701 to 0.772"), Cell("0.5000"), Cell("–")]


def test_the_bounds_of_a_difference_have_a_true_minus_and_no_minus_zero() -> None:
    assert interval_text(-0.0123, -0.0001) == "−0.012 to 0.000"
    assert interval_text(None, 0.5) == ""


@pytest.mark.parametrize(
    ("p", "draws", "text"),
    [
        (0.0124, 1000, "0.012"),
        (1.0, 1000, "1.000"),
        # One is added to both counts, so that no draw beyond 0 gives 2 / 1001.
        (2 / 1001, 1000, "< 0.002"),
        (4 / 1001, 1000, "0.004"),
        (2 / 51, 50, "< 0.04"),
        (2 / 100_001, 100_000, "< 0.001"),
    ],
)
def test_a_p_value_is_never_smaller_than_the_draws_can_tell(
    p: float, draws: int, text: str
) -> None:
    assert p_text(p, draws=draws) == text
