"""The comparison in words: one report, written as Markdown and as one HTML page."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from chestxray14.caveats import list_caveats, list_citations
from chestxray14.comparison import Comparison, Group
from chestxray14.figures import draw_auroc, draw_training
from chestxray14.findings import FINDINGS
from chestxray14.regimens import list_limits, tabulate_training
from chestxray14.results import (
    LABEL_VERSIONS,
    Prepared,
    Run,
    SplitFacts,
    mean_auroc,
    name_runs,
)
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

FEWER = (
    "A mean over other findings is another number. Only a ranking, over the same findings and the "
    "same test images, puts a recipe of fewer than 14 beside the others."
)

TRAINING = (
    (
        "The epoch that is kept is chosen on the validation part, which the network sees by the "
        "centre of each image; the test part is scored once."
    ),
    (
        "Each loss is the recipe's own: plain, class-weighted or focal, over its own findings. "
        "Compare losses within a recipe, never between two."
    ),
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
    text = [_summarise(comparison, group) for group in comparison.groups]
    for group in comparison.groups:
        test = group.test
        if one_class := [f for f in FINDINGS if test.positives(f) in (0, test.images)]:
            text.append(
                f"Not scored on {group.splits}: {', '.join(one_class)}. No test image shows it, or "
                "all do, and ranking needs both."
            )
    recipes = [run for run in comparison.runs if run.training]
    changed = {run.name for runs in list_limits(recipes).values() for run in runs}
    if limited := [run for run in recipes if run.name in changed]:
        text.append(
            f"The dataset's limits changed what {name_runs(limited, among=recipes)} asked for (see "
            "What ran), so this is a reduced run, not what was published."
        )
    if any(len(run.scored) < len(FINDINGS) for run in comparison.runs):
        text.append(FEWER)
    text.extend(comparison.no_difference)
    if any(cell.apart for row in comparison.headline.rows for cell in row.cells):
        text.append(SET_APART)
    rankings = [group.ranking for group in comparison.groups if group.ranking]
    return Section("result", "Result", text=tuple(text), tables=(*rankings, comparison.headline))


def _summarise(comparison: Comparison, group: Group) -> str:
    """Say what the runs on one set of test images reach, and which recipe reaches most."""
    where = (
        f"{group.test.images:,} test images of {group.test.patients:,} patients "
        f"({comparison.prepared.dataset}, {group.splits})"
    )
    if len(group.runs) == 1:
        [run] = group.runs
        return (
            f"{run.label} reaches a macro AUROC of {auroc_text(run.evaluated.auroc['macro'])} and "
            f"a micro AUROC of {auroc_text(run.evaluated.auroc['micro'])}, on {where}."
        )
    recipes = [run for run in group.runs if run.training]
    elsewhere = [run for run in group.runs if not run.training]
    count = f"{len(group.runs)} networks were scored on {where}"
    if not group.shared:
        return f"{count}. No finding is scored in all of them, so they are not ranked."

    def reach(runs: Sequence[Run]) -> str:
        found = sorted({auroc_text(mean_auroc(r.evaluated.auroc, group.shared)) for r in runs})
        return " to ".join(dict.fromkeys((found[0], found[-1])))

    over = f"{count}. Over the findings that all of them score ({len(group.shared)} of 14)"
    if group.runs[0].leaky or not recipes:
        why = ", too high on purpose (see What ran)" if group.runs[0].leaky else ""
        return f"{over} they reach a macro AUROC of {reach(group.runs)}{why}."
    best = max(recipes, key=lambda run: mean_auroc(run.evaluated.auroc, group.shared))
    others = [run for run in recipes if run is not best]
    told = [f"{over} the recipe “{best.label}” has the highest macro AUROC, {reach([best])}"]
    if others:
        told.append(f"the other recipes reach {reach(others)}")
    if elsewhere:
        told.append(f"what was pretrained elsewhere reaches {reach(elsewhere)}")
    return f"{'; '.join(told)}. Each ran once, so a small gap is none (see How to read this)."


def _findings(comparison: Comparison) -> list[Section]:
    dash = " A dash: not predicted, or not to be ranked."
    fewer = any(len(run.scored) < len(FINDINGS) for run in comparison.runs)
    sections = [
        Section(
            "findings",
            "Finding by finding",
            text=(
                (
                    "AUROC of each of the 14 findings: the chance that a random image with the "
                    "finding is ranked above a random one without it. 0.5 is chance, 1 is perfect. "
                    f"The fewer positives, the more an AUROC moves by luck.{dash if fewer else ''}"
                ),
            ),
        )
    ]
    for group in comparison.groups:
        svg = draw_auroc(
            {run.label: {f: run.evaluated.auroc[f] for f in run.scored} for run in group.runs},
            {title: system.auroc for title, system in group.references.items()},
            findings=FINDINGS,
            names=[run.label for run in comparison.runs],
            title=f"AUROC by finding, {group.splits}; the table that follows has the numbers",
        )
        apart = any(cell.apart for row in group.table.rows for cell in row.cells)
        few = group.ranking and len(group.shared) < len(FINDINGS)
        shared = [f"Scored by all: {', '.join(group.shared)}."] if few else []
        splits = group.splits[0].upper() + group.splits[1:]
        sections.append(
            Section(
                f"split-{group.runs[0].protocol}",
                f"{splits}: {KINDS[group.runs[0].split.kind]}",
                level=3,
                text=(*shared, *([SET_APART] if apart else [])),
                figure=Markup(svg),
                tables=(group.table,),
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
    trained = [(run, run.training) for run in comparison.runs if run.training]
    columns = ("epoch", "train_loss", "val_loss", "val_auroc", "lr")
    histories = {
        run.label: {
            # What trains nothing has no rate: the one in its history was never used.
            column: [
                _or_nan(getattr(epoch, column) if column != "lr" or epoch.epoch else None)
                for epoch in training.history
            ]
            for column in columns
        }
        for run, training in trained
    }
    recipes = [run for run, _ in trained]
    return Section(
        "training",
        "Training",
        text=TRAINING,
        figure=Markup(draw_training(histories, title="Losses, validation AUROC, learning rate")),
        tables=tabulate_training(recipes),
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
        (label, words, name, f"{part.images:,}", f"{part.patients:,}", part.sha256)
        for label, split in splits.items()
        for words in [_describe_split(split, data)]
        for name, part in (("train", split.train), ("val", split.val), ("test", split.test))
    ]
    headings = ("Split", "Drawn as", "Part", "Images", "Patients", "sha256 of the image names")
    leaks = tuple(
        f"Split {label}: {split.shared_patients:,} patients are on more than one side, so the "
        "network is tested on people it was trained on. Its scores are too high on purpose."
        for label, split in splits.items()
        if split.kind == "image"
    )
    recipes = [run for run in comparison.runs if run.training]
    changes = [
        (*change, name_runs(runs, among=recipes)) for change, runs in list_limits(recipes).items()
    ]
    asked = ("Value", "params.yaml", "This run", "Recipes")
    unchanged = "Nothing: every recipe ran with the input, weights and epochs of params.yaml."
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
            text=() if changes else (unchanged,),
            tables=(text_table("Recipe values", asked, changes),) if changes else (),
        ),
    ]


def _describe_split(split: SplitFacts, prepared: Prepared) -> str:
    left_out = prepared.images - split.images
    return KINDS[split.kind] + (f"; {left_out:,} images left out" if left_out > 0 else "")


def _escape_markdown(value: object) -> object:
    """Return text in which nothing is markup: Markdown's counterpart of autoescape."""
    if not isinstance(value, str):
        return value
    line = " ".join(value.split())
    # An underscore inside a word, as in every recipe's name, is none in Markdown either.
    return re.sub(r"[\\`*\[\]<>|~#&$]|(?<!\w)_|_(?!\w)|^[-+=]", r"\\\g<0>", line)
