"""The leading network against radiologists, and the labels against them."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from chestxray14.files.experts import read_sets
from chestxray14.files.packed import list_findings, read_index
from chestxray14.report.svg import INK, MUTED, SERIES, STYLE
from chestxray14.scoring.agreement import COLUMNS, compare_labels
from chestxray14.scoring.expert_scores import ExpertEvaluation

SELECTED = (
    "The radiologists' images are a selection, all_findings of PA images alone; labels for research "
    "and education only. Shares and scores are of these images, not of any population."
)

ACCENT = SERIES[0]

READERS = "sD^vP"
"""Markers of readers beside a curve."""


def read_agreement(root: Path, *, dataset: str) -> pd.DataFrame:
    """Return how the labels agree with each set of radiologists, as `agreement.compare_labels`."""
    folder = root / "data/packed" / dataset
    known = read_index(folder / "index.csv")
    findings = list_findings(known)
    tables = [compare_labels(each, known, findings=findings) for each in read_sets(folder)]
    return pd.concat(tables) if tables else pd.DataFrame(columns=list(COLUMNS))


def draw(runs: Mapping[str, ExpertEvaluation], curves: pd.DataFrame) -> list[tuple[str, Figure]]:
    """Return the figures of each set with their titles."""
    scores, readers = tabulate_scores(runs), tabulate_readers(runs)
    drawn = []
    with matplotlib.rc_context(STYLE):
        for name in dict.fromkeys(scores["set"] if len(scores) else ()):
            own = scores[scores["set"] == name]
            title = f"AUROC against radiologists and against the labels, set {name}."
            drawn.append((title, draw_scores(own)))
            read = readers[readers["set"] == name] if len(readers) else readers
            if len(read):
                figure = draw_readers(
                    curves[curves["set"] == name], read, findings=list(own["finding"])
                )
                title = f"ROC against radiologists with single readers, set {name}."
                drawn.append((title, figure))
    return drawn


def tabulate_scores(runs: Mapping[str, ExpertEvaluation]) -> pd.DataFrame:
    """Return a row for each set, run and finding that is scored, runs being named by recipe.

    Columns: set, run, finding, images, patients, positives, positives_nih, then value, low and high
    of auroc, auroc_nih and difference, such as auroc_low, NaN where there is none.
    """
    rows = [
        {"set": name, "run": run, "finding": finding}
        | {
            key: getattr(found, key)
            for key in ("images", "patients", "positives", "positives_nih")
        }
        | {
            f"{score}{end}": getattr(getattr(found, score), bound, None)
            for score in ("auroc", "auroc_nih", "difference")
            for end, bound in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        for run, evaluation in runs.items()
        for name, findings in evaluation.root.items()
        for finding, found in findings.items()
        if found.auroc
    ]
    table = pd.DataFrame(rows)
    numbers = [column for column in table if str(column).startswith(("auroc", "difference"))]
    return table.astype(dict.fromkeys(numbers, float))


def tabulate_readers(runs: Mapping[str, ExpertEvaluation]) -> pd.DataFrame:
    """Return a row for each set, run, finding and reader.

    Columns: set, run, finding, reader, sensitivity, specificity, network, and difference with its
    bounds: the network's sensitivity at the reader's specificity less the reader's.
    """
    rows = [
        {"set": name, "run": run, "finding": finding, "reader": reader}
        | {key: getattr(point, key) for key in ("sensitivity", "specificity", "network")}
        | {"difference": point.difference.value}
        | {f"difference_{end}": getattr(point.difference, end) for end in ("low", "high")}
        for run, evaluation in runs.items()
        for name, findings in evaluation.root.items()
        for finding, found in findings.items()
        for reader, point in found.readers.items()
    ]
    return pd.DataFrame(rows)


def draw_scores(table: pd.DataFrame) -> Figure:
    """Return AUROC against radiologists and against NIH's labels, side by side for each finding.

    `table` has the rows of `tabulate_scores` of one set and one run. Bars are 95 % intervals.
    """
    figure = Figure(figsize=(5.2, 0.34 * len(table) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    rows = np.arange(len(table))
    for column, shift, colour, filled, label in (
        ("auroc", -0.15, ACCENT, ACCENT, "against radiologists"),
        ("auroc_nih", 0.15, MUTED, "none", "against the labels, same images"),
    ):
        value = table[column].to_numpy(float)
        bounds = [
            np.nan_to_num(np.abs(table[f"{column}_{end}"].to_numpy(float) - value))
            for end in ("low", "high")
        ]
        axes.errorbar(
            value,
            rows + shift,
            xerr=bounds,
            fmt="o",
            color=colour,
            markerfacecolor=filled,
            label=label,
        )
    axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    names = [finding.replace("_", " ") for finding in table["finding"]]
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.set_xlabel("AUROC (dotted: chance)")
    figure.legend(loc="outside upper left", frameon=False)
    return figure


def draw_readers(
    curves: pd.DataFrame, readers: pd.DataFrame, *, findings: Sequence[str], across: int = 2
) -> Figure:
    """Return the ROC against radiologists of each finding, its readers as points.

    `curves` has the rows of evaluations/<name>/experts.csv of one set, `readers` those of
    `tabulate_readers` of the same set and run.
    """
    down = -(-len(findings) // across)
    figure = Figure(figsize=(2.6 * across, 2.4 * down + 0.5), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    marks = dict(zip(sorted(set(readers["reader"])), cycle(READERS), strict=False))
    shown = {}
    for panel, finding in zip(panels, findings, strict=False):
        curve = curves[curves["finding"] == finding]
        panel.plot(curve["false_positive_rate"], curve["true_positive_rate"], color=ACCENT)
        panel.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        for _, row in readers[readers["finding"] == finding].iterrows():
            place = 1 - row["specificity"], row["sensitivity"]
            (point,) = panel.plot(*place, marks[row["reader"]], color=INK)
            shown[f"reader {row['reader']}"] = point
        panel.set_title(finding.replace("_", " "), loc="left", fontsize=10)
        panel.set_aspect("equal")
    for panel in panels[len(findings) :]:
        panel.remove()
    figure.supxlabel("1 - specificity")
    figure.supylabel("sensitivity")
    figure.legend(shown.values(), shown.keys(), loc="outside upper left", ncols=2, frameon=False)
    return figure
