"""The curves of the page: ROC, precision over recall, reliability, training."""

import math
from collections.abc import Mapping

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from chestxray14.report.figures import DOTTED, MARKERS
from chestxray14.report.svg import INK, MUTED, SERIES, STYLE, WIDTH, add_legend, tidy, to_svg


def draw_curves(
    table: pd.DataFrame,
    *,
    axes_names: tuple[str, str],
    chance: Mapping[str, float] | None,
    title: str,
) -> str:
    """Return the curves of one network as an SVG: a panel a finding.

    `table` has `finding`, then what stands on x and on y. `chance` is a height by finding, or None
    for the diagonal.
    """
    (_, x, y), columns = table.columns, 4
    panels = list(table.groupby("finding", sort=False))
    rows = math.ceil(len(panels) / columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.28 * rows + 0.35), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        grid = list(axes.flat)
        for panel, (finding, points) in zip(grid, panels, strict=False):
            level = None if chance is None else chance[str(finding)]
            panel.plot([0, 1], [0, 1] if level is None else [level, level], **DOTTED)
            panel.plot(points[x], points[y], color=SERIES[0], linewidth=1.2)
            panel.set_title(str(finding).replace("_", " "), color=INK, fontsize=8.5)
            panel.set(xlim=(0, 1), ylim=(0, 1.02))
            panel.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
            panel.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
            panel.tick_params(length=0, labelsize=8)
        for panel in grid[len(panels) :]:
            panel.set_visible(False)
        figure.supxlabel(axes_names[0], color=MUTED, fontsize=9)
        figure.supylabel(axes_names[1], color=MUTED, fontsize=9)
        return to_svg(figure, title=title)


def draw_reliability(table: pd.DataFrame, *, title: str) -> str:
    """Return predicted against observed shares as an SVG, a line a calibration."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
        axes = figure.add_subplot()
        top = max(table["predicted"].max(), table["observed"].max()) * 1.05
        axes.plot([0, top], [0, top], **DOTTED)
        for place, (name, points) in enumerate(table.groupby("calibration", sort=False)):
            axes.plot(
                *(points["predicted"], points["observed"]),
                marker=MARKERS[place],
                color=SERIES[place],
                markersize=4,
                linewidth=1.2,
                label=str(name),
            )
        axes.set_xlabel("predicted", color=MUTED)
        axes.set_ylabel("observed", color=MUTED)
        axes.grid()
        axes.tick_params(length=0)
        add_legend(figure, axes)
        return to_svg(figure, title=title)


def draw_validation(histories: Mapping[str, pd.DataFrame], *, title: str) -> str:
    """Return the validation AUROC of all recipes by epoch as an SVG; columns of `results.Epoch`."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for number, (name, history) in enumerate(histories.items()):
            axes.plot(
                *(history["epoch"], history["val_auroc"].astype(float)),
                color=SERIES[number % len(SERIES)],
                marker=MARKERS[(number + number // len(SERIES)) % len(MARKERS)],
                markersize=4,
                linewidth=1.2,
                label=name,
            )
        tidy(axes)
        axes.set_xlabel("epoch", color=MUTED)
        add_legend(figure, axes)
        return to_svg(figure, title=title)


def draw_losses(histories: Mapping[str, pd.DataFrame], *, title: str) -> str:
    """Return the losses of each recipe in a panel of its own as an SVG: they share no scale."""
    columns = 3
    rows = math.ceil(len(histories) / columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.25 * rows + 0.45), layout="constrained")
        grid = list(figure.subplots(rows, columns, squeeze=False, sharex=True).flat)
        for panel, (name, history) in zip(grid, histories.items(), strict=False):
            panel.plot(
                history["epoch"], history["train_loss"], "--", color=MUTED, label="training"
            )
            panel.plot(
                history["epoch"],
                history["val_loss"],
                color=SERIES[0],
                marker=".",
                label="validation",
            )
            panel.set_title(name.replace(" (", "\n("), color=INK, fontsize=7.5)
            tidy(panel)
            panel.tick_params(labelsize=7.5)
        for panel in grid[len(histories) :]:
            panel.set_visible(False)
        add_legend(figure, grid[0])
        return to_svg(figure, title=title)
