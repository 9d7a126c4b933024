"""Published numbers: who reports what, under which protocol, with a model chosen on which images."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.files.cells import read_cells

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


@dataclass(frozen=True)
class PublishedDecision:
    """Precision, recall and F1 as a source prints them."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class PublishedDecisions:
    """What one source says of its decisions, by finding and by average, in its own order."""

    source: str
    title: str
    decisions: dict[str, PublishedDecision]


def why_apart(system: System, *, drawn: bool, listed: int, left_out: int, kind: str) -> str | None:
    """Return why our number cannot be compared with a published one, None where it can.

    Ours must come from all of NIH ChestX-ray14 (`listed` images, not `drawn`) and from a split of
    the `kind` that the published protocol has, with no image `left_out`.
    """
    if drawn:
        return "these radiographs are drawn, the published numbers come from real ones"
    if listed != WHOLE_NIH:
        return (
            f"this dataset lists {listed:,} images, the published numbers need all {WHOLE_NIH:,}"
        )
    if kind == "image":
        return "the split is LEAKY"
    if COMPARABLE.get(kind) != system.family:
        return f"the published protocol is “{system.protocol}”, this split is of the kind “{kind}”"
    if left_out > 0:
        return f"the split leaves out {left_out:,} images"
    return None


AVERAGES = ("micro avg", "macro avg", "weighted avg", "samples avg")
"""The averages of scikit-learn's classification report."""


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


def _check_row_name(name: str) -> str:
    if name not in (*FINDINGS, *AVERAGES):
        raise ValueError(f"expected a finding or one of {', '.join(AVERAGES)}")
    return name


class _DecisionRow(_Row):
    finding: Annotated[str, AfterValidator(_check_row_name)]
    precision: Score
    recall: Score
    f1: Score


Row = TypeVar("Row", bound=BaseModel)


def read_published(folder: Path) -> dict[str, System]:
    """Return the systems of auroc.csv and mean_auroc.csv in `folder`, by source.

    Raises `InputError` naming the file, row or source that is missing, malformed or incomplete.
    """
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


def read_decisions(folder: Path) -> dict[str, PublishedDecisions]:
    """Return the precision, recall and F1 of precision_recall_f1.csv in `folder`, by source.

    Its rows are findings and the averages of scikit-learn's classification report. Raises
    `InputError` naming the file, row or source that is missing, malformed or repeated.
    """
    path = folder / "precision_recall_f1.csv"
    read: dict[str, PublishedDecisions] = {}
    for row in read_rows(path, _DecisionRow):
        fresh = PublishedDecisions(source=row.source, title=row.title, decisions={})
        known = read.setdefault(row.source, fresh)
        if row.title != known.title:
            raise InputError(
                f"{path}: source {row.source} has two titles, {known.title!r} and {row.title!r}, "
                "expected one"
            )
        if row.finding in known.decisions:
            raise InputError(
                f"{path}: source {row.source} has {row.finding} twice, expected it once"
            )
        known.decisions[row.finding] = PublishedDecision(
            precision=row.precision, recall=row.recall, f1=row.f1
        )
    return read


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
