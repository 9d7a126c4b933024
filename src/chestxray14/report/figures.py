"""Figures as SVG text for a web page, readable on a light and on a dark ground."""

import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

WIDTH = 5.2
"""Inches: a telephone shows this at two thirds, where the text can still be read."""

INK, MUTED, RULE = "#26323c", "#66727d", "#d9dee2"
SERIES = (
    *("#0f6e84", "#b4552d", "#5b5ea6", "#3d7a3f", "#a03e78", "#8a6d1c", "#3f7fbf", "#7a5548"),
    "#9a2be0",
)
COLOURS = {INK: "ink", MUTED: "muted", RULE: "rule"} | {
    colour: f"series-{number}" for number, colour in enumerate(SERIES, start=1)
}
"""Colours drawn, and the CSS variables that may replace them (`--ink`, `--series-1`, ...)."""

MARKERS = "osD^vP*X<"
REFERENCE_MARKERS = "|x+1"

AUROC, RATE = "Validation macro AUROC, all recipes", "Learning rate, all recipes"
"""The headings of the panels that recipes share."""

LINE: dict[str, Any] = {"color": MUTED, "marker": "o", "markersize": 4.0, "linewidth": 1.4}
DASHED: dict[str, Any] = {"linestyle": "--", "markerfacecolor": "none"}
"""How the first of two series of one recipe looks, say the loss of the training part."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def look(number: int) -> tuple[str, str]:
    """Return the colour and marker of a recipe by its place; 81 in a row differ."""
    round_, colour = divmod(number, len(SERIES))
    return SERIES[colour], MARKERS[(colour + round_) % len(MARKERS)]


def draw_auroc(
    ours: Mapping[str, Mapping[str, float]],
    references: Mapping[str, Mapping[str, float]],
    *,
    findings: Sequence[str],
    names: Sequence[str],
    title: str,
) -> str:
    """Return the AUROC of each finding as an SVG: a dot a recipe, a light mark a reference.

    `ours` and `references` map a name to AUROC by finding, from 0 to 1; findings may be missing.
    The references must be of the same protocol. `names` are all recipes of the report, so that
    each looks the same in every figure. `title` is read out where the figure cannot be seen.
    """
    with matplotlib.rc_context(STYLE):
        # A row grows with the dots that stand in it, one below the other.
        height = 0.27 + 0.04 * max(0, len(ours) - 2)
        figure = Figure(figsize=(WIDTH, height * len(findings) + 1.2), layout="constrained")
        axes = figure.add_subplot()
        for row in range(0, len(findings), 2):
            axes.axhspan(row - 0.5, row + 0.5, color=RULE, alpha=0.3, linewidth=0)
        for place, (name, scores) in enumerate(ours.items()):
            colour, marker = look(names.index(name))
            shift = min(0.22, 0.64 / len(ours)) * (place - (len(ours) - 1) / 2)
            rows = [row for row, finding in enumerate(findings) if finding in scores]
            axes.scatter(
                [scores[findings[row]] for row in rows],
                [row + shift for row in rows],
                s=30,
                marker=marker,
                color=colour,
                label=name,
                zorder=3,
                clip_on=False,
            )
        for number, (name, scores) in enumerate(references.items()):
            rows = [row for row, finding in enumerate(findings) if finding in scores]
            axes.scatter(
                [scores[findings[row]] for row in rows],
                rows,
                s=30,
                marker=REFERENCE_MARKERS[number % len(REFERENCE_MARKERS)],
                color=MUTED,
                alpha=0.75,
                linewidths=1.0,
                label=name,
            )
        axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        lowest = min((value for scores in ours.values() for value in scores.values()), default=0.5)
        axes.set_xlim(min(0.45, math.floor(lowest * 10) / 10), 1.0)
        axes.set_ylim(len(findings) - 0.5, -0.5)
        axes.set_yticks(range(len(findings)), [finding.replace("_", " ") for finding in findings])
        axes.grid(axis="x")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("AUROC (dotted: chance)", color=MUTED)
        add_legend(figure, axes)
        return to_svg(figure, title=title)


def draw_training(histories: Mapping[str, Mapping[str, Sequence[float]]], *, title: str) -> str:
    """Return the training curves of all recipes as an SVG.

    Losses of two recipes have no common scale, so each recipe has a panel of its own; validation
    AUROC and learning rate share one each. `histories` maps a name to columns of equal length:
    epoch, train_loss, val_loss, val_auroc and lr, the last two NaN where there is none.
    """
    names = list(histories)
    panels = [[name, names[i + 1] if i + 1 < len(names) else "."] for i, name in enumerate(names)]
    mosaic: list[Any] = [*panels[::2], [AUROC] * 2, [RATE] * 2]
    heights = [1.35] * len(panels[::2]) + [2.4, 1.7]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, sum(heights) + 0.6), layout="constrained")
        grid = figure.subplot_mosaic(mosaic, height_ratios=heights, sharex=True)
        for number, (name, history) in enumerate(histories.items()):
            colour, marker = look(number)
            line = LINE | {"color": colour, "marker": marker}
            epochs = history["epoch"]
            grid[name].plot(epochs, history["train_loss"], **line, **DASHED)
            grid[name].plot(epochs, history["val_loss"], **line)
            grid[AUROC].plot(epochs, history["val_auroc"], label=name, **line)
            grid[RATE].plot(epochs, history["lr"], drawstyle="steps-mid", **line)
        grid[AUROC].plot([], [], label="loss: training", **LINE, **DASHED)
        grid[AUROC].plot([], [], label="loss: validation", **LINE)
        for heading, axes in grid.items():
            axes.set_title(heading, color=INK)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
            axes.grid(axis="y")
            axes.tick_params(length=0)
        grid[RATE].set_yscale("log")
        grid[RATE].set_xlabel("epoch", color=MUTED)
        add_legend(figure, grid[AUROC])
        return to_svg(figure, title=title)


def add_legend(figure: Figure, axes: Axes) -> None:
    """Put what is labelled in `axes` above the figure, two in a row."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=2, handletextpad=0.3)


def to_svg(figure: Figure, *, title: str) -> str:
    """Return a figure as one SVG element, the same bytes each time, to stand inside a page.

    `title` is read out where the figure cannot be seen; no two figures of a page may share one.
    Places are rounded to a tenth of a point, which nobody sees.
    """
    # Ids of clips and markers come from this salt; two figures of a page must not share them.
    with matplotlib.rc_context({"svg.hashsalt": title}):
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    svg = re.sub(r'<g id="[^"]*"', "<g", buffer.getvalue()[buffer.getvalue().index("<svg") :])
    svg = re.sub(r'(?<= )(?:d|x|y)="[^"]*"', _round_places, svg)
    for colour, name in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name}, {colour})")
    words = html.escape(title)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)
    return svg.replace(">", f">\n <title>{words}</title>", 1).strip()


def _round_places(attribute: re.Match[str]) -> str:
    """Return an attribute such as `d="M 1.234 5.678 \\nL 2 3 \\n"` as `d="M1.2 5.7L2 3"`."""
    # Adding 0.0 turns -0.0 into 0.0.
    places = re.sub(
        r"-?\d+\.\d+", lambda number: f"{round(float(number[0]), 1) + 0.0:g}", attribute[0]
    )
    return re.sub(r'\s+(?=[A-Za-z"])|(?<=[A-Za-z])\s+', "", places)
