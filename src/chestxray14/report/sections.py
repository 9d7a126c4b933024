"""The parts that the report is made of."""

from dataclasses import dataclass

from markupsafe import Markup

from chestxray14.report.examples import Example
from chestxray14.report.localization_examples import Overlay
from chestxray14.report.tables import Table


@dataclass(frozen=True)
class Section:
    """A part of the report under one heading; what is empty is left out.

    `figures` are SVG, `examples` radiographs and `overlays` heatmaps on some; all stand in the page
    only. `level` is 2 or 3.
    """

    anchor: str
    title: str
    level: int = 2
    text: tuple[str, ...] = ()
    figures: tuple[Markup, ...] = ()
    tables: tuple[Table, ...] = ()
    examples: tuple[Example, ...] = ()
    overlays: tuple[Overlay, ...] = ()
    points: tuple[str, ...] = ()
