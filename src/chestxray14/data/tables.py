"""Anybody's table of radiographs, read by what params.yaml says of its columns and cells."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from chestxray14.base.errors import InputError, name_some
from chestxray14.data.labels import parse_ages
from chestxray14.files.cells import read_cells
from chestxray14.files.names import spell
from chestxray14.raw.reading import Columns, Names, Reading, Within

SEXES = {"F": "F", "FEMALE": "F", "M": "M", "MALE": "M"}
"""What a cell may call them, in any case; all else is unknown."""

BRACKETS = " []'\""
"""What may stand around a name in a list of names, as Python writes it."""

log = logging.getLogger("prepare")

_PART = " part"
"""A name that no column of a file has: theirs are stripped of blanks."""

Cells = pd.DataFrame
"""Text by column; the index says where a row stands, as `labels.csv row 2`."""


def translate_table(contents: Mapping[str, bytes], reading: Reading) -> pd.DataFrame:
    """Return one row an image from a table in files of these names, as `labels.read_labels` does.

    `patient` is text, empty where no column names it; what else the table does not say is NaN. A
    finding is 0 or 1, or NaN where a cell says unknown. Of a table in parts the column `part` is added.

    Raises `InputError` naming the file, and the row and column where there is one, for a missing
    column, a repeated image, or a cell that `values` does not list.
    """
    cells = _join_parts(contents, reading)
    columns = reading.columns
    needed = [*columns.named.values(), *reading.only, *_label_columns(reading)]
    _require(cells, needed, name=", ".join(reading.parts.values()))
    for column, kept in reading.only.items():
        cells = cells[cells[column].isin(kept)]
    if cells.empty:
        raise InputError(f"{', '.join(reading.parts.values())}: no row is left to read")
    image = cells[columns.image].map(spell)
    _refuse_first(image == "", what="no image")
    _refuse_first(image.duplicated(), what="an image that an earlier row names")
    table = pd.DataFrame(
        {
            "image": image,
            "patient": _patients(cells, columns),
            "follow_up": _numbers(cells, columns.follow_up),
            "age": _ages(cells, columns.age),
            "sex": _text(cells, columns.sex).str.upper().map(SEXES),
            "view": _text(cells, columns.view).str.upper().where(lambda v: v.isin(["AP", "PA"])),
        }
    )
    if columns.patient:
        _refuse_first(table["patient"] == "", what="no patient")
    labels = (
        _split_names(cells, reading.labels, reading.findings)
        if reading.labels
        else _translate(cells, reading)
    )
    if _PART in cells:
        table["part"] = cells[_PART]
    return pd.concat([table, labels], axis=1).reset_index(drop=True)


def _join_parts(contents: Mapping[str, bytes], reading: Reading) -> Cells:
    """Return the rows of all files of a table, with the columns of the one that is joined."""
    files = reading.parts
    tables = {part: _read(contents[file], name=file) for part, file in files.items()}
    if len(tables) > 1:
        first = next(iter(tables.values()))
        for part, table in tables.items():
            if set(table.columns) != set(first.columns):
                raise InputError(
                    f"{files[part]} has other columns than {next(iter(files.values()))}: "
                    f"{name_some(sorted(set(table.columns) ^ set(first.columns)))}"
                )
        tables = {part: table.assign(**{_PART: part}) for part, table in tables.items()}
    cells = pd.concat(tables.values())
    if reading.join is None:
        return cells
    other = _read(contents[reading.join.table], name=reading.join.table)
    ((ours, theirs),) = reading.join.by.items()
    _require(cells, [ours], name=", ".join(files.values()))
    _require(other, [theirs], name=reading.join.table)
    _refuse_first(other[theirs].duplicated(), what=f"{theirs} is of an earlier row too")
    other = other.set_index(theirs)
    other = other[[column for column in other if column not in cells]]
    return pd.concat([cells, other.reindex(cells[ours]).set_axis(cells.index)], axis=1).fillna("")


def _read(content: bytes, *, name: str) -> Cells:
    cells = read_cells(content, name=name)
    return cells.set_axis([f"{name} row {row}" for row in range(2, len(cells) + 2)])


def _label_columns(reading: Reading) -> list[str]:
    return [reading.labels.column] if reading.labels else list(reading.findings.values())


def _require(cells: Cells, columns: list[str], *, name: str) -> None:
    if missing := [column for column in columns if column not in cells]:
        raise InputError(
            f"{name} lacks the column {missing[0]!r}; found {name_some(cells.columns, most=30)}"
        )


def _translate(cells: Cells, reading: Reading) -> pd.DataFrame:
    """Return each finding's column as 0, 1 and NaN."""
    values = {
        cell: np.nan if value == "unknown" else value
        for cell, value in (reading.values or {}).items()
    }
    labels = {}
    for finding, column in reading.findings.items():
        strange = cells.loc[~cells[column].isin(values.keys()), column]
        if len(strange):
            raise InputError(
                f"{strange.index[0]}, {column}: found {strange.iloc[0]!r}, expected one of the "
                f"`values`: {', '.join(map(repr, values))}"
            )
        labels[finding] = _shorten(cells[column].map(values))
    return pd.DataFrame(labels, index=cells.index)


def _split_names(cells: Cells, names: Names, findings: Mapping[str, str]) -> pd.DataFrame:
    """Return each finding as 1 where it is among an image's names; of an empty cell nothing is known."""
    listed = {
        cell: {name.strip(BRACKETS) for name in cell.split(names.separator)} - {""}
        for cell in cells[names.column].unique()
    }
    others = set().union(*listed.values()) - {names.none, *findings.values()}
    if others:
        log.info(
            "%s names what is none of the findings, passed over: %s",
            *(names.column, name_some(sorted(others), most=10)),
        )
    return pd.DataFrame(
        {
            finding: _shorten(
                cells[names.column].map(
                    {
                        cell: float(name in shown) if shown else np.nan
                        for cell, shown in listed.items()
                    }
                )
            )
            for finding, name in findings.items()
        },
        index=cells.index,
    )


def _shorten(labels: "pd.Series[float]") -> "pd.Series[Any]":
    """Return labels as bytes where all of them are known."""
    return labels if labels.hasnans else labels.astype(np.uint8)


def _patients(cells: Cells, columns: Columns) -> "pd.Series[str]":
    match columns.patient:
        case Within(column=column, pattern=pattern):
            found = cells[column].str.extract(pattern, expand=False).fillna("")
            _refuse_first(found == "", what=f"no patient like {pattern} in {column}")
            return found
        case "image":
            return cells[columns.image].map(spell)
        case column:
            return _text(cells, column)


def _text(cells: Cells, column: str | None) -> "pd.Series[str]":
    return cells[column] if column else pd.Series("", index=cells.index, dtype="str")


def _numbers(cells: Cells, column: str | None) -> "pd.Series[float]":
    text = _text(cells, column)
    bad = ~text.str.fullmatch(r"[0-9]{0,9}")
    _refuse_first(bad, what=f"{column} is not a whole number")
    return pd.to_numeric(text, errors="coerce").astype(float)


def _ages(cells: Cells, column: str | None) -> "pd.Series[float]":
    ages, bad = parse_ages(_text(cells, column))
    _refuse_first(
        bad & (_text(cells, column) != ""), what=f"{column} is neither years nor like 058Y"
    )
    return ages


def _refuse_first(bad: "pd.Series[bool]", *, what: str) -> None:
    if bad.any():
        raise InputError(f"{bad.idxmax()}: {what}")
