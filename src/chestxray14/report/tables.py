"""Tables of finished text, and the columns of AUROC and differences they are made of.

An AUROC has four decimals and the bounds of its interval three.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chestxray14.scoring.evaluation import Estimate

NONE = "–"
"""Stands where there is no number."""


@dataclass(frozen=True)
class Cell:
    """What a table shows in one place, `note` in small print after it.

    `apart` marks a number of another protocol.
    """

    text: str
    apart: bool = False
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column's heading and, in small print, what its numbers are."""

    title: str
    note: str = ""
    numeric: bool = True


Filled = tuple[Column, list[Cell]]


@dataclass(frozen=True)
class Row:
    """A row; its first cell names it. `tone` is one of "", "ours", "doubtful" and "total"."""

    cells: tuple[Cell, ...]
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """A table of finished text, the same for every output format."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def text_column(title: str, texts: Sequence[str]) -> Filled:
    """Return a column of words."""
    return Column(title, numeric=False), [Cell(text) for text in texts]


def number_column(
    column: Column, values: Sequence[float | None], *, apart: Sequence[bool] = ()
) -> Filled:
    """Return a column of AUROC; `apart` says of each whether it is of another protocol."""
    flags = apart or [False] * len(values)
    return column, [
        Cell(auroc_text(v), flag and v is not None) for v, flag in zip(values, flags, strict=True)
    ]


def estimate_cell(estimate: Estimate | None) -> Cell:
    """Return an AUROC with its interval, where it has one, in small print."""
    if estimate is None:
        return Cell(NONE)
    return Cell(auroc_text(estimate.value), note=interval_text(estimate.low, estimate.high))


def estimate_column(column: Column, estimates: Sequence[Estimate | None]) -> Filled:
    """Return a column of AUROC with their intervals."""
    return column, [estimate_cell(estimate) for estimate in estimates]


def difference_column(
    note: str,
    ours: Sequence[float | None],
    theirs: Sequence[float | None],
    *,
    apart: Sequence[bool],
) -> Filled:
    """Return a column of differences, a dash where a value is missing or of another protocol."""
    cells = [
        Cell(NONE if x is None or y is None or flag else difference_text(x, y))
        for x, y, flag in zip(ours, theirs, apart, strict=True)
    ]
    return Column("Difference", note), cells


def join_columns(caption: str, columns: Sequence[Filled], *, tones: Sequence[str]) -> Table:
    """Return a table from its columns, without those that would hold nothing but dashes."""
    told = [(c, cells) for c, cells in columns if any(cell.text != NONE for cell in cells)]
    rows = zip(*(cells for _, cells in told), strict=True)
    return Table(
        caption=caption,
        columns=tuple(column for column, _ in told),
        rows=tuple(Row(cells, tone) for cells, tone in zip(rows, tones, strict=True)),
    )


def text_table(
    caption: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numeric: Sequence[int] = (),
) -> Table:
    """Return a table of words; `numeric` are the places of the columns of numbers."""
    return Table(
        caption=caption,
        columns=tuple(Column(h, numeric=i in numeric) for i, h in enumerate(headings)),
        rows=tuple(Row(tuple(Cell(text) for text in row)) for row in rows),
    )


def auroc_text(value: float | None) -> str:
    """Return an AUROC as the report prints it."""
    return NONE if value is None else f"{value:.4f}"


def interval_text(low: float | None, high: float | None) -> str:
    """Return an interval as the report prints it, nothing where a bound is missing."""
    if low is None or high is None:
        return ""
    # Adding 0 makes a bound that rounds to minus zero plain zero.
    return " to ".join(f"{round(bound, 3) + 0.0:.3f}".replace("-", "−") for bound in (low, high))


def p_text(p: float, *, draws: int) -> str:
    """Return a two-sided bootstrap p value, never smaller than the draws can tell."""
    least = max(2 / draws, 0.001)
    return f"< {least:.2g}" if p < least else f"{p:.3f}"


def difference_text(ours: float, theirs: float) -> str:
    """Return the difference of two AUROC as printed, so that a reader can check the row."""
    units = round((round(ours, 4) - round(theirs, 4)) * 10_000)
    return f"{units / 10_000:+.4f}".replace("-", "−") if units else "0.0000"
