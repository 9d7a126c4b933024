"""ROC and precision-recall curves in words and figures, and average precision as a table."""

from collections.abc import Mapping
from statistics import fmean

from markupsafe import Markup

from chestxray14.base.findings import FINDINGS
from chestxray14.report.comparison import Comparison, Group
from chestxray14.report.curve_figures import Kind, draw_curves
from chestxray14.report.sections import Section
from chestxray14.report.tables import (
    NONE,
    Cell,
    Column,
    Table,
    auroc_text,
    join_columns,
    text_column,
)
from chestxray14.report.wording import range_text, share_text, title_group


def describe_curves(comparison: Comparison) -> list[Section]:
    """Return ROC and precision-recall curves of each group of runs, and average precision."""
    sections = [
        Section(
            "curves",
            "ROC and precision-recall curves",
            text=(
                (
                    "A ROC curve shows which share of the images with a finding is caught (up) for "
                    "which share of the others called by mistake (right), from the strictest threshold "
                    "to the most lenient. The dotted diagonal is chance."
                ),
                (
                    "A precision-recall curve shows how many of the called images really have the "
                    "finding (up) while more and more of those that have it are caught (right). The "
                    "dotted line is chance: the prevalence. For a rare finding it tells more than the "
                    "ROC curve, which hides many false alarms behind many negatives."
                ),
                (
                    "Average precision sums up the second curve; the lift in brackets is average "
                    "precision over prevalence, so ×1 is chance. Do not compare average precision "
                    "between two findings, or between two test parts: it moves with prevalence."
                ),
            ),
        )
    ]
    names = [run.label for run in comparison.runs]
    for group in comparison.honest:
        prevalence = _prevalence(group)
        figures = [
            draw_curves(
                {run.label: getattr(run.curves, kind) for run in group.runs},
                kind=kind,
                findings=FINDINGS,
                names=names,
                prevalence=prevalence,
                title=title,
            )
            for kind, title in _title_curves(group).items()
        ]
        sections.append(
            Section(
                f"curves-{group.anchor}",
                title_group(group, "curves and average precision"),
                level=3,
                figures=tuple(Markup(svg) for svg in figures if svg),
                tables=(_tabulate_average_precision(group, prevalence),),
            )
        )
    return sections


def _title_curves(group: Group) -> dict[Kind, str]:
    """Return what the figures show, with the lowest and the highest area and where the rest is."""
    scores = {
        f"{run.label}, {finding}": run.evaluation.findings[finding]
        for run in group.runs
        for finding in run.scored
    }
    auroc = {name: found.auroc.value for name, found in scores.items()}
    precision = {name: found.average_precision.value for name, found in scores.items()}
    return {
        "roc": (
            f"ROC curves by finding, {group.splits}. Area under a curve: "
            f"{range_text(auroc, auroc_text)}; the tables of AUROC by finding have the others."
        ),
        "precision_recall": (
            f"Precision-recall curves by finding, {group.splits}. Average precision: "
            f"{range_text(precision, share_text)}; the table that follows has the others."
        ),
    }


def _prevalence(group: Group) -> dict[str, float]:
    """Return the share of the test images that show each finding that some run scores."""
    found = {
        finding: run.evaluation.findings[finding].prevalence
        for run in group.runs
        for finding in run.scored
    }
    return {finding: found[finding] for finding in FINDINGS if finding in found}


def _tabulate_average_precision(group: Group, prevalence: Mapping[str, float]) -> Table:
    alike = len(group.shared) == len(prevalence)
    chance = [share_text(value) for value in prevalence.values()]
    # What chance reaches in a mean depends on the findings the mean is over.
    chance.append(share_text(fmean(list(prevalence.values()))) if alike else NONE)
    names = [*prevalence, "Mean of all scored"]
    over_shared = bool(group.shared) and not alike
    if over_shared:
        names.append(f"Mean of the {len(group.shared)} shared")
        chance.append(share_text(fmean([prevalence[finding] for finding in group.shared])))
    columns = [
        text_column("Finding", names),
        (Column("Prevalence", "in the test part"), [Cell(text) for text in chance]),
    ]
    for run in group.runs:
        scores = run.evaluation.findings
        texts = [
            f"{share_text(scores[finding].average_precision.value)} (×{scores[finding].average_precision.value / scores[finding].prevalence:.1f})"
            if finding in run.scored
            else NONE
            for finding in prevalence
        ]
        texts.append(share_text(run.evaluation.average_precision.value))
        if over_shared:
            texts.append(
                share_text(fmean([scores[f].average_precision.value for f in group.shared]))
            )
        columns.append((Column(run.label), [Cell(text) for text in texts]))
    tones = ["" if name in prevalence else "total" for name in names]
    return join_columns("Average precision, and its lift over chance", columns, tones=tones)
