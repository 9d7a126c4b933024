"""Which published numbers may stand beside a run's."""

from collections.abc import Mapping

from chestxray14.base.findings import FINDINGS
from chestxray14.files.metrics import Prepared
from chestxray14.report.published import System, why_apart
from chestxray14.report.published_localization import PublishedTable
from chestxray14.report.results import Run

REFERENCES = {
    "wang_2017": "Wang et al. 2017",
    "yao_2017": "Yao et al. 2017",
    "chexnet_2017": "CheXNet 2017",
}
"""The published columns that stand beside every recipe, by source."""


def own_source(run: Run, published: Mapping[str, System], suffix: str = "") -> System | None:
    """Return the published system that carries the name of a recipe, None where there is none."""
    return published.get(run.name + suffix) if run.training else None


def why_finding_apart(prepared: Prepared, run: Run, system: System) -> str | None:
    """Return why a run's findings cannot be compared with published ones, None where they can."""
    if run.training is None:
        return "it was pretrained elsewhere"
    if prepared.source == "table":
        return "the labels here are not NIH's"
    return why_apart(
        system,
        drawn=prepared.source == "phantom",
        listed=prepared.images + prepared.rejected,
        left_out=prepared.images - run.split.images,
        kind=run.split.kind,
    )


def why_mean_apart(prepared: Prepared, run: Run, system: System) -> str | None:
    """Return why a run's averages cannot be compared with a published one, None where they can."""
    if reason := why_finding_apart(prepared, run, system):
        return reason
    if (scored := len(run.scored)) < len(FINDINGS):
        return f"{scored} of 14 findings are scored, the published mean is over all"
    return None


def why_boxes_apart(
    prepared: Prepared, run: Run, table: PublishedTable, system: System
) -> str | None:
    """Return why a run's boxes cannot be compared with published ones, None where they can.

    `system` is the one that has the protocol of the `table`.
    """
    if table.dataset != "ChestX-ray14":
        return f"their network learned the labels of {table.dataset}"
    if reason := why_finding_apart(prepared, run, system):
        return reason
    counted = run.localization.findings if run.localization else {}
    if {finding: found.boxes for finding, found in counted.items()} != table.boxes:
        ours = sum(found.boxes for found in counted.values())
        return f"of its {sum(table.boxes.values()):,} boxes {ours:,} count here"
    return None
