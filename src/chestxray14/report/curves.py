"""Curves: ROC, precision over recall, reliability, training."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from types import MappingProxyType

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chestxray14.report.figures import DOTTED, MARKERS, WIDTH, add_legend, start
from chestxray14.report.svg import INK, MUTED, SERIES, STYLE
from chestxray14.report.tables import space


@rc_context(STYLE)
def draw_curves(
    table: pd.DataFrame,
    *,
    axes_names: tuple[str, str],
    chance: Mapping[str, float] | None = None,
    points: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType({}),
    across: int = 4,
) -> Figure:
    """Return the curves of one network, a panel a finding, so many `across`.

    `table` has `finding`, then what stands on x and on y. `chance` is a height by finding, or None
    for the diagonal. `points` are others to hold the curves against, by finding, then by name.
    """
    _, x, y = table.columns
    curves = {str(finding): curve for finding, curve in table.groupby("finding", sort=False)}
    figure, panels = _make_panels(
        [*curves], columns=across, height=5.12 / across, more=0.35, sharey=True
    )
    names = sorted({name for named in points.values() for name in named})
    markers = dict(zip(names, cycle(MARKERS), strict=False))
    for panel, (finding, curve) in zip(panels, curves.items(), strict=True):
        panel.plot([0, 1], [0, 1] if chance is None else [chance[finding]] * 2, **DOTTED)
        panel.plot(curve[x], curve[y], color=SERIES[0], linewidth=1.2)
        for name, place in points.get(finding, {}).items():
            panel.plot(*place, markers[name], color=INK, markersize=4.5, clip_on=False)
        panel.set_title(space(finding), color=INK, fontsize=8.5)
        panel.set(xlim=(0, 1), ylim=(0, 1.02))
        panel.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        panel.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
        panel.tick_params(length=0, labelsize=8)
    for name, marker in markers.items():
        panels[0].plot([], [], marker, color=INK, label=name)
    if markers:
        add_legend(figure, panels[0])
    figure.supxlabel(axes_names[0], color=MUTED, fontsize=9)
    figure.supylabel(axes_names[1], color=MUTED, fontsize=9)
    return figure


@rc_context(STYLE)
def draw_lines(
    lines: Mapping[str, tuple[pd.Series, pd.Series]],
    *,
    axes_names: tuple[str, str],
    diagonal: bool = False,
) -> Figure:
    """Return lines by name, each of x and y, colour and marker together its own among many."""
    figure, axes = start(3.6)
    if diagonal:
        top = max(float(values.max()) for line in lines.values() for values in line) * 1.05
        axes.plot([0, top], [0, top], **DOTTED)
    for place, (name, (x, y)) in enumerate(lines.items()):
        colour = SERIES[place % len(SERIES)]
        marker = MARKERS[(place + place // len(SERIES)) % len(MARKERS)]
        style = "-" if place < len(SERIES) else "--"
        axes.plot(
            x, y, style, marker=marker, color=colour, markersize=4, linewidth=1.2, label=name
        )
    _tidy(axes, whole=not diagonal)
    axes.set_xlabel(axes_names[0], color=MUTED)
    axes.set_ylabel(axes_names[1], color=MUTED)
    add_legend(figure, axes)
    return figure


@rc_context(STYLE)
def draw_losses(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Return the losses of each recipe in a panel of its own: they share no scale."""
    figure, panels = _make_panels([*histories], columns=3, height=1.25, more=0.45, sharey=False)
    for panel, (name, history) in zip(panels, histories.items(), strict=True):
        epochs = history["epoch"]
        panel.plot(epochs, history["train_loss"], "--", color=MUTED, label="training")
        panel.plot(epochs, history["val_loss"], ".-", color=SERIES[0], label="validation")
        panel.set_title(name.replace(" (", "\n("), color=INK, fontsize=7.5)
        _tidy(panel)
        panel.tick_params(labelsize=7.5)
    add_legend(figure, panels[0])
    return figure


def _make_panels(
    names: Sequence[str], *, columns: int, height: float, more: float, sharey: bool
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel a name, `height` inches a row and some `more`."""
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(WIDTH, height * rows + more), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=sharey).flat)
    panels = grid[: len(names)]
    for panel in grid[len(names) :]:
        panel.set_visible(False)
    for panel in panels[-columns:]:
        panel.tick_params(labelbottom=True)
    return figure, panels


def _tidy(axes: Axes, *, whole: bool = True) -> None:
    """Give axes few ticks, whole ones along x if so, and lines across."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=whole, nbins=5, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.grid(axis="y")
    axes.tick_params(length=0)
