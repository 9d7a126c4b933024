"""Published numbers: who reports what, under which protocol, with a model chosen on which images."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from chestxray14.base.errors import InputError
from chestxray14.base.findings import BOXED_FINDINGS, FINDINGS
from chestxray14.files.cells import read_cells
from chestxray14.files.metrics import Prepared, Share
from chestxray14.localization.record import HEADLINES
from chestxray14.report.results import Run

Text = Annotated[str, Field(min_length=1)]

Family = Literal["random patient split", "official split", "published lists", "other"]

FAMILIES: dict[Family, re.Pattern[str]] = {
    "official split": re.compile("official"),
    # A protocol that somebody had to infer is not known to be this one.
    "random patient split": re.compile(r"random patient( \d+/\d+/\d+)?"),
    "published lists": re.compile("published lists .*"),
    "other": re.compile(".*"),
}
"""Protocols that may be compared with each other; the first that fits the whole text holds."""

COMPARABLE: dict[str, Family] = {
    "patient": "random patient split",
    "official": "official split",
}
"""The published protocols a kind of split may be compared with; the other kinds with none."""

WHOLE_NIH = 112_120
"""Images that the label file of NIH ChestX-ray14 lists."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    source: Text


class System(_Row):
    """One published system and its mean of 14 findings; `source` is its key.

    Where auroc.csv has its findings, the mean is theirs.
    """

    title: Text
    protocol: Text
    selected_on: Literal["val", "test", "unknown", "not stated"]
    evidence: Literal[
        "primary",
        "secondary",
        "re-scored",
        "primary, re-scored",
        "primary, implausible as a macro AUROC",
    ]
    mean_auroc: Share
    note: str = ""

    @property
    def family(self) -> Family:
        """What its protocol may be compared with."""
        return next(family for family, words in FAMILIES.items() if words.fullmatch(self.protocol))

    @property
    def micro(self) -> bool:
        """Whether its mean pools all findings instead of averaging over them."""
        return self.source.endswith("_micro")

    @property
    def selected_on_test(self) -> bool:
        """Whether the reported model was chosen on the images it is scored on."""
        return self.selected_on == "test"

    @property
    def implausible(self) -> bool:
        """Whether no known method reaches the reported mean."""
        return "implausible" in self.evidence

    @property
    def conditions(self) -> str:
        """Its protocol, never without a word on what makes the number doubtful."""
        if self.implausible:
            return f"{self.protocol}, ⚠ implausible"
        return f"{self.protocol}, selected on TEST SET" if self.selected_on_test else self.protocol

    @property
    def name(self) -> str:
        """Its title without what follows the name."""
        return re.split(r", | \(| README| model card", self.title)[0]


class BoxRow(_Row):
    """Which share of the radiologists' boxes of a finding a published network finds.

    `table` names the paper and the table, `dataset` the labels the network was trained on, and
    `source` the published system that has its protocol.
    """

    table: Text
    dataset: Text
    overlap: Literal["IoBB", "IoU"]
    threshold: Annotated[float, Field(gt=0, lt=1)]
    finding: Literal[BOXED_FINDINGS]  # type: ignore[valid-type]
    boxes: Annotated[int, Field(gt=0)]
    accuracy: Share
    afp: Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Published:
    """All published numbers: `systems` by source, `decisions` macro precision, recall and F1.

    `boxes` are by table, at the overlap of the headline.
    """

    systems: Mapping[str, System]
    decisions: Mapping[str, tuple[float, float, float]]
    boxes: Mapping[str, Sequence[BoxRow]]

    def comparable(self, run: Run, prepared: Prepared) -> list[System]:
        """Return the systems whose mean may stand beside a run's."""
        if len(run.findings) < len(FINDINGS) or not run.recipe:
            return []
        return [
            system
            for system in self.systems.values()
            if not system.micro and compares(system, run=run, prepared=prepared)
        ]

    def comparable_boxes(self, run: Run, prepared: Prepared) -> dict[str, float]:
        """Return the means of tables that may stand beside a run's: same labels, same boxes."""
        if not run.localization:
            return {}
        counted = {finding: own.boxes for finding, own in run.localization.findings.items()}
        return {
            table: sum(row.accuracy for row in rows) / len(rows)
            for table, rows in self.boxes.items()
            if rows[0].dataset == "ChestX-ray14"
            and {row.finding: row.boxes for row in rows} == counted
            and compares(self.systems[rows[0].source], run=run, prepared=prepared)
        }


def compares(system: System, *, run: Run, prepared: Prepared) -> bool:
    """Return whether a published number may stand beside a run's.

    Both must come from all of NIH ChestX-ray14, by its labels, and from a split of the kind that the
    published protocol has, with no image left out.
    """
    return (
        prepared.source not in ("phantom", "table")
        and prepared.images + prepared.rejected == WHOLE_NIH
        and prepared.images == run.split.images
        and COMPARABLE.get(run.split.kind) == system.family
        and not system.implausible
    )


class _DecisionRow(_Row):
    title: Text
    finding: Text
    precision: Share
    recall: Share
    f1: Share


Row = TypeVar("Row", bound=_Row)


def read_published(folder: Path) -> Published:
    """Return the published numbers of a folder.

    systems.csv has a row a system, precision_recall_f1.csv decisions, of which the row `macro avg`
    is told, and localization.csv boxes. Raises `InputError` naming the file and the row that is
    missing or malformed, a system that occurs twice or has two means, and a box table whose system
    or finding is missing.
    """
    path = folder / "systems.csv"
    systems = dict[str, System]()
    for system in _read_rows(path, TypeAdapter(list[System])):
        if system.source in systems:
            raise InputError(f"{path}: source {system.source} occurs twice, expected once")
        systems[system.source] = system
    path = folder / "precision_recall_f1.csv"
    decisions = dict[str, tuple[float, float, float]]()
    for mean in _read_rows(path, TypeAdapter(list[_DecisionRow])):
        if mean.finding == "macro avg":
            if mean.source in decisions:
                raise InputError(f"{path}: macro avg of {mean.source} occurs twice, expected once")
            decisions[mean.source] = mean.precision, mean.recall, mean.f1
    path = folder / "localization.csv"
    boxes: dict[str, list[BoxRow]] = {}
    for row in _read_rows(path, TypeAdapter(list[BoxRow])):
        if row.source not in systems:
            raise InputError(f"{path}: source {row.source} is not in systems.csv")
        if row.overlap == "IoBB" and row.threshold == float(HEADLINES["IoBB"]):
            boxes.setdefault(row.table, []).append(row)
    for title, rows in boxes.items():
        found = [row.finding for row in rows]
        if sorted(found) != sorted(BOXED_FINDINGS):
            odd = set(found) ^ set(BOXED_FINDINGS) or {f for f in found if found.count(f) > 1}
            raise InputError(
                f"{path}: {title} at {HEADLINES['IoBB']} must have each of the "
                f"{len(BOXED_FINDINGS)} findings once; missing or repeated: {', '.join(sorted(odd))}"
            )
    return Published(systems, decisions, boxes)


def _read_rows(path: Path, table: TypeAdapter[list[Row]]) -> list[Row]:
    """Return the rows of a table; `InputError` names the file and the row that is malformed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    try:
        return table.validate_python(read_cells(content, name=str(path)).to_dict("records"))
    except ValidationError as error:
        problem = error.errors()[0]
        row, *key = problem["loc"]
        raise InputError(
            f"{path} row {int(row) + 2}: {'.'.join(map(str, key))}: "
            f"found {problem['input']!r}; {problem['msg']}"
        ) from None
