"""Figures as SVG text for a web page, readable on a light and on a dark ground."""

import html
import io
import re
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

INK, MUTED, RULE = "#26323c", "#66727d", "#d9dee2"
SERIES = (
    *("#0f6e84", "#b4552d", "#5b5ea6", "#3d7a3f", "#a03e78", "#8a6d1c", "#3f7fbf", "#7a5548"),
    "#9a2be0",
)
COLOURS = {INK: "ink", MUTED: "muted", RULE: "rule"} | {
    colour: f"series-{number}" for number, colour in enumerate(SERIES, start=1)
}
"""Colours drawn, and the CSS variables that may replace them (`--ink`, `--series-1`, ...)."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
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


def to_svg(figure: Figure, title: str) -> Markup:
    """Return a figure as one SVG element, the same bytes each time, to stand inside a page.

    `title` is read out where the figure cannot be seen; no two figures of a page may share one.
    Places are rounded to a tenth of a point, which nobody sees.
    """
    buffer = io.StringIO()
    # Ids of clips and markers come from this salt; two figures of a page must not share them.
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": title}):
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    svg = re.sub(r'<g id="[^"]*"', "<g", buffer.getvalue()[buffer.getvalue().index("<svg") :])
    svg = re.sub(r'(?<= )(?:d|x|y)="[^"]*"', _round_places, svg)
    for colour, name in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name}, {colour})")
    words = html.escape(title)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)
    return Markup(svg.replace(">", f">\n <title>{words}</title>", 1).strip())


def _round_places(attribute: re.Match[str]) -> str:
    """Return an attribute such as `d="M 1.234 5.678 \\nL 2 3 \\n"` as `d="M1.2 5.7L2 3"`."""
    # Adding 0.0 turns -0.0 into 0.0.
    places = re.sub(
        r"-?\d+\.\d+", lambda number: f"{round(float(number[0]), 1) + 0.0:g}", attribute[0]
    )
    return re.sub(r'\s+(?=[A-Za-z"])|(?<=[A-Za-z])\s+', "", places)
