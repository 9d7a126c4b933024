"""The report, as one page and as a short text whose changes can be read in a diff."""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from chestxray14.localization.record import HEADLINES, MEAN
from chestxray14.report import experts, leader, overview, tables
from chestxray14.report.sections import Facts, Told
from chestxray14.report.svg import to_svg
from chestxray14.scoring.claims import AT_LEAST, AT_LEAST_IN_A_MEAN, FEW, count_comparable
from chestxray14.scoring.evaluation import TOO_NARROW
from chestxray14.scoring.experts import FEWEST_SCORED

TEMPLATES = Path(__file__).parent / "templates"

SECTIONS: dict[str, tuple[str, Callable[[Told], Facts | None]]] = {
    "result": ("Result", overview.describe_result),
    "findings": ("By finding", overview.describe_findings),
    "decisions": ("Decisions", leader.describe_decisions),
    "calibration": ("Calibration", leader.describe_calibration),
    "groups": ("Groups of patients", leader.describe_groups),
    "elsewhere": ("Does it hold elsewhere?", lambda told: {} if told.results.transfers else None),
    "experts": ("Against radiologists", experts.describe_experts),
    "boxes": ("Boxes", leader.describe_boxes),
    "gallery": ("Images", lambda told: {} if told.pictures else None),
    "training": ("Training", overview.describe_training),
    "published": ("Published numbers", overview.describe_published),
    "ran": ("What ran", lambda told: {}),
    "appendix": ("Appendix", lambda told: {}),
}
"""The title of each template, in order, and what gives its facts: None leaves the section out."""


@dataclass(frozen=True)
class Report:
    """The finished report, in both formats."""

    markdown: str
    html: str


def write_report(told: Told) -> Report:
    """Return the report; the same results give the same bytes."""
    page = Environment(
        loader=FileSystemLoader(TEMPLATES),
        extensions=["jinja2.ext.do"],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    page.filters |= {
        "base64": _encode,
        "breakable": lambda text: Markup(str(Markup.escape(text)).replace("_", "_<wbr>")),
        "counted": tables.count_words,
        "findings": tables.name_findings,
        "spaced": tables.space,
        "words": tables.join_words,
        "thousands": lambda count: f"{count:,}",
    }
    page.tests["excluding"] = tables.excludes
    page.globals |= {
        "make_table": tables.make_table,
        "cell": tables.cell,
        "p_cell": tables.p_cell,
        "number": tables.number,
        "in_words": partial(tables.in_words, interval=told.interval),
        "svg": to_svg,
        "AT_LEAST": AT_LEAST,
        "AT_LEAST_IN_A_MEAN": AT_LEAST_IN_A_MEAN,
        "FEW": FEW,
        "MOST_COMPARED": count_comparable(told.leader.evaluation.draws),
        "FEWEST_SCORED": FEWEST_SCORED,
        "TOO_NARROW": TOO_NARROW,
        "MEAN": MEAN,
        "IOBB": HEADLINES["IoBB"],
    }
    script = (TEMPLATES / "filter.js").read_text()
    shown = {
        "title": "Chest X-ray classifiers, compared",
        "told": told,
        "leader": told.leader,
        "sections": [
            {"name": name, "title": title, "facts": facts}
            for name, (title, describe) in SECTIONS.items()
            if (facts := describe(told)) is not None
        ],
        "script": Markup(script),
        # The page's policy lets this script run and no other.
        "script_hash": _encode(hashlib.sha256(script.encode()).digest()),
    }
    markdown = page.overlay(finalize=_escape_markdown).get_template("report.md.j2").render(shown)
    return Report(
        markdown=re.sub(r"\n{3,}", "\n\n", markdown).strip() + "\n",
        html=page.get_template("page.html.j2").render(shown) + "\n",
    )


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _escape_markdown(value: object) -> object:
    """Return text in which nothing is markup: Markdown's counterpart of HTML's escape."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    line = " ".join(value.split())
    # An underscore inside a word, as in every recipe's name, is none in Markdown either.
    return Markup(re.sub(r"[\\`*\[\]<>|~#&$]|(?<!\w)_|_(?!\w)|^[-+=]", r"\\\g<0>", line))
