import dataclasses
import json
import re
import runpy
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from fake_run import PUBLISHED, RECIPES, STEP, make_prepared, make_run, make_split, make_training

from chestxray14.comparison import Comparison, compare
from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.params import read_yaml
from chestxray14.report import Report, write_report
from chestxray14.results import Run

HOSTILE = "<script>alert(1)</script> | `x` *y* [z](javascript:1) \"q\" 'r' & $m$ _u_"


def report(*runs: Run, phantom: bool = False) -> Report:
    prepared = make_prepared("phantom" if phantom else "kaggle")
    return write_report(compare(prepared, runs or (make_run(),), PUBLISHED))


class Page(HTMLParser):
    """What a browser would see: tags, ids, links, text and whether every tag is closed."""

    VOID = frozenset({"meta", "wbr", "path", "use", "rect"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = {name: value or "" for name, value in attrs}
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if "href" in named else []
        self.loaded += [named[name] for name in ("src", "srcset", "data") if name in named]
        if tag not in self.VOID:
            self.open.append(tag)

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
        f"{STEP} reaches a macro AUROC of 0.7300 and a micro AUROC of 0.8124, on 200 test images "
        "of 50 patients (nih, split patient)."
    )
    for text in (plain(shown.markdown), Page(shown.html).text):
        assert sentence in text
    row = next(line for line in shown.markdown.splitlines() if line.startswith(f"| {STEP} |"))
    assert [cell.strip() for cell in row.split("|")[3:10]] == [
        "14",
        "0.7300",
        "0.8124",
        "0.8454",
        "0.8878",
        "−0.1154",
        "−0.0754",
    ]


def test_no_difference_is_printed_on_the_phantom_and_a_sentence_says_why() -> None:
    shown = report(phantom=True)
    for text in (plain(shown.markdown), Page(shown.html).text):
        assert f"No difference is shown for {STEP}: these radiographs are drawn" in text
        assert not re.search(r"[+−]0\.\d{4}", text)
    assert "*0.8454*" in shown.markdown
    assert 'class="numeric apart">0.8454<' in shown.html


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
        assert "A dash: not predicted, or not to be ranked." in text
    assert f"| {STEP} | patient | 11 of 14 |" in shown.markdown
    for text in (plain(report().markdown), Page(report().html).text):
        assert "Not scored" not in text
        assert "A dash" not in text
        assert "A mean over other findings" not in text


def test_a_leaky_run_is_called_so_wherever_it_is_named() -> None:
    shown = report(make_run("shortcut", kind="image"))
    for text in (plain(shown.markdown), Page(shown.html).text):
        assert text.count("shortcut") == text.count("shortcut (LEAKY)") > 0
        assert "7 patients are on more than one side" in text
    assert "shortcut (LEAKY)</text>" in shown.html


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
        "4 networks were scored on 200 test images of 50 patients (nih, split patient). Over the "
        "findings that all of them score (8 of 14) the recipe “high” has the highest macro AUROC, "
        "0.6800; the other recipes reach 0.6600 to 0.6700; what was pretrained elsewhere reaches "
        "0.6900."
    )
    leaky = (
        "2 networks were scored on 200 test images of 50 patients (nih, split image (LEAKY)). Over "
        "the findings that all of them score (14 of 14) they reach a macro AUROC of 0.7800 to "
        "0.8300, too high on purpose"
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
        assert "they reach a macro AUROC of 0.7300." in text
        assert "pretrained elsewhere, not trained here (nih)" in text


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
    assert "https://nihcc.app.box.com/v/ChestXray-NIHCC" in Page(shown.html).links
    assert "https://nihcc.app.box.com/v/ChestXray-NIHCC" in shown.markdown


def hostile_comparison() -> Comparison:
    """Return a comparison whose names and titles are markup wherever text is foreign."""
    systems = {
        source: dataclasses.replace(system, title=HOSTILE) for source, system in PUBLISHED.items()
    }
    systems["<b>r</b>"] = dataclasses.replace(PUBLISHED[STEP], title=HOSTILE, evidence=HOSTILE)
    prepared = make_prepared().model_copy(update={"dataset": HOSTILE})
    return compare(prepared, [make_run("<b>r</b>")], systems)


def test_foreign_text_is_never_markup_in_html() -> None:
    html = write_report(hostile_comparison()).html
    page = Page(html)
    assert not {"script", "b", "em", "img"} & set(page.tags)
    assert not page.open
    assert HOSTILE in page.text
    assert "<b>r</b>" in page.text
    assert not [link for link in page.links if not link.startswith(("#", "https://"))]


def test_foreign_text_is_never_markup_in_markdown() -> None:
    markdown = write_report(hostile_comparison()).markdown
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
    assert "<" not in shown.markdown


def test_the_page_needs_nothing_but_itself() -> None:
    html = report().html
    page = Page(html)
    assert not page.loaded
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not re.search(r"url\((?!#)|@import", html)
    assert str(ROOT) not in html


def test_the_page_is_well_formed_and_its_contents_lead_somewhere() -> None:
    page = Page(report(make_run(), make_run("b", kind="official")).html)
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    anchors = [link[1:] for link in page.links if link.startswith("#")]
    assert len(anchors) == page.tags.count("h2")
    assert set(anchors) <= set(page.ids)
    assert page.tags.count("h1") == 1
    # One figure for each split and one of the training.
    assert page.tags.count("svg") == 3


def test_the_same_comparison_gives_the_same_bytes() -> None:
    assert report(phantom=True) == report(phantom=True)


def test_markdown_and_html_hold_the_same_tables() -> None:
    shown = report(make_run(), make_run("b", kind="official"))
    cells = [
        re.sub(r"<[^>]+>", "", cell)
        for cell in re.findall(r"<t[dh](?! scope=\"col\")[^>]*>(.*?)</t[dh]>", shown.html)
    ]
    rows = [line for line in shown.markdown.splitlines() if line.startswith("| ")]
    body = [
        row for i, row in enumerate(rows) if "---" not in row and "---" not in rows[i + 1 :][:1]
    ]
    assert cells
    assert all(
        cell.strip() in plain("\n".join(body)) for cell in cells if cell and "&" not in cell
    )


# The stage, on made-up metrics in a folder of its own.


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder that holds what the stage reads and work in it."""
    prepared = make_prepared("phantom", listed=1_000)
    shutil.copytree(ROOT / "data/published", tmp_path / "data/published")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    write_json(tmp_path / "metrics/prepare.json", {**prepared.model_dump(), "dataset": "phantom"})
    for split in ("patient", "small"):
        content = make_split(sha256=make_run().evaluated.split_sha256).model_dump()
        write_json(tmp_path / f"metrics/split/{split}.json", content)
    for name, recipe in RECIPES.items():
        run = make_run(findings=recipe.findings)
        trained = make_training(recipe).trained.model_dump()
        write_json(tmp_path / f"metrics/{name}/train.json", trained)
        write_json(tmp_path / f"metrics/{name}/test.json", run.evaluated.model_dump())
        rows = ["1,0.5,0.6,,0.001", "2,0.4,0.5,0.61,1e-05"]
        history = tmp_path / f"plots/{name}/history.csv"
        history.parent.mkdir(parents=True)
        history.write_text(
            "\n".join(
                ["epoch,train_loss,val_loss,val_auroc,lr"]
                + (rows if recipe.epochs else ["0,0.7,0.7,0.5,0.0001"])
            )
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def run_stage() -> None:
    main: Callable[[], None] = runpy.run_path(str(ROOT / "src/stages/compare.py"))["main"]
    main()


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
    # A pretrained network has scores and nothing else.
    write_json(project / "metrics/far/test.json", make_run().evaluated.model_dump())
    run_stage()
    text = (project / "reports/comparison.md").read_text()
    headline = text[text.index("**Each recipe and what its source reports**") :].split("\n\n")[1]
    names = [row.split("|")[1].strip() for row in headline.splitlines()[2:]]
    assert names == [*RECIPES, "far"]
    assert "pretrained elsewhere, not trained here (nih.safetensors (abababababab))" in headline
    assert "/home/me" not in text
    assert "| chexnet_untrained | – | none trained | – |" in text


def test_folders_of_other_recipes_are_ignored(project: Path) -> None:
    shutil.copytree(project / f"metrics/{STEP}", project / "metrics/left_over")
    run_stage()
    assert "left_over" not in (project / "reports/comparison.md").read_text()


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        ("metrics/prepare.json", "prepare"),
        ("metrics/split/patient.json", "split"),
        (f"metrics/{STEP}/train.json", "train"),
        (f"metrics/{STEP}/test.json", "evaluate"),
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


def test_scores_of_other_test_images_are_refused(project: Path) -> None:
    path = project / f"metrics/{STEP}/test.json"
    write_json(path, {**json.loads(path.read_text()), "split_sha256": "cd" * 32})
    with pytest.raises(InputError, match="other images than the test part"):
        run_stage()


def test_metrics_of_another_dataset_are_refused(project: Path) -> None:
    params = read_yaml(project / "params.yaml") | {"dataset": "nih"}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(InputError, match=r"is of dataset 'phantom'.*'nih'"):
        run_stage()
