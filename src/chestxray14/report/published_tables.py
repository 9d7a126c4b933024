"""The published numbers as data/published holds them, read and checked row by row."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from chestxray14.base.errors import InputError
from chestxray14.base.findings import BOXED_FINDINGS, FINDINGS
from chestxray14.files.cells import read_cells
from chestxray14.localization.record import HEADLINES
from chestxray14.report.published import BoxRow, Described, Published, Score, System, Text


class _FindingRow(Described):
    finding: Text
    auroc: Score


class _DecisionRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Text
    title: Text
    finding: Text
    precision: Score
    recall: Score
    f1: Score


Row = TypeVar("Row", bound=BaseModel)


def read_published(folder: Path) -> Published:
    """Return the published numbers of a folder.

    auroc.csv and mean_auroc.csv have systems, precision_recall_f1.csv decisions, of which the row
    `macro avg` is told, and localization.csv boxes. Raises `InputError` naming the file, row or
    source that is missing, malformed or incomplete, and a box table whose system is missing.
    """
    systems = _read_systems(folder)
    decisions = {
        row.source: (row.precision, row.recall, row.f1)
        for row in _read_rows(folder / "precision_recall_f1.csv", _DecisionRow)
        if row.finding == "macro avg"
    }
    return Published(systems, decisions, _read_boxes(folder / "localization.csv", systems))


def _read_systems(folder: Path) -> dict[str, System]:
    path = folder / "auroc.csv"
    rows_by = _group(_read_rows(path, _FindingRow), key=lambda row: row.source)
    systems = {}
    for source, rows in rows_by.items():
        _check_findings([row.finding for row in rows], FINDINGS, of=f"{path}: source {source}")
        described, *others = [row.model_dump(exclude={"finding", "auroc"}) for row in rows]
        if any(other != described for other in others):
            raise InputError(
                f"{path}: source {source} has rows that differ in title, protocol, "
                "selected_on or evidence"
            )
        mean = sum(row.auroc for row in rows) / len(rows)
        systems[source] = System(**described, mean_auroc=mean)
    path = folder / "mean_auroc.csv"
    for system in _read_rows(path, System):
        if system.source in systems:
            raise InputError(f"{path}: source {system.source} has a mean already, expected one")
        systems[system.source] = system
    return systems


def _read_boxes(path: Path, systems: dict[str, System]) -> dict[str, list[BoxRow]]:
    rows = _read_rows(path, BoxRow)
    if strange := [row.source for row in rows if row.source not in systems]:
        raise InputError(f"{path}: source {strange[0]} is in neither table of AUROC")
    at = HEADLINES["IoBB"]
    headline = [row for row in rows if row.overlap == "IoBB" and row.threshold == float(at)]
    tables = _group(headline, key=lambda row: row.table)
    for title, rows in tables.items():
        found = [row.finding for row in rows]
        _check_findings(found, BOXED_FINDINGS, of=f"{path}: {title} at {at}")
    return tables


def _group(rows: Sequence[Row], *, key: Callable[[Row], str]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(key(row), []).append(row)
    return grouped


def _check_findings(found: Sequence[str], expected: Sequence[str], *, of: str) -> None:
    if sorted(found) != sorted(expected):
        odd = sorted(set(found) ^ set(expected)) or [f for f in expected if found.count(f) > 1]
        raise InputError(
            f"{of} must have each of the {len(expected)} findings once; missing, unknown or "
            f"repeated: {', '.join(odd)}"
        )


def _read_rows(path: Path, row_type: type[Row]) -> list[Row]:
    """Return the rows of a table; `InputError` names the file and the row that is malformed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    rows = []
    cells = read_cells(content, name=str(path)).to_dict("records")
    for number, row in enumerate(cells, start=2):
        try:
            rows.append(row_type.model_validate(row))
        except ValidationError as error:
            problem = error.errors()[0]
            raise InputError(
                f"{path} row {number}: {'.'.join(map(str, problem['loc']))}: "
                f"found {problem['input']!r}; {problem['msg']}"
            ) from None
    return rows
