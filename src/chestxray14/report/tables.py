"""Numbers as they are printed, and tables of them, the same for the page and for Markdown."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chestxray14.scoring.claims import p_text
from chestxray14.scoring.evaluation import NO_INTERVAL, Bounded, Difference, Estimate

NONE = "–"
"""Stands where there is no number."""


@dataclass(frozen=True)
class Cell:
    """What a table shows in one place, `note` in small print after it."""

    text: str
    note: str = ""


Value = Cell | Estimate | Bounded | float | int | str | None


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of each names it; `words` are the columns that are no numbers.

    `marked` rows stand apart, say of a leak or another protocol.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[str]
    marked: frozenset[str] = frozenset()


def make_table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Value]],
    *,
    digits: int = 2,
    words: Iterable[str] = (),
    marked: Iterable[str] = (),
) -> Table:
    """Return a table without the columns that would hold nothing but dashes."""
    filled = [[cell(value, digits) for value in row] for row in rows]
    kept = [
        i
        for i in range(len(columns))
        if i == 0 or any(row[i].text not in (NONE, "") for row in filled)
    ]
    return Table(
        caption,
        tuple(columns[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in filled),
        frozenset({columns[0], *words}),
        frozenset(marked),
    )


def cell(value: Value, digits: int = 2, note: str = "") -> Cell:
    """Return a value with its interval and a note in small print; a dash for None and NaN.

    What is whole by its type has no decimals.
    """
    match value:
        case Cell():
            return value
        case None:
            return Cell(NONE)
        case Estimate() | Bounded():
            notes = filter(None, (bounds(value, digits), note))
            return Cell(number(value.value, digits), ", ".join(notes))
        case float():
            return Cell(NONE) if math.isnan(value) else Cell(number(value, digits), note)
        case int():
            return Cell(f"{value:,}", note)
    return Cell(value, note)


def number(value: float, digits: int) -> str:
    """Return a number with a true minus sign."""
    # Adding 0 makes what rounds to minus zero plain zero.
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def bounds(found: Estimate | Bounded, digits: int) -> str:
    """Return an interval, nothing where there is none."""
    if found.low is None or found.high is None:
        return ""
    return f"{number(found.low, digits)} to {number(found.high, digits)}"


def excludes(found: Estimate | Bounded, value: float) -> bool:
    """Return whether there is an interval and a value outside of it."""
    return (
        found.low is not None and found.high is not None and not found.low <= value <= found.high
    )


def in_words(found: Estimate | Bounded, digits: int, *, interval: str = "95 % interval") -> str:
    """Return a value with what its interval is called, and p where there is one, for a sentence."""
    told = [f"{interval}: {bounds(found, digits)}"] if found.low is not None else []
    if isinstance(found, Difference) and found.p is not None:
        text = p_text(found.p)
        told.append(f"p {text}" if text.startswith("<") else f"p = {text}")
    noted = ", ".join(told) or NO_INTERVAL
    return f"{number(found.value, digits)} ({noted})"


def p_cell(found: Difference | None) -> Cell:
    """Return a p, a dash for none."""
    return Cell(NONE if found is None or found.p is None else p_text(found.p))


def join_words(words: Sequence[str]) -> str:
    """Return names as words of a sentence."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def count_words(count: int, word: str) -> str:
    """Return how many there are of something, such as `1 finding` and `1,200 findings`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def space(finding: str) -> str:
    """Return a finding's name as words."""
    return finding.replace("_", " ")


def name_findings(findings: Sequence[str]) -> str:
    """Return findings as words of a sentence, without their underscores."""
    return join_words([*map(space, findings)])
