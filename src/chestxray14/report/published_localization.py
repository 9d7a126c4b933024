"""Published localization: how many of the radiologists' boxes were found, table by table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from chestxray14.base.errors import InputError
from chestxray14.base.findings import BOXED_FINDINGS
from chestxray14.localization.record import THRESHOLDS, Kind
from chestxray14.report.published import Text, read_rows


@dataclass(frozen=True)
class PublishedOverlap:
    """Accuracy and AFP (see `localization.Overlap`) at one threshold, by finding."""

    accuracy: dict[str, float]
    afp: dict[str, float]

    @property
    def mean_accuracy(self) -> float:
        """The mean over the findings."""
        return sum(self.accuracy.values()) / len(self.accuracy)

    @property
    def mean_afp(self) -> float:
        """The mean over the findings."""
        return sum(self.afp.values()) / len(self.afp)


@dataclass(frozen=True)
class PublishedTable:
    """One published table: what overlap, by threshold and finding, on how many boxes.

    `title` names the paper and the table, `dataset` the labels its network was trained on, and
    `source` the published system (`published.System`) that has the network's protocol.
    """

    source: str
    title: str
    dataset: str
    overlap: Kind
    boxes: dict[str, int]
    scores: dict[float, PublishedOverlap]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    source: Text
    table: Text
    dataset: Text
    overlap: Kind
    threshold: Annotated[float, Field(gt=0, lt=1)]
    finding: Text
    boxes: Annotated[int, Field(gt=0)]
    accuracy: Annotated[float, Field(ge=0, le=1)]
    afp: Annotated[float, Field(ge=0)]


def read_localization(folder: Path) -> dict[str, PublishedTable]:
    """Return the tables of localization.csv in `folder`, by title, in the file's order.

    Raises `InputError` naming the file, and the row or table, that is missing or malformed, and a
    table whose thresholds are not `THRESHOLDS`, or do not each have every boxed finding once, with
    the same boxes.
    """
    path = folder / "localization.csv"
    tables: dict[str, list[_Row]] = {}
    for row in read_rows(path, _Row):
        tables.setdefault(row.table, []).append(row)
    return {title: _join(rows, path=path) for title, rows in tables.items()}


def _join(rows: list[_Row], *, path: Path) -> PublishedTable:
    first = rows[0]
    where = f"{path}: {first.table}"
    for key in ("source", "dataset", "overlap"):
        if odd := [value for row in rows if (value := getattr(row, key)) != getattr(first, key)]:
            raise InputError(
                f"{where} has two of {key}, {getattr(first, key)!r} and {odd[0]!r}, expected one"
            )
    by_threshold: dict[float, list[_Row]] = {}
    for row in rows:
        by_threshold.setdefault(row.threshold, []).append(row)
    boxes = {row.finding: row.boxes for row in rows}
    for threshold, found in by_threshold.items():
        names = [row.finding for row in found]
        if sorted(names) != sorted(BOXED_FINDINGS):
            odd = sorted(set(names) ^ set(BOXED_FINDINGS)) or sorted(
                {name for name in names if names.count(name) > 1}
            )
            raise InputError(
                f"{where} at {threshold} must have each of the {len(BOXED_FINDINGS)} boxed "
                f"findings once; missing, unknown or repeated: {', '.join(odd)}"
            )
        for row in found:
            if row.boxes != boxes[row.finding]:
                raise InputError(
                    f"{where}, {row.finding}: found {row.boxes} boxes at {threshold} and "
                    f"{boxes[row.finding]} elsewhere, expected one number"
                )
    if tuple(by_threshold) != THRESHOLDS[first.overlap]:
        raise InputError(
            f"{where}: found the thresholds {', '.join(map(str, by_threshold))}, "
            f"expected {', '.join(map(str, THRESHOLDS[first.overlap]))}"
        )
    return PublishedTable(
        source=first.source,
        title=first.table,
        dataset=first.dataset,
        overlap=first.overlap,
        boxes={finding: boxes[finding] for finding in BOXED_FINDINGS},
        scores={threshold: _by_finding(found) for threshold, found in by_threshold.items()},
    )


def _by_finding(rows: list[_Row]) -> PublishedOverlap:
    own = {row.finding: row for row in rows}
    return PublishedOverlap(
        accuracy={finding: own[finding].accuracy for finding in BOXED_FINDINGS},
        afp={finding: own[finding].afp for finding in BOXED_FINDINGS},
    )
