"""Small multiples as SVG text: ROC and precision-recall by finding, reliability by recipe."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chestxray14.report.figures import (
    DASHED,
    INK,
    LINE,
    MUTED,
    STYLE,
    WIDTH,
    add_legend,
    look,
    to_svg,
)

Kind = Literal["roc", "precision_recall"]

CURVES: dict[Kind, tuple[tuple[str, str], tuple[str, str]]] = {
    "roc": (
        ("false_positive_rate", "false positive rate (dotted: chance)"),
        ("true_positive_rate", "true positive rate"),
    ),
    "precision_recall": (
        ("recall", "recall (dotted: prevalence, which is chance)"),
        ("precision", "precision"),
    ),
}
"""What stands on x and on y: the column, and its name in the figure."""

HOLLOW = {"as predicted": True, "after Platt": False}
"""How the two calibrations of one recipe differ: hollow marks and dashes, or neither."""

CHANCE: dict[str, Any] = {"color": MUTED, "linewidth": 0.8, "linestyle": (0, (2, 3))}


def draw_curves(
    tables: Mapping[str, pd.DataFrame],
    *,
    kind: Kind,
    findings: Sequence[str],
    names: Sequence[str],
    prevalence: Mapping[str, float],
    title: str,
) -> str:
    """Return the curves as an SVG: a panel a finding, a line a recipe with its marker on it once.

    `tables` map a recipe to the points of its curves, columns `finding` and, from 0 to 1,
    `false_positive_rate` and `true_positive_rate`, or `recall` and `precision`, in the order in
    which they are joined. A finding that no recipe has gets no panel; where that is all of them,
    the text is empty. `prevalence` is the share of test images with the finding, what chance
    reaches in precision. `names` are all recipes of the report, so that each looks the same in
    every figure.
    """
    (x, x_name), (y, y_name) = CURVES[kind]
    lines = {name: dict(list(table.groupby("finding"))) for name, table in tables.items()}
    shown = [finding for finding in findings if any(finding in own for own in lines.values())]
    if not shown:
        return ""
    columns = 3
    with matplotlib.rc_context(STYLE):
        figure, grid = _lay_out(len(shown), columns=columns, row=1.75, legend=len(tables))
        for panel, (finding, axes) in enumerate(zip(shown, grid, strict=True)):
            chance = prevalence[finding]
            axes.plot([0, 1], [0, 1] if kind == "roc" else [chance, chance], **CHANCE)
            for place, (name, own) in enumerate(lines.items()):
                if finding not in own:
                    continue
                colour, marker = look(names.index(name))
                points = own[finding]
                # Markers stand at another place of each line, so that they do not meet.
                there = (points[x] - (place + 0.5) / len(lines)).abs().argmin()
                [line] = axes.plot(
                    points[x],
                    points[y],
                    color=colour,
                    linewidth=0.9,
                    marker=marker,
                    markersize=3.5,
                    markevery=[int(there)],
                    clip_on=False,
                )
                # Matplotlib leaves lines of fewer than 128 points as they are.
                line.get_path().should_simplify = True
            axes.set_title(finding.replace("_", " "), color=INK)
            axes.set(xlim=(0, 1), ylim=(0, 1))
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
            axes.tick_params(
                labelleft=panel % columns == 0, labelbottom=panel + columns >= len(shown)
            )
        for name in lines:
            colour, marker = look(names.index(name))
            grid[0].plot([], [], color=colour, marker=marker, markersize=4.0, label=name)
        _label_axes(figure, x_name, y_name)
        add_legend(figure, grid[0])
        return to_svg(figure, title=title)


def draw_reliability(
    tables: Mapping[str, pd.DataFrame], *, names: Sequence[str], title: str
) -> str:
    """Return how often findings are there where a probability is predicted, as an SVG.

    A panel a recipe, as far as its probabilities go; on the dotted line they are right. `tables`
    map a recipe to one row a bin: `calibration`, which is "as predicted" or "after Platt" (and may
    be the first only), the mean `predicted` probability and the `observed` share, from 0 to 1, and
    `labels`, how many the bin has. `names` are all recipes of the report. The text is empty where
    there are no bins.
    """
    shown = {name: table for name, table in tables.items() if len(table)}
    if not shown:
        return ""
    with matplotlib.rc_context(STYLE):
        figure, grid = _lay_out(len(shown), columns=2, row=2.5, legend=len(HOLLOW))
        for axes, (name, table) in zip(grid, shown.items(), strict=True):
            colour, marker = look(names.index(name))
            axes.plot([0, 1], [0, 1], **CHANCE)
            most = table["labels"].max()
            for calibration, hollow in HOLLOW.items():
                bins = table[table["calibration"] == calibration].sort_values("predicted")
                axes.plot(
                    bins["predicted"],
                    bins["observed"],
                    color=colour,
                    linewidth=1.0,
                    linestyle="--" if hollow else "-",
                    clip_on=False,
                )
                axes.scatter(
                    bins["predicted"],
                    bins["observed"],
                    s=5 + 25 * np.sqrt(bins["labels"] / most),
                    marker=marker,
                    facecolor="none" if hollow else colour,
                    edgecolor=colour,
                    linewidth=1.0,
                    clip_on=False,
                    zorder=3,
                )
            highest = float(table[["predicted", "observed"]].to_numpy().max())
            limit = max(0.1, math.ceil(highest * 10) / 10)
            axes.set_title(name, color=INK)
            axes.set(xlim=(0, limit), ylim=(0, limit))
            ticks = [0, limit / 2, limit]
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        present = {calibration for table in shown.values() for calibration in table["calibration"]}
        for calibration, hollow in HOLLOW.items():
            if calibration in present:
                style = LINE | DASHED if hollow else LINE
                grid[0].plot([], [], **style, label=calibration)
        _label_axes(
            figure, "predicted probability (larger marks: more labels)", "share with the finding"
        )
        add_legend(figure, grid[0])
        return to_svg(figure, title=title)


def _lay_out(panels: int, *, columns: int, row: float, legend: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with square panels, row by row; `row` is the height of one in inches."""
    rows = math.ceil(panels / columns)
    height = rows * row + 0.2 * math.ceil(legend / 2) + 0.4
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = [figure.add_subplot(rows, columns, panel + 1) for panel in range(panels)]
    for axes in grid:
        axes.set_box_aspect(1)
        axes.grid()
        axes.tick_params(length=0)
    return figure, grid


def _label_axes(figure: Figure, x: str, y: str) -> None:
    figure.supxlabel(x, color=MUTED, fontsize="medium")
    figure.supylabel(y, color=MUTED, fontsize="medium")
