"""Tables that somebody else keeps beside radiographs: which files, and how their cells are meant."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from chestxray14.base.findings import check_findings
from chestxray14.base.params import FileName, Record

Text = Annotated[str, Field(min_length=1)]

_TEXT_OR_BLOCK = Discriminator(lambda value: "text" if isinstance(value, str) else "block")

OWN = "image"
"""What stands for the column of patients where every image is its own patient."""


def _check_pattern(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    if groups != 1:
        raise ValueError(f"{pattern!r} has {groups} groups, expected one: what names the patient")
    return pattern


class Within(Record):
    """What names the patient is the group of a regular expression in the cells of a column."""

    column: Text
    pattern: Annotated[str, AfterValidator(_check_pattern)]


class Columns(Record):
    """Where a table says what; null where it does not say it."""

    image: Text
    patient: (
        Annotated[Annotated[Text, Tag("text")] | Annotated[Within, Tag("block")], _TEXT_OR_BLOCK]
        | None
    )
    age: Text | None
    sex: Text | None
    view: Text | None
    follow_up: Text | None

    @property
    def named(self) -> dict[str, str]:
        """The columns that the table must have, by what they say."""
        named = self.model_dump(exclude_none=True)
        if isinstance(self.patient, Within):
            named["patient"] = self.patient.column
        elif self.patient == OWN:
            del named["patient"]
        return named


class Names(Record):
    """One column that names what an image shows; `none` is how it says that it shows nothing."""

    column: Text
    separator: Text
    none: Text


class Join(Record):
    """Another table with more columns of the same rows: `by` is our column and theirs."""

    table: FileName
    by: Annotated[dict[Text, Text], Field(min_length=1, max_length=1)]


class Lists(Record):
    """A table in three files, which are the parts of the dataset's own split."""

    train: FileName
    val: FileName
    test: FileName


def _check_names(findings: dict[str, str]) -> dict[str, str]:
    check_findings(list(findings))
    return findings


class Reading(Record):
    """How a table is read; `findings` are ours, each with its column, or its name in `labels`.

    Without `labels` each finding has a column, whose cells `values` translates. `only` keeps the rows
    with one of these cells in a column.
    """

    table: Annotated[
        Annotated[FileName, Tag("text")] | Annotated[Lists, Tag("block")], _TEXT_OR_BLOCK
    ]
    columns: Columns
    findings: Annotated[dict[str, Text], Field(min_length=1), AfterValidator(_check_names)]
    values: dict[str, Literal[0, 1, "unknown"]] | None = None
    labels: Names | None = None
    join: Join | None = None
    only: dict[Text, list[str]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_form(self) -> "Reading":
        if (self.values is None) == (self.labels is None):
            raise ValueError(
                "expected either `values`, where each finding has a column, or `labels`, where one "
                "column names them"
            )
        return self

    @property
    def parts(self) -> dict[str, str]:
        """The files of the table by part, all of it where it is in one file."""
        return self.table.model_dump() if isinstance(self.table, Lists) else {"all": self.table}

    @property
    def files(self) -> tuple[str, ...]:
        """All files that are read."""
        return (*self.parts.values(), *([self.join.table] if self.join else ()))
