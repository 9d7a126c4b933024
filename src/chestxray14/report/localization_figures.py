"""How many boxes are found, from generous to strict, as SVG text."""

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure

from chestxray14.localization.record import MEAN, Localization
from chestxray14.report.figures import (
    INK,
    LINE,
    MUTED,
    REFERENCE_MARKERS,
    STYLE,
    WIDTH,
    add_legend,
    look,
    to_svg,
)
from chestxray14.report.published_localization import PublishedTable

BASELINES = {"random": ("maps of noise", "--"), "centre": ("box in the centre", ":")}
"""The baselines of `Overlap`: their names in the figure, and how their lines look."""


def draw_accuracy(
    localization: Localization,
    references: Sequence[PublishedTable],
    *,
    name: str,
    names: Sequence[str],
    title: str,
) -> str:
    """Return a network's mean accuracy by threshold as an SVG, a panel each of IoBB and IoU.

    The baselines are lines without marks. `references` must be of the same protocol. `names` are
    all networks of the report, so that each looks the same in every figure; `title` is read out
    where the figure cannot be seen.
    """
    colour, marker = look(names.index(name))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
        panels = dict(zip(localization.overlaps, figure.subplots(1, 2, sharey=True), strict=True))
        for kind, scored in localization.overlaps.items():
            axes = panels[kind]
            thresholds = [float(threshold) for threshold in scored]
            axes.plot(
                thresholds,
                [overlap.accuracy[MEAN] for overlap in scored.values()],
                **LINE | {"color": colour, "marker": marker},
                label=name,
            )
            for baseline, (words, style) in BASELINES.items():
                axes.plot(
                    thresholds,
                    [getattr(overlap, baseline)[MEAN] for overlap in scored.values()],
                    **LINE | {"marker": "", "linestyle": style},
                    label=words,
                )
            axes.set(xlim=(0, 1), ylim=(0, 1))
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            axes.set_title(kind, color=INK)
            axes.grid()
            axes.tick_params(length=0)
        for number, table in enumerate(references):
            mark = {"linestyle": "", "marker": REFERENCE_MARKERS[number % len(REFERENCE_MARKERS)]}
            means = [scores.mean_accuracy for scores in table.scores.values()]
            panels[table.overlap].plot(list(table.scores), means, color=MUTED, **mark)
            panels["IoBB"].plot([], [], color=MUTED, **mark, label=table.title)
        figure.supxlabel("overlap that counts as found, more than", color=MUTED, fontsize="medium")
        figure.supylabel("share of boxes found", color=MUTED, fontsize="medium")
        add_legend(figure, panels["IoBB"])
        return to_svg(figure, title=title)
