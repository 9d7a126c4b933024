"""The comparison in words: one report, written as Markdown and as one HTML page."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chestxray14.report.caveats import list_caveats, list_citations
from chestxray14.report.comparison import Comparison
from chestxray14.report.curve_sections import describe_curves
from chestxray14.report.examples import Example
from chestxray14.report.localization_examples import Overlay
from chestxray14.report.localization_sections import describe_localization
from chestxray14.report.look_alikes import describe_look_alikes
from chestxray14.report.overview import (
    describe_examples,
    describe_findings,
    describe_published,
    describe_result,
)
from chestxray14.report.sections import Section
from chestxray14.report.what_ran import describe_training, describe_what_ran

TITLE = "Chest X-ray classifiers, compared"

PHANTOM = (
    "These radiographs are drawn, not taken. The report shows that the machinery works from end "
    "to end; it is not a clinical result and says nothing about any patient."
)
RESEARCH = "Research software: not a medical device, not for diagnosis."


@dataclass(frozen=True)
class Report:
    """The finished report, in both formats."""

    markdown: str
    html: str


def write_report(
    comparison: Comparison, *, examples: Sequence[Example], overlays: Sequence[Overlay]
) -> Report:
    """Return the report on a comparison; the same comparison gives the same bytes.

    `examples` are test images with the predictions of the first honest group's leader, `overlays`
    some with its heatmaps.
    """
    titles = [system.title for system in comparison.systems]
    titles += [source.title for source in comparison.decisions.values()]
    titles += comparison.localization
    shown = {
        "title": TITLE,
        "banner": PHANTOM if comparison.prepared.source == "phantom" else "",
        "research": RESEARCH,
        "sections": [
            describe_result(comparison),
            *describe_findings(comparison),
            *describe_curves(comparison),
            *describe_localization(comparison, overlays),
            *describe_examples(comparison, examples),
            describe_training(comparison),
            *describe_published(comparison),
            *describe_what_ran(comparison),
            *describe_look_alikes(comparison),
            Section("caveats", "How to read this", points=list_caveats(comparison)),
            Section(
                "citing",
                "How to cite",
                text=list_citations(comparison),
                points=tuple(dict.fromkeys(titles)),
            ),
        ],
    }
    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    page.filters["base64"] = lambda content: base64.b64encode(content).decode()
    text = page.overlay(autoescape=False, finalize=_escape_markdown)
    markdown = text.get_template("report.md.j2").render(shown)
    return Report(
        markdown=re.sub(r"\n{3,}", "\n\n", markdown).strip() + "\n",
        html=page.get_template("report.html.j2").render(shown) + "\n",
    )


def _escape_markdown(value: object) -> object:
    """Return text in which nothing is markup: Markdown's counterpart of autoescape."""
    if not isinstance(value, str):
        return value
    line = " ".join(value.split())
    # An underscore inside a word, as in every recipe's name, is none in Markdown either.
    return re.sub(r"[\\`*\[\]<>|~#&$]|(?<!\w)_|_(?!\w)|^[-+=]", r"\\\g<0>", line)
