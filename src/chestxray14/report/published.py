"""Published numbers: who reports what, under which protocol, with a model chosen on which images."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chestxray14.base.errors import InputError
from chestxray14.base.findings import BOXED_FINDINGS, FINDINGS
from chestxray14.files.cells import read_cells
from chestxray14.files.metrics import Prepared
from chestxray14.localization.record import HEADLINES, Localization
from chestxray14.report.results import Run

Family = Literal["random patient split", "official split", "published lists", "other"]

FAMILIES: dict[Family, re.Pattern[str]] = {
    "official split": re.compile("official"),
    # A protocol that somebody had to infer is not known to be this one.
    "random patient split": re.compile(r"random patient( \d+/\d+/\d+)?"),
    "published lists": re.compile("published lists .*"),
    "other": re.compile(".*"),
}
"""Protocols that may be compared with each other; the first that fits the whole text holds."""

MICRO = "_micro"
"""Ends the key of a row of mean_auroc.csv that is a micro average, not a mean of findings."""

WHOLE_NIH = 112_120
"""Images that the label file of NIH ChestX-ray14 lists."""

COMPARABLE: dict[str, Family] = {
    "patient": "random patient split",
    "official": "official split",
}
"""The published protocols a kind of split may be compared with; the other kinds with none."""

Text = Annotated[str, Field(min_length=1)]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


@dataclass(frozen=True)
class System:
    """One published system: a mean AUROC, its protocol and, where printed, each finding's AUROC.

    `mean` is the unrounded mean of the 14 findings in `auroc`, or the published mean where
    `auroc` is empty. It is a micro average where `micro` holds.
    """

    source: str
    title: str
    protocol: str
    selected_on: str
    evidence: str
    note: str
    mean: float
    auroc: dict[str, float]

    @property
    def family(self) -> Family:
        """What its protocol may be compared with."""
        return next(family for family, words in FAMILIES.items() if words.fullmatch(self.protocol))

    @property
    def micro(self) -> bool:
        """Whether `mean` pools all findings instead of averaging over them."""
        return self.source.endswith(MICRO)

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


def shorten(title: str) -> str:
    """Return a system's title without what follows its name."""
    return re.split(r", | \(| README| model card", title)[0]


@dataclass(frozen=True)
class Boxes:
    """One published table: which share of the radiologists' boxes is found, at the headline's IoBB.

    `title` names the paper and the table, `dataset` the labels its network was trained on, and
    `source` the published system that has the network's protocol. Both mappings are by finding.
    """

    source: str
    title: str
    dataset: str
    boxes: dict[str, int]
    accuracy: dict[str, float]

    @property
    def mean(self) -> float:
        """The mean over the findings."""
        return sum(self.accuracy.values()) / len(self.accuracy)


@dataclass(frozen=True)
class Published:
    """All published numbers: `systems` by source, `decisions` macro precision, recall and F1."""

    systems: Mapping[str, System]
    decisions: Mapping[str, tuple[float, float, float]]
    boxes: tuple[Boxes, ...]

    def comparable(self, run: Run, prepared: Prepared) -> list[System]:
        """Return the systems whose mean may stand beside a run's."""
        if len(run.findings) < len(FINDINGS) or not run.recipe:
            return []
        return [
            system
            for system in self.systems.values()
            if not system.micro and why_apart(system, run=run, prepared=prepared) is None
        ]


def why_apart(system: System, *, run: Run, prepared: Prepared) -> str | None:
    """Return why a run's numbers cannot be compared with a published one, None where they can.

    They must come from all of NIH ChestX-ray14 and from a split of the kind that the published
    protocol has, with no image left out.
    """
    kind, listed = run.split.kind, prepared.images + prepared.rejected
    if prepared.source == "phantom":
        return "these radiographs are drawn, the published numbers come from real ones"
    if listed != WHOLE_NIH:
        return (
            f"this dataset lists {listed:,} images, the published numbers need all {WHOLE_NIH:,}"
        )
    if kind == "image":
        return "the split is LEAKY"
    if COMPARABLE.get(kind) != system.family or system.implausible:
        return f"the published protocol is “{system.conditions}”, this split is “{kind}”"
    if left_out := prepared.images - run.split.images:
        return f"the split leaves out {left_out:,} images"
    return None


def why_boxes_apart(
    table: Boxes, system: System, *, run: Run, prepared: Prepared, found: Localization
) -> str | None:
    """Return why a run's boxes cannot be compared with published ones, None where they can.

    `system` is the one that has the protocol of the `table`.
    """
    if table.dataset != "ChestX-ray14":
        return f"their network learned the labels of {table.dataset}"
    if reason := why_apart(system, run=run, prepared=prepared):
        return reason
    if {finding: own.boxes for finding, own in found.findings.items()} != table.boxes:
        return f"of its {sum(table.boxes.values()):,} boxes {found.boxes:,} count here"
    return None


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
