"""Scores as dots: with intervals, by finding, by protocol, and the matrix of decisions."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from chestxray14.report.published import Family, System
from chestxray14.report.svg import INK, MUTED, RULE, SERIES, STYLE
from chestxray14.report.tables import space
from chestxray14.scoring.evaluation import Bounded, Estimate

WIDTH = 5.2
"""Inches: a telephone shows this at two thirds, where the text can still be read."""

MARKERS = "osD^vP*X<"

DOTTED: dict[str, Any] = {"color": MUTED, "linewidth": 0.8, "linestyle": (0, (2, 3))}

LONGEST = 40
"""Letters of a row's name."""

Tone = Literal["", "lead", "apart", "heading"]


class Dot(NamedTuple):
    """One row of a figure: a score with its interval, `apart` hollow, a heading without a score.

    `floor` is what metadata alone reach over the same findings. A row of `published` means has no
    score of its own.
    """

    label: str
    found: Estimate | Bounded | None
    tone: Tone = ""
    floor: float | None = None
    published: tuple[System, ...] = ()


@rc_context(STYLE)
def draw_intervals(dots: Sequence[Dot], *, about: str) -> Figure:
    """Return AUROCs with intervals, a row each, beside chance and what metadata alone reach."""
    figure, axes = start(0.29 * len(dots) + 0.75)
    axes.axvline(0.5, **DOTTED)
    named = {"chance": 0.5}
    for row, dot in enumerate(dots):
        if dot.found is not None:
            colour = SERIES[0] if dot.tone == "lead" else MUTED
            face = "none" if dot.tone == "apart" else colour
            _put(axes, dot.found, row, color=colour, marker="o", markerfacecolor=face)
        for system in dot.published:
            _put_published(axes, system, row, color=MUTED)
        if dot.floor is not None:
            axes.plot([dot.floor] * 2, [row - 0.5, row + 0.5], **DOTTED | {"linestyle": "--"})
            named.setdefault("metadata alone", dot.floor)
    for place, (name, value) in enumerate(named.items()):
        axes.annotate(
            *(name, (value, 1.0)),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4 + 11 * place),
            textcoords="offset points",
            fontsize=8.5,
            color=MUTED,
            ha="center",
        )
    names = [textwrap.shorten(dot.label, LONGEST, placeholder=" …") for dot in dots]
    _finish(axes, names, about=about)
    for label, dot in zip(axes.get_yticklabels(), dots, strict=True):
        if dot.tone in ("lead", "heading"):
            label.set(color=INK, fontweight="bold")
    return figure


@rc_context(STYLE)
def draw_by_finding(
    series: Mapping[str, Mapping[str, Estimate]],
    *,
    findings: Sequence[str],
    about: str,
    chance: float | None = None,
    others: Sequence[Mapping[str, float]] = (),
) -> Figure:
    """Return a row a finding: some networks with intervals, the `others` as grey ticks."""
    figure, axes = start(0.36 * len(findings) + 1.0)
    for row in range(0, len(findings), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=RULE, alpha=0.3, linewidth=0)
    for scores in others:
        rows = [row for row, finding in enumerate(findings) if finding in scores]
        values = [scores[findings[row]] for row in rows]
        axes.scatter(values, rows, s=60, marker="|", color=MUTED, alpha=0.5, linewidths=1)
    for place, (name, found) in enumerate(series.items()):
        look: dict[str, Any] = {"marker": MARKERS[place], "color": SERIES[place]}
        shift = 0.22 * (place - (len(series) - 1) / 2)
        for row, finding in enumerate(findings):
            if finding in found:
                _put(axes, found[finding], row + shift, **look)
        axes.plot([], [], linestyle="", markersize=5, label=name, **look)
    if others:
        axes.plot([], [], "|", color=MUTED, label="other recipes")
    if chance is not None:
        axes.axvline(chance, **DOTTED)
    _finish(axes, [*map(space, findings)], about=about)
    add_legend(figure, axes)
    return figure


@rc_context(STYLE)
def draw_published(families: Mapping[Family, Sequence[System]]) -> Figure:
    """Return published means: a row a protocol, a dot a system, the highest first and named.

    Hollow where it was chosen on its test images, a cross where it is implausible.
    """
    figure, axes = start(0.72 * len(families) + 0.7)
    for row, systems in enumerate(families.values()):
        colour = SERIES[row % len(SERIES)]
        for place, system in enumerate(systems):
            _put_published(axes, system, row + 0.1 * (place % 3 - 1), color=colour)
        axes.annotate(
            *(systems[0].name, (systems[0].mean_auroc, row)),
            xytext=(4, 12),
            textcoords="offset points",
            fontsize=8.5,
            color=MUTED,
            ha="right",
        )
    about = "mean AUROC (hollow: chosen on its test images, cross: implausible)"
    _finish(axes, list(families), about=about)
    return figure


@rc_context(STYLE)
def draw_matrix(shares: NDArray[np.float64], *, findings: Sequence[str]) -> Figure:
    """Return shares of calls (k, k) by label, then by call, as `leader.count_wrong_calls`."""
    names = [*map(space, findings)]
    figure, axes = start(WIDTH * 0.92)
    for (row, column), share in np.ndenumerate(shares):
        if np.isnan(share):
            continue
        colour = SERIES[0 if row == column else 1]
        where = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(where, 1, 1, color=colour, alpha=0.75 * share))
        axes.text(
            *(column, row, f"{100 * share:.0f}"), ha="center", va="center", fontsize=7.5, color=INK
        )
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("called, % of the images", color=MUTED)
    axes.set_ylabel("labelled", color=MUTED)
    axes.tick_params(length=0)
    return figure


def add_legend(figure: Figure, axes: Axes) -> None:
    """Put what is labelled in `axes` above the figure, two in a row."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=2, handletextpad=0.4, fontsize=9)


def start(height: float) -> tuple[Figure, Axes]:
    """Return a figure of so many inches, and its axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def _put(axes: Axes, found: Estimate | Bounded, row: float, *, color: str, **look: Any) -> None:
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [row, row], color=color, linewidth=1.4)
    axes.plot(found.value, row, color=color, linestyle="", markersize=5, **look)


def _put_published(axes: Axes, system: System, row: float, *, color: str) -> None:
    hollow = system.selected_on_test and not system.implausible
    axes.plot(
        *(system.mean_auroc, row, "X" if system.implausible else "o"),
        color=color,
        markerfacecolor="none" if hollow else color,
        markersize=6,
        alpha=0.8,
    )


def _finish(axes: Axes, names: Sequence[str], *, about: str) -> None:
    """Name the rows and what is along x, which ends just beyond what is drawn."""
    drawn = [np.asarray(line.get_xdata()) for line in axes.lines]
    drawn += [np.asarray(ticks.get_offsets())[:, 0] for ticks in axes.collections]
    values = np.concatenate(drawn)
    low, high = values.min(), values.max()
    margin = 0.04 * (high - low) or 0.05
    axes.set_xlim(low - margin, high + margin)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(about, color=MUTED)
