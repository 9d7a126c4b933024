"""The comparison in words: one report, written as Markdown and as one HTML page."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from chestxray14.caveats import list_caveats, list_citations
from chestxray14.comparison import Comparison
from chestxray14.figures import draw_auroc, draw_training
from chestxray14.findings import FINDINGS
from chestxray14.results import LABEL_VERSIONS, Run
from chestxray14.tables import Table, auroc_text, text_table

TITLE = "Chest X-ray classifiers, compared"

PHANTOM = (
    "These radiographs are drawn, not taken. The report shows that the machinery works from end "
    "to end; it is not a clinical result and says nothing about any patient."
)
RESEARCH = "Research software: not a medical device, not for diagnosis."

SET_APART = (
    "Numbers that were reached under other conditions are set apart (shaded, in italics), with "
    "their protocol beside them; no difference to them is shown."
)

KINDS = {
    "patient": "whole patients, drawn at random",
    "official": "NIH's official lists, whole patients",
    "image": "negative control, single images drawn at random",
    "lists": "published lists of images",
}


@dataclass(frozen=True)
class Section:
    """A part of the report under one heading; what is empty is left out.

    `figure` is an SVG and stands in the page only. `level` is 2 or 3.
    """

    anchor: str
    title: str
    level: int = 2
    text: tuple[str, ...] = ()
    figure: Markup | None = None
    tables: tuple[Table, ...] = ()
    points: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """The finished report, in both formats."""

    markdown: str
    html: str


def write_report(comparison: Comparison) -> Report:
    """Return the report on a comparison; the same comparison gives the same bytes."""
    shown = {
        "title": TITLE,
        "banner": PHANTOM if comparison.prepared.source == "phantom" else "",
        "research": RESEARCH,
        "sections": [
            _result(comparison),
            *_findings(comparison),
            *_published(comparison),
            _training(comparison),
            *_what_ran(comparison),
            Section("caveats", "How to read this", points=list_caveats(comparison)),
            Section(
                "citing",
                "How to cite",
                text=list_citations(comparison),
                points=tuple(system.title for system in comparison.systems),
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
    text = page.overlay(autoescape=False, finalize=_escape_markdown)
    markdown = text.get_template("report.md.j2").render(shown)
    return Report(
        markdown=re.sub(r"\n{3,}", "\n\n", markdown).strip() + "\n",
        html=page.get_template("report.html.j2").render(shown) + "\n",
    )


def _result(comparison: Comparison) -> Section:
    text = []
    for part in comparison.by_finding:
        test = part.runs[0].split.test
        reached = "; ".join(
            f"{run.label} reaches a macro AUROC of {auroc_text(run.evaluated.auroc['macro'])} and a "
            f"micro AUROC of {auroc_text(run.evaluated.auroc['micro'])}"
            for run in part.runs
        )
        text.append(
            f"{reached}, on {test.images:,} test images of {test.patients:,} patients "
            f"({comparison.prepared.dataset}, split {part.split})."
        )
    for run in comparison.runs:
        text.extend(_name_unscored(run))
    if limited := dict.fromkeys(row[0] for row in _limits(comparison.runs)):
        text.append(
            f"The dataset's limits changed what {', '.join(limited)} asks for (see What ran), so "
            "this is a reduced run, not the recipe as published."
        )
    text.extend(comparison.no_difference)
    if any(cell.apart for row in comparison.headline.rows for cell in row.cells):
        text.append(SET_APART)
    return Section("result", "Result", text=tuple(text), tables=(comparison.headline,))


def _name_unscored(run: Run) -> list[str]:
    """Say which findings have no AUROC, and why."""
    missing = [finding for finding in FINDINGS if finding not in run.scored]
    test = run.split.test
    one_class = [f for f in missing if test.positives(f) in (0, test.images)]
    unpredicted = [f for f in missing if f not in one_class]
    text = []
    if one_class:
        text.append(
            f"Not scored for {run.label}: {', '.join(one_class)}. No test image shows it, or all "
            "do, and ranking needs both."
        )
    if unpredicted:
        text.append(f"Not predicted by {run.label}: {', '.join(unpredicted)}.")
    return text


def _findings(comparison: Comparison) -> list[Section]:
    sections = [
        Section(
            "findings",
            "Finding by finding",
            text=(
                (
                    "AUROC of each of the 14 findings: the chance that a random image with the "
                    "finding is ranked above a random one without it. 0.5 is chance, 1 is perfect. "
                    "The fewer positives, the more an AUROC moves by luck."
                ),
            ),
        )
    ]
    for part in comparison.by_finding:
        svg = draw_auroc(
            {run.label: {f: run.evaluated.auroc[f] for f in run.scored} for run in part.runs},
            {title: system.auroc for title, system in part.references.items()},
            findings=FINDINGS,
            names=[run.label for run in comparison.runs],
            title=f"AUROC by finding, split {part.split}; the table that follows has the numbers",
        )
        apart = any(cell.apart for row in part.table.rows for cell in row.cells)
        sections.append(
            Section(
                f"split-{part.runs[0].recipe.split}",
                f"Split {part.split}: {KINDS[part.runs[0].split.kind]}",
                level=3,
                text=(SET_APART,) if apart else (),
                figure=Markup(svg),
                tables=(part.table,),
            )
        )
    return sections


def _published(comparison: Comparison) -> list[Section]:
    sections = [
        Section(
            "published",
            "Published systems, by protocol",
            text=(
                (
                    "Macro AUROC, each under its own protocol; compare within a table only. It is the "
                    "mean of the 14 printed findings, or the mean as stated where a source prints no "
                    "findings."
                ),
                (
                    "TEST SET marks a model that was chosen on the images it is scored on, which "
                    "flatters it. Evidence: primary was read at the source, secondary is quoted by "
                    "somebody else, re-scored was computed from published predictions."
                ),
            ),
        )
    ]
    for family, table in comparison.published.items():
        ours = [row.cells[0].text for row in table.rows if row.tone == "ours"]
        text = (
            f"The protocol and the dataset of this run's {', '.join(ours)}, in bold."
            if ours
            else "No recipe of this run may be compared with these."
        )
        title = family[0].upper() + family[1:]
        anchor = f"published-{family.replace(' ', '-')}"
        sections.append(Section(anchor, title, level=3, text=(text,), tables=(table,)))
    return sections


def _training(comparison: Comparison) -> Section:
    columns = ("train_loss", "val_loss", "val_auroc", "lr")
    histories = {
        run.label: {
            column: [_or_nan(getattr(epoch, column)) for epoch in run.history]
            for column in columns
        }
        for run in comparison.runs
    }
    rows = [
        (
            run.label,
            f"{run.trained.best_epoch} of {run.trained.epochs_run}",
            f"{run.trained.val_loss:.4f}",
            f"{run.trained.train_images:,}",
            f"{run.trained.input_px} px",
            run.trained.weights,
            f"{run.trained.device}, {run.trained.precision}, {run.trained.threads} threads",
        )
        for run in comparison.runs
    ]
    headings = ("Recipe", "Epoch kept", "Validation loss", "Training images")
    settings = ("Input", "First weights", "Hardware")
    return Section(
        "training",
        "Training",
        text=("The epoch with the lowest validation loss is kept and scored on the test part.",),
        figure=Markup(draw_training(histories, title="Losses, validation AUROC, learning rate")),
        tables=(text_table("What was trained", headings + settings, rows, numeric=(1, 2, 3)),),
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _what_ran(comparison: Comparison) -> list[Section]:
    data = comparison.prepared
    sizes = (
        f"Dataset {data.dataset} (source: {data.source}): {data.images:,} images of "
        f"{data.patients:,} patients, reduced to {data.packed_px} px; {data.rejected:,} images "
        f"could not be read and are left out. Labels: {LABEL_VERSIONS[data.label_version]}."
    )
    splits = {run.split_label: run.split for run in comparison.runs}
    split_rows = [
        (label, KINDS[split.kind], name, f"{part.images:,}", f"{part.patients:,}", part.sha256)
        for label, split in splits.items()
        for name, part in (("train", split.train), ("val", split.val), ("test", split.test))
    ]
    headings = ("Split", "Drawn as", "Part", "Images", "Patients", "sha256 of the image names")
    leaks = tuple(
        f"Split {label}: {split.shared_patients:,} patients are on more than one side, so the "
        "network is tested on people it was trained on. Its scores are too high on purpose."
        for label, split in splits.items()
        if split.kind == "image"
    )
    changes = _limits(comparison.runs)
    return [
        Section(
            "what-ran",
            "What ran",
            text=(sizes, *leaks),
            tables=(text_table("Splits", headings, split_rows, numeric=(3, 4)),),
        ),
        Section(
            "limits",
            "What the dataset's limits changed",
            level=3,
            text=()
            if changes
            else ("Nothing: every recipe ran with the input, weights and epochs of params.yaml.",),
            tables=(
                text_table(
                    "Recipe values", ("Recipe", "Value", "params.yaml", "This run"), changes
                ),
            )
            if changes
            else (),
        ),
    ]


def _limits(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Return what a recipe asks for and what it got, where these differ."""
    rows: list[tuple[str, ...]] = []
    for run in runs:
        for key, name in (("input_px", "input, px"), ("weights", "weights"), ("epochs", "epochs")):
            asked, used = getattr(run.recipe, key), getattr(run.trained, key)
            if asked != used:
                rows.append((run.label, name, str(asked), str(used)))
    return rows


def _escape_markdown(value: object) -> object:
    """Return text in which nothing is markup: Markdown's counterpart of autoescape."""
    if not isinstance(value, str):
        return value
    line = " ".join(value.split())
    # An underscore inside a word, as in every recipe's name, is none in Markdown either.
    return re.sub(r"[\\`*\[\]<>|~#&$]|(?<!\w)_|_(?!\w)|^[-+=]", r"\\\g<0>", line)
