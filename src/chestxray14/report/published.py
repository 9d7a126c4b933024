"""Published numbers: who reports what, under which protocol, with a model chosen on which images."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from chestxray14.base.findings import BOXED_FINDINGS, FINDINGS
from chestxray14.files.metrics import Prepared
from chestxray14.report.results import Run

Text = Annotated[str, Field(min_length=1)]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

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


class Described(BaseModel):
    """What every table of AUROC says of a system; `source` is its key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Text
    title: Text
    protocol: Text
    selected_on: Text
    evidence: Text


class System(Described):
    """One published system: the mean of 14 findings, the published one where not all are known."""

    mean_auroc: Score
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


class BoxRow(BaseModel):
    """Which share of the radiologists' boxes of a finding a published network finds.

    `table` names the paper and the table, `dataset` the labels the network was trained on, and
    `source` the published system that has its protocol.
    """

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
            if not system.micro and why_apart(system, run=run, prepared=prepared) is None
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
            and why_apart(self.systems[rows[0].source], run=run, prepared=prepared) is None
        }


def why_apart(system: System, *, run: Run, prepared: Prepared) -> str | None:
    """Return why a run's numbers cannot be compared with a published one, None where they can.

    They must come from all of NIH ChestX-ray14 and from a split of the kind that the published
    protocol has, with no image left out.
    """
    kind, listed = run.split.kind, prepared.images + prepared.rejected
    if prepared.source == "table":
        return "the labels here are not NIH's"
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
