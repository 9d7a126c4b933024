"""The published numbers as data/published holds them, read and checked row by row."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chestxray14.base.errors import InputError
from chestxray14.base.findings import BOXED_FINDINGS, FINDINGS
from chestxray14.files.cells import read_cells
from chestxray14.localization.record import HEADLINES
from chestxray14.report.published import Boxes, Published, System

Text = Annotated[str, Field(min_length=1)]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Text
    title: Text


class _SystemRow(_Row):
    protocol: Text
    selected_on: Text
    evidence: Text


class _FindingRow(_SystemRow):
    finding: Text
    auroc: Score


class _MeanRow(_SystemRow):
    mean_auroc: Score
    note: str


class _DecisionRow(_Row):
    finding: Text
    precision: Score
    recall: Score
    f1: Score


class _BoxRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    source: Text
    table: Text
    dataset: Text
    overlap: Literal["IoBB", "IoU"]
    threshold: Annotated[float, Field(gt=0, lt=1)]
    finding: Literal[BOXED_FINDINGS]  # type: ignore[valid-type]
    boxes: Annotated[int, Field(gt=0)]
    accuracy: Score
    afp: Annotated[float, Field(ge=0)]


Row = TypeVar("Row", bound=BaseModel)


def read_published(folder: Path) -> Published:
    """Return the published numbers of a folder.

    auroc.csv and mean_auroc.csv have systems, precision_recall_f1.csv decisions, of which the row
    `macro avg` is told, and localization.csv boxes. Raises `InputError` naming the file, row or
    source that is missing, malformed or incomplete, and a box table whose system is missing.
    """
    systems = _read_systems(folder)
    rows = read_rows(folder / "precision_recall_f1.csv", _DecisionRow)
    decisions = {
        row.source: (row.precision, row.recall, row.f1)
        for row in rows
        if row.finding == "macro avg"
    }
    path = folder / "localization.csv"
    tables: dict[str, list[_BoxRow]] = {}
    for box in read_rows(path, _BoxRow):
        if box.source not in systems:
            raise InputError(f"{path}: source {box.source} is in neither table of AUROC")
        if box.overlap == "IoBB" and box.threshold == float(HEADLINES["IoBB"]):
            tables.setdefault(box.table, []).append(box)
    return Published(
        systems, decisions, tuple(_join_boxes(rows, path=path) for rows in tables.values())
    )


def _read_systems(folder: Path) -> dict[str, System]:
    path = folder / "auroc.csv"
    cells: dict[str, list[_FindingRow]] = {}
    for row in read_rows(path, _FindingRow):
        cells.setdefault(row.source, []).append(row)
    systems = {source: _join(rows, path=path) for source, rows in cells.items()}
    path = folder / "mean_auroc.csv"
    for mean in read_rows(path, _MeanRow):
        if mean.source in systems:
            raise InputError(f"{path}: source {mean.source} has a mean already, expected one")
        described = mean.model_dump(exclude={"mean_auroc"})
        systems[mean.source] = System(**described, mean=mean.mean_auroc, auroc={})
    return systems


def _join_boxes(rows: list[_BoxRow], *, path: Path) -> Boxes:
    first, found = rows[0], [row.finding for row in rows]
    if sorted(found) != sorted(BOXED_FINDINGS):
        odd = sorted(set(found) ^ set(BOXED_FINDINGS)) or [f for f in found if found.count(f) > 1]
        raise InputError(
            f"{path}: {first.table} at {first.threshold} must have each of the "
            f"{len(BOXED_FINDINGS)} boxed findings once; missing, unknown or repeated: "
            f"{', '.join(dict.fromkeys(odd))}"
        )
    return Boxes(
        source=first.source,
        title=first.table,
        dataset=first.dataset,
        boxes={row.finding: row.boxes for row in rows},
        accuracy={row.finding: row.accuracy for row in rows},
    )


def read_rows(path: Path, row_type: type[Row]) -> list[Row]:
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


def _join(rows: list[_FindingRow], *, path: Path) -> System:
    """Return the system that 14 rows, one a finding, describe."""
    described = rows[0].model_dump(exclude={"finding", "auroc"})
    found = [row.finding for row in rows]
    if sorted(found) != sorted(FINDINGS):
        odd = sorted(set(found) ^ set(FINDINGS)) or [f for f in FINDINGS if found.count(f) > 1]
        raise InputError(
            f"{path}: source {rows[0].source} must have each of the 14 findings once; "
            f"missing, unknown or repeated: {', '.join(odd)}"
        )
    if any(row.model_dump(exclude={"finding", "auroc"}) != described for row in rows):
        raise InputError(
            f"{path}: source {rows[0].source} has rows that differ in title, protocol, "
            "selected_on or evidence"
        )
    auroc = {row.finding: row.auroc for row in rows}
    return System(
        **described,
        note="",
        mean=sum(auroc.values()) / len(auroc),
        auroc={finding: auroc[finding] for finding in FINDINGS},
    )
