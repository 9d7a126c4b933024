"""CSV files that somebody else wrote, read cell by cell so that nothing is guessed."""

import csv
import io
import unicodedata
from collections.abc import Mapping

import pandas as pd

from chestxray14.base.errors import InputError


def decode(content: bytes, *, name: str) -> str:
    """Return UTF-8 text, with or without a byte order mark, its letters composed (NFC).

    Raises `InputError` for other text.
    """
    try:
        return unicodedata.normalize("NFC", content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text (byte {error.start})") from None


def read_cells(content: bytes, *, name: str) -> pd.DataFrame:
    """Return a CSV file as a table of stripped text; row i is the file's row i + 2.

    Columns without a name are left out, wherever they stand. Raises `InputError` naming the row
    that has another number of cells than the header, or the column that occurs twice.
    """
    try:
        rows = list(csv.reader(io.StringIO(decode(content, name=name), newline="")))
    except csv.Error as error:
        raise InputError(f"{name} is not a table: {error}") from None
    while rows and not rows[-1]:
        rows.pop()
    if not rows:
        raise InputError(f"{name} is not a table: it is empty")
    header = [cell.strip() for cell in rows[0]]
    named = {i: column for i, column in enumerate(header) if column}
    if twice := [column for i, column in named.items() if column in header[:i]]:
        raise InputError(f"{name} has two columns named {twice[0]!r}")
    width = max(named, default=-1) + 1
    for number, row in enumerate(rows[1:], start=2):
        if len(row) < width or any(row[len(header) :]):
            raise InputError(f"{name} row {number}: found {len(row)} cells, expected {width}")
    return pd.DataFrame(
        {column: [row[i].strip() for row in rows[1:]] for i, column in named.items()}, dtype=str
    )


def pick_columns(table: pd.DataFrame, names: Mapping[str, str], *, name: str) -> dict[str, str]:
    """Return which column of a foreign table is meant by each name of ours.

    `names` gives ours by theirs, where several of theirs may be one of ours; case, blanks and signs
    do not matter. Raises `InputError` naming the file `name` and a column that is missing.
    """
    found = {_letters(column): column for column in reversed(table.columns)}
    picked: dict[str, str] = {}
    for theirs, ours in names.items():
        if (column := found.get(_letters(theirs))) is not None:
            picked.setdefault(ours, column)
    for theirs, ours in names.items():
        if ours not in picked:
            raise InputError(f"{name} lacks the column {theirs!r}; found {list(table.columns)}")
    return picked


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()
