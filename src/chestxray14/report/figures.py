"""The figures of the page: what is drawn of scores, curves and training."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from chestxray14.report.svg import INK, MUTED, RULE, SERIES, STYLE, WIDTH, add_legend, to_svg
from chestxray14.scoring.evaluation import Bounded, Estimate

MARKERS = "osD^vP*X<"

DOTTED: dict[str, Any] = {"color": MUTED, "linewidth": 0.8, "linestyle": (0, (2, 3))}

LONGEST = 40
"""Letters of a row's name."""

Tone = Literal["", "lead", "apart", "heading"]


class Dot(NamedTuple):
    """One row of a figure: a score with its interval, `apart` hollow, a heading without a score."""

    label: str
    found: Estimate | Bounded | None
    tone: Tone = ""


class Mark(NamedTuple):
    """A published mean; `hollow` where it was chosen on its test images, `odd` if implausible."""

    value: float
    name: str
    kind: Literal["", "hollow", "odd"] = ""


def draw_intervals(
    dots: Sequence[Dot], *, lines: Mapping[str, float], about: str, title: str
) -> str:
    """Return scores with their intervals, a row each, as an SVG.

    `lines` are named values to hold them against, `about` says what is drawn along x. `title` is
    read out where the figure cannot be seen.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _start(rows=len(dots), row=0.29, more=0.75)
        for row, dot in enumerate(dots):
            if dot.found is None:
                continue
            colour = SERIES[0] if dot.tone == "lead" else MUTED
            _put(axes, dot.found, row=row, colour=colour, hollow=dot.tone == "apart")
        for number, (name, value) in enumerate(lines.items()):
            axes.axvline(value, **DOTTED | {"linestyle": (0, (2 + 3 * number, 3))})
            axes.annotate(
                *(name, (value, 1.0)),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4 + 11 * (number % 2)),
                textcoords="offset points",
                fontsize=8.5,
                color=MUTED,
                ha="center",
            )
        names = [textwrap.shorten(dot.label, LONGEST, placeholder=" …") for dot in dots]
        axes.set_yticks(range(len(dots)), names)
        for label, dot in zip(axes.get_yticklabels(), dots, strict=True):
            label.set_color(INK if dot.tone in ("lead", "heading") else MUTED)
            label.set_fontweight("bold" if dot.tone in ("lead", "heading") else "normal")
        values = [end for dot in dots if dot.found for end in _ends(dot.found)]
        _finish(
            axes, len(dots), low=min([*values, *lines.values()]), high=max(values), about=about
        )
        return to_svg(figure, title=title)


def draw_by_finding(
    series: Mapping[str, Mapping[str, Estimate]],
    *,
    others: Sequence[Mapping[str, float]],
    findings: Sequence[str],
    about: str,
    chance: float | None,
    title: str,
) -> str:
    """Return a row a finding as an SVG: some networks with intervals, the `others` as grey ticks."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _start(rows=len(findings), row=0.36, more=1.0)
        for row in range(0, len(findings), 2):
            axes.axhspan(row - 0.5, row + 0.5, color=RULE, alpha=0.3, linewidth=0)
        for scores in others:
            rows = [row for row, finding in enumerate(findings) if finding in scores]
            values = [scores[findings[row]] for row in rows]
            axes.scatter(values, rows, s=60, marker="|", color=MUTED, alpha=0.5, linewidths=1)
        for place, (name, found) in enumerate(series.items()):
            shift = 0.22 * (place - (len(series) - 1) / 2)
            for row, finding in enumerate(findings):
                if finding in found:
                    _put(
                        *(axes, found[finding]),
                        row=row + shift,
                        colour=SERIES[place],
                        marker=MARKERS[place],
                    )
            axes.plot([], [], MARKERS[place], color=SERIES[place], markersize=5, label=name)
        if others:
            axes.plot([], [], "|", color=MUTED, label="other recipes")
        if chance is not None:
            axes.axvline(chance, **DOTTED)
        axes.set_yticks(range(len(findings)), [finding.replace("_", " ") for finding in findings])
        ends = [end for found in series.values() for each in found.values() for end in _ends(each)]
        values = [*ends, *(value for scores in others for value in scores.values())]
        _finish(axes, len(findings), low=min(values), high=max(values), about=about)
        add_legend(figure, axes)
        return to_svg(figure, title=title)


def draw_published(families: Mapping[str, Sequence[Mark]], *, title: str) -> str:
    """Return published means as an SVG: a row a protocol, a dot a system, the highest named."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _start(rows=len(families), row=0.72, more=0.7)
        for row, marks in enumerate(families.values()):
            colour = SERIES[row % len(SERIES)]
            for place, mark in enumerate(sorted(marks)):
                axes.plot(
                    *(mark.value, row + 0.1 * (place % 3 - 1)),
                    "X" if mark.kind == "odd" else "o",
                    color=colour,
                    markerfacecolor="none" if mark.kind == "hollow" else colour,
                    markersize=6,
                    alpha=0.8,
                )
            highest = max(marks)
            axes.annotate(
                *(highest.name, (highest.value, row)),
                xytext=(4, 12),
                textcoords="offset points",
                fontsize=8.5,
                color=MUTED,
                ha="right",
            )
        axes.set_yticks(range(len(families)), list(families))
        values = [mark.value for marks in families.values() for mark in marks]
        _finish(axes, len(families), low=min(values), high=max(values), about="mean AUROC")
        return to_svg(figure, title=title)


def draw_matrix(shares: NDArray[np.float64], *, findings: Sequence[str], title: str) -> str:
    """Return which share of the images labelled with one finding is called another, as an SVG.

    `shares` (k, k) are by label, then by call; NaN where no image is labelled.
    """
    names = [finding.replace("_", " ") for finding in findings]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, WIDTH * 0.92), layout="constrained")
        axes = figure.add_subplot()
        for (row, column), share in np.ndenumerate(shares):
            if np.isnan(share):
                continue
            where = (column - 0.5, row - 0.5)
            axes.add_patch(
                Rectangle(
                    *(where, 1, 1), color=SERIES[0 if row == column else 1], alpha=0.75 * share
                )
            )
            axes.text(
                *(column, row, f"{100 * share:.0f}"),
                ha="center",
                va="center",
                fontsize=7.5,
                color=INK,
            )
        axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_xlabel("called, % of the images", color=MUTED)
        axes.set_ylabel("labelled", color=MUTED)
        axes.tick_params(length=0)
        return to_svg(figure, title=title)


def _start(*, rows: int, row: float, more: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, row * rows + more), layout="constrained")
    return figure, figure.add_subplot()


def _put(
    axes: Axes,
    found: Estimate | Bounded,
    *,
    row: float,
    colour: str,
    marker: str = "o",
    hollow: bool = False,
) -> None:
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [row, row], color=colour, linewidth=1.4)
    face = "none" if hollow else colour
    axes.plot(found.value, row, marker, color=colour, markerfacecolor=face, markersize=5)


def _ends(found: Estimate | Bounded) -> list[float]:
    return [end for end in (found.value, found.low, found.high) if end is not None]


def _finish(axes: Axes, rows: int, *, low: float, high: float, about: str) -> None:
    margin = 0.04 * (high - low) or 0.05
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(rows - 0.4, -0.6)
    axes.grid(axis="x")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(about, color=MUTED)
