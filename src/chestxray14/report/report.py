"""The report, as one page and as a short text whose changes can be read in a diff."""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from chestxray14.report import tables
from chestxray14.report.background import (
    describe_appendix,
    describe_gallery,
    describe_training,
    describe_what_ran,
)
from chestxray14.report.experts import describe_experts
from chestxray14.report.leader import (
    describe_boxes,
    describe_calibration,
    describe_decisions,
    describe_groups,
)
from chestxray14.report.overview import describe_findings, describe_published, describe_result
from chestxray14.report.sections import Section, Told
from chestxray14.report.transfers import describe_transfers
from chestxray14.scoring.claims import AT_LEAST, FEW

TEMPLATES = Path(__file__).parent / "templates"

TITLE = "Chest X-ray classifiers, compared"


@dataclass(frozen=True)
class Report:
    """The finished report, in both formats."""

    markdown: str
    html: str


def write_report(told: Told) -> Report:
    """Return the report; the same results give the same bytes."""
    page = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    page.filters |= {
        "base64": _encode,
        "breakable": lambda text: Markup(str(Markup.escape(text)).replace("_", "_<wbr>")),
        "findings": tables.name_findings,
        "words": tables.join_words,
    }
    page.globals |= {
        "number": tables.number,
        "in_words": tables.in_words,
        "equal": tables.equal,
        "AT_LEAST": AT_LEAST,
        "FEW": FEW,
    }
    script = (TEMPLATES / "filter.js").read_text()
    shown = {
        "title": TITLE,
        "told": told,
        "sections": describe(told),
        "script": Markup(script),
        # The page's policy lets this script run and no other.
        "script_hash": _encode(hashlib.sha256(script.encode()).digest()),
    }
    text = page.overlay(autoescape=False, finalize=_escape_markdown)
    markdown = text.get_template("report.md.j2").render(shown)
    return Report(
        markdown=re.sub(r"\n{3,}", "\n\n", markdown).strip() + "\n",
        html=page.get_template("page.html.j2").render(shown) + "\n",
    )


def describe(told: Told) -> list[Section]:
    """Return the sections, in order, without those that have nothing to show."""
    makers: tuple[Callable[[Told], Section | None], ...] = (
        *(describe_result, describe_findings, describe_decisions, describe_calibration),
        *(describe_groups, describe_transfers, describe_experts, describe_boxes),
        *(describe_gallery, describe_training),
        *(describe_published, describe_what_ran, describe_appendix),
    )
    return [section for make in makers if (section := make(told))]


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _escape_markdown(value: object) -> object:
    """Return text in which nothing is markup: Markdown's counterpart of autoescape."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    line = " ".join(value.split())
    # An underscore inside a word, as in every recipe's name, is none in Markdown either.
    return re.sub(r"[\\`*\[\]<>|~#&$]|(?<!\w)_|_(?!\w)|^[-+=]", r"\\\g<0>", line)
