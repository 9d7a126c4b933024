import base64
import dataclasses
import functools
import io
import json
import re
import runpy
import shutil
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from fake_run import (
    DECISIONS,
    DRAWS,
    PUBLISHED,
    RECIPES,
    STEP,
    compare_runs,
    make_example,
    make_floor,
    make_floor_scores,
    make_localization,
    make_overlay,
    make_picture,
    make_prepared,
    make_run,
    make_split,
    make_training,
)
from numpy.typing import NDArray
from PIL import Image

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import read_yaml
from chestxray14.files.predictions import write_predictions
from chestxray14.report.comparison import Comparison
from chestxray14.report.figures import COLOURS, SERIES
from chestxray14.report.group_sections import name_findings
from chestxray14.report.localization_examples import Overlay, show_overlay
from chestxray14.report.report import Report, write_report
from chestxray14.report.results import Run

HOSTILE = "<script>alert(1)</script> | `x` *y* [z](javascript:1) \"q\" 'r' & $m$ _u_"


@pytest.fixture
def all_figures() -> None:
    """Say that a test is about figures too."""


@pytest.fixture(autouse=True)
def _few_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the slowest figures, which have tests of their own, from a test of words."""
    if "all_figures" not in request.fixturenames:
        monkeypatch.setattr("chestxray14.report.curve_sections.draw_curves", lambda *_, **__: "")
        monkeypatch.setattr(
            "chestxray14.report.localization_sections.draw_accuracy", lambda *_, **__: ""
        )


def make_hostile_overlay() -> Overlay:
    shown = make_overlay().shown.model_copy(update={"image": HOSTILE, "finding": HOSTILE})
    return dataclasses.replace(make_overlay(), shown=shown)


def report(*runs: Run, phantom: bool = False) -> Report:
    return write(*runs, phantom=phantom) if runs else report_one(phantom)


@functools.cache
def report_one(phantom: bool) -> Report:
    return write(make_run(), phantom=phantom)


def write(*runs: Run, phantom: bool = False) -> Report:
    prepared = make_prepared("phantom" if phantom else "kaggle")
    return write_report(
        compare_runs(*runs, prepared=prepared),
        examples=[make_example()],
        overlays=[make_overlay()],
    )


class Page(HTMLParser):
    """What a browser would see: tags, ids, links, text and whether every tag is closed."""

    VOID = frozenset({"meta", "wbr", "path", "use", "rect", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.described: list[str] = []
        self.headings: list[int] = []
        self.unnamed: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = {name: value or "" for name, value in attrs}
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if "href" in named else []
        self.described += [named["alt"]] if "alt" in named else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.unnamed += [tag] if not self._is_named(tag, named) else []
        self.loaded += [named[name] for name in ("src", "srcset", "data") if name in named]
        if tag not in self.VOID:
            self.open.append(tag)

    def _is_named(self, tag: str, named: dict[str, str]) -> bool:
        """Say whether who cannot see a figure, a picture or a table is told what it is."""
        match tag:
            case "svg":
                return named.get("role") == "img" and bool(named.get("aria-label"))
            case "img":
                return bool(named.get("alt"))
            case "table":
                # Those of the examples have a caption of their own.
                return named.get("aria-labelledby") in self.ids or "li" in self.open
        return True

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert tag in self.VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def plain(markdown: str) -> str:
    """Return Markdown as a reader sees it: emphasis gone, escapes undone, lines joined."""
    bare = re.sub(r"(?<!\\)\*+", "", markdown)
    return " ".join(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", bare).split())


def both(shown: Report) -> tuple[str, str]:
    return plain(shown.markdown), Page(shown.html).text


def test_the_phantom_banner_stands_at_the_top_of_both_files_and_only_then() -> None:
    drawn, real = report(phantom=True), report()
    for text in (plain(drawn.markdown), Page(drawn.html).text):
        assert 0 <= text.index("These radiographs are drawn") < text.index("Result")
    for text in (plain(real.markdown), Page(real.html).text):
        assert "drawn, not taken" not in text


def test_both_files_say_that_this_is_no_diagnosis() -> None:
    for shown in (report(), report(phantom=True)):
        for text in (plain(shown.markdown), Page(shown.html).text):
            assert text.index("not for diagnosis") < text.index("Finding by finding")


def test_the_result_comes_first_and_equals_the_metrics_rounded() -> None:
    shown = report()
    sentence = (
        f"{STEP} reaches a macro AUROC of 0.7300 (95 % interval 0.710 to 0.760) and a micro AUROC "
        "of 0.8124, on 200 test images of 50 patients (nih, split patient)."
    )
    for text in (plain(shown.markdown), Page(shown.html).text):
        assert sentence in text
    row = next(line for line in shown.markdown.splitlines() if line.startswith(f"| {STEP} |"))
    assert [cell.strip() for cell in row.split("|")[3:10]] == [
        "14",
        "0.7300 (0.710 to 0.760)",
        "0.8124 (0.792 to 0.842)",
        "0.8454",
        "0.8878",
        "−0.1154",
        "−0.0754",
    ]


def test_no_difference_is_printed_on_the_phantom_and_a_sentence_says_why() -> None:
    shown = report(phantom=True)
    for text in (plain(shown.markdown), Page(shown.html).text):
        assert f"No difference is shown for {STEP}: these radiographs are drawn" in text
    # Gaps between groups of patients, further down, are our own.
    assert not re.search(r"[+−]0\.\d{4}", shown.markdown.split("\n## ROC")[0])
    assert not re.search(r"[+−]0\.\d{4}", shown.html.split('id="curves"')[0])
    assert "*0.8454*" in shown.markdown
    assert 'class="numeric apart">0.8454<' in shown.html


def test_what_is_apart_is_in_italics_with_its_small_print() -> None:
    # Table 4 of Wang et al.: Atelectasis, of eight findings and their mean.
    [row] = [
        line
        for line in report().markdown.splitlines()
        if "\\> 0.1 Wang et al. 2017 Table 4" in line
    ]
    assert "| *0.728 (AFP 0.832)* |" in row
    assert row.count("*") == 2 * 9
    assert '<td class="numeric apart">0.728 <small>AFP 0.832</small></td>' in report().html


def test_systems_selected_on_the_test_set_are_marked_in_both_files() -> None:
    shown = report()
    title = PUBLISHED["eva_x_b_2025"].title
    assert f"⚠ {title} | *0.8350* | TEST SET |" in shown.markdown
    row = next(part for part in shown.html.split("<tr") if title in part)
    assert row.startswith(' class="doubtful"')
    assert "TEST SET" in row


def test_findings_without_an_auroc_are_named_with_the_reason() -> None:
    absent, unpredicted = ("Hernia", "Edema"), ("Mass",)
    scored = [f for f in FINDINGS if f not in (*absent, *unpredicted)]
    shown = report(make_run(findings=scored, absent=absent))
    for text in (plain(shown.markdown), Page(shown.html).text):
        assert "Not scored on split patient: Edema, Hernia. No test image shows it" in text
        assert "A mean over other findings is another number." in text
        assert "A dash: not predicted, or not scored (see Result)." in text
    assert f"| {STEP} | patient | 11 of 14 |" in shown.markdown
    for text in (plain(report().markdown), Page(report().html).text):
        assert "Not scored" not in text
        assert "A dash" not in text
        assert "A mean over other findings" not in text


def test_a_leaky_run_is_called_so_wherever_it_is_named() -> None:
    shown = report(make_run("peeking", kind="image"))
    for text in (plain(shown.markdown), Page(shown.html).text):
        assert text.count("peeking") == text.count("peeking (LEAKY)") > 0
        assert "7 patients are on more than one side" in text
    assert "peeking (LEAKY)</text>" in shown.html


def test_the_values_that_limits_changed_are_listed() -> None:
    text = plain(report().markdown)
    assert f"The dataset's limits changed what {STEP} asked for" in text
    assert f"| input, px | 224 | 64 | {STEP} |" in text
    assert f"| weights | imagenet | random | {STEP} |" in text
    assert f"| epochs | {RECIPES[STEP].epochs} | 3 | {STEP} |" in text


def test_limits_that_changed_every_recipe_are_told_in_one_row() -> None:
    runs = [make_run(name, recipe=recipe) for name, recipe in RECIPES.items()]
    text = plain(report(*runs).markdown)
    assert f"| weights | imagenet | random | all {len(RECIPES)} recipes |" in text
    assert f"The dataset's limits changed what all {len(RECIPES)} recipes asked for" in text


def test_many_recipes_have_one_sentence_that_names_the_highest() -> None:
    runs = [
        make_run("low", better=-0.01),
        make_run("high", findings=FINDINGS[:8], better=0.01),
        make_run("middle"),
        make_run("far", pretrained="nih", better=0.02),
        make_run("shortcut", kind="image", better=0.1),
        make_run("another_shortcut", kind="image", better=0.05),
    ]
    # By hand: the first 8 findings have a mean of 0.60001 + 0.02 * 3.5, all 14 of + 0.02 * 6.5.
    honest = (
        "Over the 8 findings that all 4 networks score, the recipe “high” has the highest macro "
        "AUROC, 0.6800; the other recipes reach 0.6600 to 0.6700; what was pretrained elsewhere "
        "reaches 0.6900. All on 200 test images of 50 patients (nih, split patient)."
    )
    leaky = (
        "Over the 14 findings that both networks score, they reach a macro AUROC of 0.7800 to "
        "0.8300, on 200 test images of 50 patients (nih, split image (LEAKY)). A control: patients "
        "stand on both sides of its split."
    )
    for text in both(report(*runs)):
        assert honest in text
        assert leaky in text
        assert "Scored by all: " + ", ".join(FINDINGS[:8]) in text


def test_networks_without_a_common_finding_are_said_to_have_no_ranking() -> None:
    runs = [make_run("a", findings=FINDINGS[:5]), make_run("b", findings=FINDINGS[5:])]
    for text in both(report(*runs)):
        assert "No finding is scored in all of them, so they are not ranked." in text
        assert "Ranked on" not in text


def test_a_report_of_a_pretrained_network_alone_can_be_written() -> None:
    for text in both(report(make_run("far", pretrained="nih"), make_run("b", pretrained="all"))):
        assert "they reach a macro AUROC of 0.7300, on" in text
        assert "pretrained elsewhere, not trained here (nih)" in text


def test_the_result_says_whether_the_patients_tell_the_two_highest_apart() -> None:
    first, second = make_run("first", better=0.01), make_run("second")
    apart = (first.draws - second.draws).mean(axis=1)
    near = make_run("second", better=0.0095)
    alike = (first.draws - near.draws).mean(axis=1)
    assert apart.min() > 0
    assert np.percentile(alike, 2.5) < 0 < np.percentile(alike, 97.5)
    p = 2 * (min((alike <= 0).sum(), (alike >= 0).sum()) + 1) / (DRAWS + 1)
    for other, gaps, told in (
        (second, apart, ("0.0100 below", "< 0.04", "these patients tell the two apart.")),
        (near, alike, ("0.0005 below", f"{p:.3f}", "these patients do not tell the two apart.")),
    ):
        below, value, verdict = told
        low, high = (
            f"{bound:.3f}".replace("-", "−") for bound in np.percentile(gaps, [2.5, 97.5])
        )
        sentence = (
            f"The next, “second”, is {below} (paired 95 % interval {low} to {high}, p {value}): "
            f"{verdict} Each recipe ran once, and the luck of training is in no interval"
        )
        for text in both(report(first, other)):
            assert sentence in text


def test_a_recipe_is_told_apart_from_recipes_only() -> None:
    far = make_run("far", pretrained="nih", better=0.02)
    for text in both(report(make_run(), far)):
        assert "The next" not in text
        assert "what was pretrained elsewhere reaches 0.7500." in text


def test_the_sections_stand_in_their_order_and_the_contents_list_them() -> None:
    html = report().html
    titles = re.findall(r"<h2>(.*?)</h2>", html)
    listed = re.findall(r'<a href="#[^"]*">(.*?)</a>', html.split("</nav>")[0])
    assert titles == listed
    words = ["Result", "Finding by finding", "curves", "Decisions", "Calibration", "Groups"]
    words += [
        "Localization",
        "Example",
        "Training",
        "Published",
        "What ran",
        "macro AUROC",
        "How to read",
        "cite",
    ]
    assert [word for word, title in zip(words, titles, strict=True) if word not in title] == []


def test_the_page_shows_radiographs_with_labels_and_predictions_and_markdown_points_to_it() -> (
    None
):
    shown = report()
    page = Page(shown.html)
    assert page.described == [
        (
            "Mass hit: radiograph 00000001_000.png with heatmap and boxes; IoBB 0.43, probability "
            "0.77"
        ),
        "Radiograph 00000001_000.png, labelled Mass; predicted highest: Mass 0.77, Hernia 0.01",
    ]
    content = base64.b64decode(page.loaded[1].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(content)).size == (64, 64)
    assert (
        f"1 test images of split patient, drawn by a seed among those with and those without a "
        f"finding, none of them picked. Beside each stand its labels and the highest probabilities "
        f"of “{STEP}”"
    ) in page.text
    assert "<strong>Mass</strong>" in shown.html
    assert "<strong>Hernia</strong>" not in shown.html
    assert (
        "The page (comparison.html) shows radiographs with their labels and predictions, 1 in all."
        in plain(shown.markdown)
    )
    assert "drawn by a seed" not in shown.markdown


def test_a_radiograph_without_a_finding_is_called_so() -> None:
    shown = write_report(compare_runs(make_run()), examples=[make_example(truth=())], overlays=[])
    assert "labelled No Finding; predicted" in Page(shown.html).described[0]


def test_whose_radiographs_these_are_is_said_beside_them() -> None:
    part = [
        Page(report(phantom=phantom).html.split(f'id="{anchor}"')[1].split("</section>")[0]).text
        for anchor in ("examples", "localization-pictures")
        for phantom in (False, True)
    ]
    for real, drawn in (part[:2], part[2:]):
        assert "Radiographs: NIH Clinical Center, https://nihcc.app.box.com" in real
        assert "These radiographs are drawn, not taken." in drawn
        assert "NIH Clinical Center" not in drawn


def test_names_of_groups_and_values_of_curves_are_never_markup() -> None:
    run = make_run()
    sex = run.evaluation.subgroups["sex"]
    groups = {HOSTILE: sex.groups["women"], "men": sex.groups["men"]}
    sex = sex.model_copy(update={"groups": groups})
    evaluation = run.evaluation.model_copy(update={"subgroups": {HOSTILE: sex, "sex": sex}})
    shown = report(dataclasses.replace(run, evaluation=evaluation))
    page = Page(shown.html)
    assert not {"script", "b", "em"} & set(page.tags)
    assert not page.open
    assert HOSTILE in page.text
    assert "<script" not in shown.markdown.replace("\\<", "")
    assert_tables_are_whole(shown.markdown)


@pytest.mark.usefixtures("all_figures")
def test_a_page_of_nine_recipes_stays_under_two_megabytes() -> None:
    runs = [make_run(f"recipe_{i}", better=i / 1000) for i in range(9)]
    noise = np.random.default_rng(0).integers(256, size=(256, 256), dtype=np.uint8)
    picture = io.BytesIO()
    Image.fromarray(noise).save(picture, format="PNG")
    # Noise is the worst picture there is.
    examples = [dataclasses.replace(make_example(), picture=picture.getvalue())] * 8
    # A hit and a miss of each boxed finding, coarser noise than any radiograph.
    coarse = np.random.default_rng(0).integers(256, size=(32, 32), dtype=np.uint8)
    picture = io.BytesIO()
    Image.fromarray(coarse).resize((512, 578)).save(picture, format="JPEG", quality=95)
    overlays = [show_overlay(make_overlay().shown, picture.getvalue())] * 16
    assert 300_000 < sum(len(overlay.picture) for overlay in overlays) < 700_000
    shown = write_report(compare_runs(*runs), examples=examples, overlays=overlays)
    assert len(shown.html) < 2_000_000


def test_losses_are_never_offered_for_comparison_between_recipes() -> None:
    other = RECIPES["best"].model_copy(update={"selection": "val_auroc"})
    for text in both(report(make_run(), make_run("best", recipe=other))):
        assert "Compare losses within a recipe, never between two." in text
        assert "lowest validation loss" in text
        assert "highest validation AUROC" in text


def test_a_split_that_leaves_images_out_says_how_many() -> None:
    run = make_run()
    small = run.split.train.model_copy(update={"images": 10_000})
    cut = dataclasses.replace(run, split=run.split.model_copy(update={"train": small}))
    for text in both(report(cut)):
        assert "whole patients, drawn at random; 101,719 images left out" in text
    for text in both(report()):
        assert "left out;" not in text
        assert "images left out" not in text


def test_the_dataset_and_the_published_sources_are_cited() -> None:
    shown = report()
    for text in (plain(shown.markdown), Page(shown.html).text):
        assert "arXiv:1705.02315" in text
        assert "Data courtesy of the NIH Clinical Center" in text
        assert all(system.title in text for system in PUBLISHED.values())
        assert all(source.title in text for source in DECISIONS.values())
    assert "https://nihcc.app.box.com/v/ChestXray-NIHCC" in Page(shown.html).links
    assert "https://nihcc.app.box.com/v/ChestXray-NIHCC" in shown.markdown


def hostile_comparison() -> Comparison:
    """Return a comparison whose names and titles are markup wherever text is foreign."""
    systems = {
        source: dataclasses.replace(system, title=HOSTILE) for source, system in PUBLISHED.items()
    }
    systems["<b>r</b>"] = dataclasses.replace(PUBLISHED[STEP], title=HOSTILE, evidence=HOSTILE)
    prepared = make_prepared().model_copy(update={"dataset": HOSTILE})
    return compare_runs(make_run("<b>r</b>"), prepared=prepared, published=systems)


@pytest.mark.usefixtures("all_figures")
def test_foreign_text_is_never_markup_in_html() -> None:
    html = write_report(
        hostile_comparison(),
        examples=[make_example(HOSTILE, truth=[HOSTILE])],
        overlays=[make_hostile_overlay()],
    ).html
    page = Page(html)
    assert not {"script", "b", "em"} & set(page.tags)
    assert not page.open
    assert HOSTILE in page.text
    # The two pictures, and their name and labels are text inside and outside its description.
    assert page.tags.count("img") == 2
    assert page.described == [
        (
            f"{HOSTILE} hit: radiograph {HOSTILE} with heatmap and boxes; IoBB 0.43, probability "
            "0.77"
        ),
        f"Radiograph {HOSTILE}, labelled {HOSTILE}; predicted highest: Mass 0.77, Hernia 0.01",
    ]
    assert "<b>r</b>" in page.text
    assert not [link for link in page.links if not link.startswith(("#", "https://"))]


def test_foreign_text_is_never_markup_in_markdown() -> None:
    markdown = write_report(
        hostile_comparison(),
        examples=[make_example(HOSTILE, truth=[HOSTILE])],
        overlays=[make_hostile_overlay()],
    ).markdown
    assert "<script" not in markdown.replace("\\<", "")
    assert "\\[z\\](javascript:1)" in markdown
    assert plain(markdown).count("`x`") == markdown.count("\\`x\\`") > 0
    assert_tables_are_whole(markdown)


def assert_tables_are_whole(markdown: str) -> None:
    """Check that each table has one width and stands between empty lines."""
    for block in markdown.split("\n\n"):
        lines = block.splitlines()
        rows = [line for line in lines if line.startswith("|")]
        if rows:
            assert rows == lines
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
            assert re.fullmatch(r"\|( ---:? \|)+", rows[1])


def test_markdown_tables_are_whole() -> None:
    shown = report(make_run(), make_run("b", kind="official"), make_run("c", kind="image"))
    assert shown.markdown.count("| --- |") >= 8
    assert_tables_are_whole(shown.markdown)
    assert "\n\n\n" not in shown.markdown
    assert not re.search(r"(?<!\\)<", shown.markdown)


def test_whom_a_p_value_and_an_interval_leave_out_is_said_once_at_the_result() -> None:
    for text in both(report(make_run(), make_run("b"))):
        result = text.split("AUROC of each of the 14 findings")[0]
        assert result.count("not adjusted for the number of pairs") == 1
        assert (
            f"Of {DRAWS} bootstrap draws of the test patients, an interval holds 95 % of those in "
            "which every finding it is about has both classes"
        ) in result
    for text in both(report()):
        assert "not adjusted for the number of pairs" not in text


def test_an_implausible_mean_of_a_source_is_marked_beside_the_recipe() -> None:
    shown = report(make_run("resnet50_frozen", recipe=RECIPES["resnet50_frozen"]), make_run())
    headline = shown.markdown.split("**Each recipe and what its source reports**")[1]
    assert "| not stated, ⚠ implausible |" in headline.split("\n## ")[0]
    assert headline.split("\n## ")[0].count("⚠") == 1


@pytest.mark.usefixtures("all_figures")
def test_who_cannot_see_a_figure_is_told_its_lowest_and_highest_number_and_where_the_rest_is() -> (
    None
):
    low = make_run("low", findings=FINDINGS[3:5], better=-0.05)
    runs = [low, make_run("high", better=0.05)]
    labels = re.findall(r'<svg [^>]*aria-label="([^"]*)"', report(*runs).html)
    # By hand: 0.60001 + 0.02 i, less 0.05 for the fourth finding and more for the last.
    area = "lowest 0.6100 (low, Infiltration), highest 0.9100 (high, Hernia)"
    auroc, roc, precision, reliability, boxes, training = labels
    assert auroc == (
        f"AUROC by finding, split patient: {area}; the tables that follow have the others."
    )
    assert area in roc
    assert "tables of AUROC by finding have the others" in roc
    assert "Average precision: 0.250 in each; the table that follows" in precision
    assert "equal mass, mean over the findings: 0.1000 in each; the table" in reliability
    # By hand: 0.92 - 0.08 i over eight findings is 0.64 in the mean, less by the threshold's share.
    assert (
        "Mean share of boxes that high finds, by overlap: IoBB from 0.576 above 0.1 to 0.064 above "
        "0.9; IoU from 0.576 above 0.1 to 0.192 above 0.7."
    ) in boxes
    assert "Validation AUROC of the epoch kept: 0.6876 in each." in training
    assert "The table What was kept has the numbers." in training


def test_the_page_needs_nothing_but_itself() -> None:
    html = report().html
    page = Page(html)
    assert [source[:22] for source in page.loaded] == [
        "data:image/jpeg;base64",
        "data:image/png;base64,",
    ]
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert not re.search(r"url\((?!#)|@import", html)
    assert str(ROOT) not in html


@pytest.mark.usefixtures("all_figures")
def test_the_page_is_well_formed_and_its_contents_lead_somewhere() -> None:
    page = Page(report(make_run(), make_run("b", kind="official")).html)
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    anchors = [link[1:] for link in page.links if link.startswith("#")]
    assert len(anchors) == page.tags.count("h2")
    assert set(anchors) <= set(page.ids)
    assert page.tags.count("h1") == 1
    assert all(
        low <= high + 1 for high, low in zip(page.headings, page.headings[1:], strict=False)
    )
    assert page.unnamed == []
    assert page.tags.count("caption") == 1
    assert page.tags.count("img") == 2
    # For each split AUROC, ROC, precision-recall, reliability and boxes found, and one figure of
    # the training.
    assert page.tags.count("svg") == 2 * 5 + 1


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb as WCAG 2 defines it."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_colour_of_the_figures_has_a_light_and_a_dark_value_that_can_be_seen() -> None:
    style = report().html.split("</style>")[0]
    for ground, colours in zip(
        ("#fdfcfa", "#15191d"), re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2], strict=True
    ):
        values = dict(re.findall(r"--([\w-]+): (#\w{6})", colours))
        assert values["paper"] == ground
        series = [values[name] for name in COLOURS.values() if name.startswith("series")]
        assert len(set(series)) == len(SERIES)
        for colour in series:
            low, high = sorted((luminance(colour), luminance(ground)))
            # WCAG 2.1, 1.4.11: what a reader must tell apart from its ground.
            assert (high + 0.05) / (low + 0.05) >= 3
    light = dict(re.findall(r"--([\w-]+): (#\w{6})", style.split("@media")[0]))
    assert [light[f"series-{i}"] for i in range(1, 10)] == list(SERIES)


def test_a_pretrained_or_leaky_network_is_nowhere_called_the_leader() -> None:
    runs = [make_run("a"), make_run("far", pretrained="nih", better=0.1)]
    runs += [make_run("shortcut", kind="image", better=0.1)]
    for text in both(report(*runs)):
        assert "Decisions of a at Youden" in text
        assert "Decisions of far" not in text
        assert "Decisions of shortcut" not in text
        told = (
            "Not shown for shortcut (LEAKY): curves, decisions by finding, reliability, groups of "
            "patients and boxes by finding."
        )
        assert text.count(told) == 1
    for text in both(report(make_run("shortcut", kind="image"))):
        assert "Not shown for" not in text


def test_what_metadata_alone_reaches_is_set_beside_the_leader() -> None:
    run = make_run()
    for better, reached, below in ((0.095, "0.6600", "0.0700"), (0.165, "0.7300", "0.0000")):
        floor = make_floor(better=better)
        gaps = run.draws - floor.draws
        low, high = np.percentile(gaps.mean(axis=1), [2.5, 97.5])
        # By hand: twice the smaller share of the draws on either side of 0, one added to both.
        sides = np.minimum((gaps <= 0).sum(axis=0), (gaps >= 0).sum(axis=0))
        above = (2 * (sides + 1) / (DRAWS + 1) < 0.05) & (gaps.mean(axis=0) > 0)
        named = name_findings(
            [f for f, sure in zip(FINDINGS, above, strict=True) if sure], among=FINDINGS
        )
        bounds = f"{low:.3f} to {high:.3f}".replace("-", "−")
        told = (
            f"In the mean of 14 findings metadata alone reaches {reached}, {STEP} 0.7300, a "
            f"difference of {below} (paired 95 % interval {bounds}, p "
        )
        one_by_one = f"(paired p below 0.05, not adjusted) in {named}."
        comparison = compare_runs(run, floors={"patient": floor})
        for text in both(write_report(comparison, examples=[], overlays=[])):
            assert told in text
            assert f"One by one these patients put {STEP} above metadata {one_by_one}" in text
    nowhere = dataclasses.replace(floor, draws=np.full_like(floor.draws, np.nan))
    comparison = compare_runs(run, floors={"patient": nowhere})
    for text in both(write_report(comparison, examples=[], overlays=[])):
        assert "a difference of 0.0000 (too few patients, or draws of them, for an inter" in text
        assert "(paired p below 0.05, not adjusted) in no finding." in text
    for text in both(write_report(compare_runs(make_run(), floors={}), examples=[], overlays=[])):
        assert "metadata alone" not in text.lower()


def test_the_same_comparison_gives_the_same_bytes() -> None:
    assert write(make_run()) == write(make_run())


def test_markdown_and_html_hold_the_same_tables() -> None:
    shown = report(make_run(), make_run("b", kind="official"))
    page = re.sub(r'<ul class="(?:examples|overlays)">.*?</ul>', "", shown.html, flags=re.DOTALL)
    page = re.sub(r" <small>(.*?)</small>", r" (\1)", page)
    cells = [
        re.sub(r"<[^>]+>", "", cell)
        for cell in re.findall(r"<t[dh](?! scope=\"col\")[^>]*>(.*?)</t[dh]>", page)
    ]
    rows = [line for line in shown.markdown.splitlines() if line.startswith("| ")]
    body = [
        row for i, row in enumerate(rows) if "---" not in row and "---" not in rows[i + 1 :][:1]
    ]
    assert any("(" in cell for cell in cells)
    assert all(
        cell.strip() in plain("\n".join(body)) for cell in cells if cell and "&" not in cell
    )


# The stage, on made-up metrics in a folder of its own.

LABELS = "phantom"
"""The version of the labels that everything in the folder is of."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder that holds what the stage reads and work in it."""
    prepared = make_prepared("phantom", listed=1_000)
    shutil.copytree(ROOT / "data/published", tmp_path / "data/published")
    # As many draws as the made-up runs have.
    params = (ROOT / "params.yaml").read_text().replace("draws: 1000", f"draws: {DRAWS}")
    (tmp_path / "params.yaml").write_text(params)
    assert prepared.label_version == LABELS
    write_json(tmp_path / "metrics/prepare.json", {**prepared.model_dump(), "dataset": "phantom"})
    sha256 = make_run().evaluation.split_sha256
    for split in {recipe.split for recipe in RECIPES.values()}:
        write_json(
            tmp_path / f"metrics/split/{split}.json", make_split(sha256=sha256).model_dump()
        )
        floor = tmp_path / f"evaluations/metadata/{split}.json"
        scores = make_floor_scores(sha256=sha256).model_copy(update={"label_version": LABELS})
        write_json(floor, scores.model_dump())
        np.save(floor.with_suffix(".npy"), make_floor().draws)
    for name, recipe in RECIPES.items():
        write_run(tmp_path, name, findings=recipe.findings)
        trained = make_training(recipe).trained.model_dump()
        write_json(tmp_path / f"metrics/{name}/train.json", trained)
        rows = ["1,0.5,0.6,,0.001", "2,0.4,0.5,0.61,1e-05"]
        (tmp_path / f"plots/{name}/history.csv").write_text(
            "\n".join(
                ["epoch,train_loss,val_loss,val_auroc,lr"]
                + (rows if recipe.epochs else ["0,0.7,0.7,0.5,0.0001"])
            )
        )
    packed = tmp_path / "data/packed/phantom"
    packed.mkdir(parents=True)
    index = make_index()
    index.to_csv(packed / "index.csv", index=False)
    np.save(
        packed / "images.npy", np.arange(len(index), dtype=np.uint8).repeat(64).reshape(-1, 8, 8)
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_index() -> pd.DataFrame:
    """Make up an index of eight images in which every other one shows a mass."""
    index = pd.DataFrame({"image": [f"{i:08d}_000.png" for i in range(8)]})
    index = index.assign(row=range(8), crc32=0, patient=1, follow_up=0, age=50, sex="F", view="PA")
    index = index.assign(**dict.fromkeys(FINDINGS, 0))
    return index.assign(Mass=[0, 1] * 4)


def write_run(folder: Path, name: str, *, findings: Sequence[str]) -> None:
    """Write what the evaluate stage and the predict stage say of a network."""
    run = make_run(name, findings=findings)
    path = folder / f"evaluations/{name}/detail.json"
    path.parent.mkdir(parents=True)
    evaluation = run.evaluation.model_copy(update={"label_version": LABELS})
    path.write_text(evaluation.model_dump_json(exclude_none=True))
    np.save(folder / f"evaluations/{name}/draws.npy", run.draws)
    localization = make_localization(findings, sha256=run.evaluation.split_sha256)
    localization = localization.model_copy(update={"label_version": LABELS})
    text = localization.model_dump_json(exclude_none=True)
    overlays = folder / f"localizations/{name}/overlays"
    overlays.mkdir(parents=True)
    overlays.with_name("localization.json").write_text(text)
    for shown in localization.shown:
        (overlays / shown.file).write_bytes(make_picture())
    plots = folder / f"plots/{name}"
    plots.mkdir(parents=True)
    for field in dataclasses.fields(run.curves):
        getattr(run.curves, field.name).to_csv(plots / f"{field.name}.csv", index=False)
    images = make_index()["image"].tolist()
    probabilities = np.linspace(0.1, 0.9, len(findings)) + np.zeros((len(images), 1))
    path = folder / f"predictions/{name}/test.csv"
    write_predictions(path, images, probabilities, findings=findings)


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def run_stage() -> None:
    main: Callable[[], None] = runpy.run_path(str(ROOT / "src/stages/compare.py"))["main"]
    main()


@pytest.mark.usefixtures("all_figures")
def test_the_stage_writes_both_files_and_ends_by_naming_the_page(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run_stage()
    assert caplog.messages[-1] == "report: reports/comparison.html"
    first = [(project / f"reports/comparison.{end}").read_bytes() for end in ("md", "html")]
    run_stage()
    again = [(project / f"reports/comparison.{end}").read_bytes() for end in ("md", "html")]
    assert first == again
    assert all(str(project).encode() not in content for content in first)


def test_every_recipe_and_then_every_pretrained_network_is_in_the_report(project: Path) -> None:
    params = read_yaml(project / "params.yaml")
    weights = {"path": "/home/me/nih.safetensors", "sha256": "ab" * 32}
    params["external"] = {"far": {"split": "patient", "weights": weights, "batch": 8}}
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    # A pretrained network has no metrics of a training and no history.
    write_run(project, "far", findings=FINDINGS)
    run_stage()
    text = (project / "reports/comparison.md").read_text()
    headline = text[text.index("**Each recipe and what its source reports**") :].split("\n\n")[1]
    names = [row.split("|")[1].strip() for row in headline.splitlines()[2:]]
    assert names == [*RECIPES, "far"]
    assert "pretrained elsewhere, not trained here (nih.safetensors (abababababab))" in headline
    assert "/home/me" not in text
    assert "| chexnet_untrained | – | none trained | – |" in text


def test_folders_of_other_recipes_are_ignored(project: Path) -> None:
    for folder in ("metrics", "evaluations", "plots"):
        shutil.copytree(project / folder / STEP, project / folder / "left_over")
    run_stage()
    assert "left_over" not in (project / "reports/comparison.md").read_text()


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        ("metrics/prepare.json", "prepare"),
        ("metrics/split/patient.json", "split"),
        (f"metrics/{STEP}/train.json", "train"),
        ("evaluations/metadata/patient.json", "fit_metadata"),
        ("evaluations/metadata/patient.npy", "fit_metadata"),
        (f"evaluations/{STEP}/detail.json", "evaluate"),
        (f"evaluations/{STEP}/draws.npy", "evaluate"),
        (f"localizations/{STEP}/localization.json", "localize"),
        (f"plots/{STEP}/roc.csv", "evaluate"),
        (f"plots/{STEP}/precision_recall.csv", "evaluate"),
        (f"plots/{STEP}/reliability.csv", "evaluate"),
        (f"plots/{STEP}/history.csv", "train"),
    ],
)
def test_a_missing_or_broken_file_is_named_with_the_stage_that_writes_it(
    project: Path, file: str, stage: str
) -> None:
    for content in (b"", b"{", b"[]", b'{"kind": 1}', b"\xff", None):
        if content is None:
            (project / file).unlink()
        else:
            (project / file).write_bytes(content)
        with pytest.raises(InputError) as caught:
            run_stage()
        message = str(caught.value)
        assert message.startswith(file)
        assert f"the {stage} stage writes it" in message
        assert "\n" not in message


def test_a_broken_row_of_the_history_is_named(project: Path) -> None:
    path = project / f"plots/{STEP}/history.csv"
    path.write_text(path.read_text().replace("0.4,0.5", "0.4,oops"))
    with pytest.raises(InputError, match=r"history\.csv:3: val_loss: .*'oops'"):
        run_stage()


@pytest.mark.parametrize(
    "draws",
    [
        np.zeros((DRAWS, len(FINDINGS) - 1)),
        np.zeros((DRAWS - 1, len(FINDINGS))),
        np.zeros(DRAWS),
        np.zeros((DRAWS, len(FINDINGS)), dtype=np.float32),
        np.array([{"a": 1}]),
    ],
)
def test_draws_of_a_wrong_shape_or_type_are_refused_in_one_line(
    project: Path, draws: NDArray[np.generic]
) -> None:
    np.save(project / f"evaluations/{STEP}/draws.npy", draws)
    with pytest.raises(InputError, match=rf"{STEP}/draws\.npy: .*the evaluate stage writes it$"):
        run_stage()


def test_a_curve_that_is_no_number_is_refused(project: Path) -> None:
    path = project / f"plots/{STEP}/roc.csv"
    path.write_text(path.read_text().replace("0.25", "oops"))
    with pytest.raises(InputError, match=r"roc\.csv: .*oops.*; the evaluate stage writes it"):
        run_stage()


def test_the_examples_are_packed_images_with_the_predictions_of_the_best_recipe(
    project: Path,
) -> None:
    run_stage()
    page = Page((project / "reports/comparison.html").read_text())
    # Two without a finding and, as there are no more, the four with one.
    sources = [source for source in page.loaded if source.startswith("data:image/png")]
    assert len(sources) == 6
    pictures = [base64.b64decode(source.split(",")[1]) for source in sources]
    rows = [int(np.asarray(Image.open(io.BytesIO(png)))[0, 0]) for png in pictures]
    for row, described in zip(rows, page.described[-6:], strict=True):
        labels = "Mass" if row % 2 else "No Finding"
        assert described.startswith(f"Radiograph {row:08d}_000.png, labelled {labels}; predicted")
        assert "Hernia 0.90, Pleural_Thickening 0.84" in described


def test_the_pictures_of_heatmaps_are_the_leaders_and_one_that_is_absent_or_broken_is_named(
    project: Path,
) -> None:
    run_stage()
    html = (project / "reports/comparison.html").read_text()
    [leader] = re.findall(r"<h3>Hits and misses of (\w+)</h3>", html)
    assert [source[:15] for source in Page(html).loaded[:3]] == ["data:image/jpeg"] * 2 + [
        "data:image/png;"
    ]
    path = Path(f"localizations/{leader}/overlays/Mass_missed_1.jpg")
    for content in (b"", b"GIF89a", make_picture()[:200], None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(InputError, match=rf"^{path}: .*; the localize stage writes it$"):
            run_stage()


def test_predictions_of_images_without_a_label_are_refused(project: Path) -> None:
    make_index()[1:].to_csv(project / "data/packed/phantom/index.csv", index=False)
    with pytest.raises(InputError, match=r"test\.csv names 1 images without a label"):
        run_stage()


SCORES = (
    f"evaluations/{STEP}/detail.json",
    f"localizations/{STEP}/localization.json",
    "evaluations/metadata/patient.json",
)


@pytest.mark.parametrize("file", SCORES)
def test_scores_of_other_test_images_are_refused(project: Path, file: str) -> None:
    path = project / file
    write_json(path, {**json.loads(path.read_text()), "split_sha256": "cd" * 32})
    with pytest.raises(InputError, match="other images than the test part"):
        run_stage()


@pytest.mark.parametrize("file", SCORES)
def test_scores_by_another_version_of_the_labels_are_refused(project: Path, file: str) -> None:
    path = project / file
    write_json(path, {**json.loads(path.read_text()), "label_version": "v2020"})
    with pytest.raises(InputError) as caught:
        run_stage()
    assert str(caught.value) == (
        f"{file}: found label_version 'v2020', expected 'phantom' as in metrics/prepare.json; run "
        "the stages after prepare again"
    )


def test_metrics_of_another_dataset_are_refused(project: Path) -> None:
    params = read_yaml(project / "params.yaml") | {"dataset": "nih"}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(InputError, match=r"is of dataset 'phantom'.*'nih'"):
        run_stage()
