import base64
import hashlib
import json
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from fake_run import DRAWS, RECIPES, STEP, make_floor, make_prepared, make_run, make_split, tell
from numpy.typing import NDArray
from page import Page
from PIL import Image

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import read_yaml
from chestxray14.files.experts import write_sets
from chestxray14.files.heatmaps import Geometry, Heatmaps, Window, write_heatmaps
from chestxray14.files.predictions import write_predictions
from chestxray14.localization.record import THRESHOLDS, Localization, Overlap, Pointing, Shown
from chestxray14.report.report import write_report
from chestxray14.report.results import Run
from chestxray14.report.svg import COLOURS
from chestxray14.scoring.evaluation import Estimate
from chestxray14.scoring.metadata_floor import FloorScores

HOSTILE = "<script>alert(1)</script> | `x` *y* [z](javascript:1) & $m$ _u_"


def opening(*runs: Run) -> str:
    """Return the first paragraph of the Markdown's result."""
    text = write_report(tell(*runs)).markdown
    return text[text.index("## Result") :].split("\n\n")[1]


# The message follows from the numbers.


def test_a_clear_lead_names_leader_next_gap_and_certainty() -> None:
    text = opening(make_run("best"), make_run("next", better=-0.1))
    assert "best has the highest" in text
    assert "ahead of the next, next, by 0.1" in text
    assert re.search(r"p = 0\.\d\d\d\)", text)
    assert "do not tell" not in text


def test_a_tie_says_that_patients_do_not_tell_and_from_whom() -> None:
    runs = (
        make_run("best", spread=0.06),
        make_run("next", better=-0.002, spread=0.06),
        make_run("far", better=-0.2),
    )
    text = opening(*runs)
    assert "do not tell it from next" in text
    assert "ahead" not in text
    assert "far" not in text


def test_a_recipe_alone_has_no_next() -> None:
    text = opening(make_run("lonely"))
    assert "lonely is the only recipe" in text
    assert "next" not in text


def test_too_few_patients_claim_nothing_of_the_order() -> None:
    runs = make_run("best", patients=4), make_run("next", better=-0.1, patients=4)
    text = opening(*runs)
    assert "too few" in text
    assert "ahead" not in text
    assert "p =" not in text


def test_a_recipe_of_fewer_findings_that_is_ahead_over_them_is_said_to_be() -> None:
    few = make_run("few", findings=FINDINGS[:7], better=0.1)
    for others in ([], [make_run("next", better=-0.1)]):
        text = opening(make_run("best"), few, *others)
        assert "best has the highest" in text
        assert "Over the 7 findings that few scores, that is ahead" in text
        assert ("ahead of the next, next" in text) is bool(others)


def test_the_floor_is_beaten_or_not() -> None:
    run = make_run(spread=0.06)
    told = [
        write_report(tell(run, floor=floor)).markdown
        for floor in (make_floor(), make_floor(better=0.1))
    ]
    assert ["not told from nothing" in text for text in told] == [False, True]


def test_a_leaky_control_is_a_row_and_a_sentence_beside_its_twin() -> None:
    runs = make_run(STEP), make_run("leak", kind="image", better=0.05)
    text = write_report(tell(*runs)).markdown
    rows = [line for line in text.splitlines() if line.startswith("| leak (LEAKY)")]
    assert len(rows) == 1
    assert len(re.findall(r"leak \(LEAKY\) reaches 0\.\d+ on patients", text)) == 1
    assert f"{STEP}, the same recipe with patients kept apart" in text


def test_findings_above_metadata_are_those_that_holm_leaves() -> None:
    told = tell(make_run(better=-0.04, spread=0.005))
    gaps = {finding: told.first.above_floor[finding] for finding in FINDINGS}
    above = [finding for finding, gap in gaps.items() if gap.told_apart and gap.value > 0]
    assert above
    assert len(above) < 14
    text = write_report(told).markdown
    assert f"above metadata alone in {len(above)} of 14" in text


@pytest.mark.parametrize(
    ("patients", "told"), [(19, "19 (too few)"), (20, "20 (few)"), (39, "39 (few)"), (40, "40")]
)
def test_few_patients_are_called_few(patients: int, told: str) -> None:
    text = write_report(tell(make_run(patients=patients))).markdown
    assert text.count(f" | {told} | ") == 14


def test_a_finding_that_no_test_image_shows_is_named_and_the_macro_is_over_the_others() -> None:
    run = make_run(findings=FINDINGS[:-1])
    evaluation = run.evaluation.model_copy(update={"one_class": ("Hernia",)})
    text = write_report(tell(Run(**{**vars(run), "evaluation": evaluation}))).markdown
    assert re.search(r"Hernia: the macro AUROC is over the 13 others", text)


# The page.


def test_the_page_is_whole_closed_named_and_loads_nothing_from_elsewhere() -> None:
    page = Page(write_report(tell(make_run("best"), make_run("next", better=-0.1))).html)
    assert page.open == []
    ids = [named["id"] for tag, named in page.attributes if "id" in named]
    assert len(ids) == len(set(ids))
    links = [href for href in page.all("href") if href.startswith("#") and len(href) < 20]
    assert {link[1:] for link in links} <= set(ids)
    assert all(source.startswith("data:") for source in page.all("src"))
    for tag, named in page.attributes:
        if tag == "svg":
            assert named["role"] == "img"
            assert named["aria-label"]
        if tag == "table":
            assert named["aria-labelledby"] in ids
        if tag == "img":
            assert named["alt"]
    assert page.visible.count("h1") == 1
    assert page.visible.count("table") <= 12
    assert page.words <= 5_000


def test_no_script_runs_but_the_pages_own() -> None:
    html = write_report(tell(make_run())).html
    [script] = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert "script-src 'unsafe-inline'" not in policy[1]


def test_every_colour_of_the_figures_has_a_light_and_a_dark_one_and_there_is_a_print_style() -> (
    None
):
    html = write_report(tell(make_run())).html
    for name in COLOURS.values():
        assert len(re.findall(rf"--{name}: #", html)) >= 2
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_the_markdown_is_short_and_its_tables_are_rectangular() -> None:
    runs = [make_run(f"recipe{i}", better=-i / 100) for i in range(12)]
    text = write_report(tell(*runs)).markdown
    assert len(text.splitlines()) <= 100
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_hostile_names_are_text_in_both() -> None:
    run = make_run()
    told = tell(Run(**{**vars(run), "name": HOSTILE}), make_run("other", better=-0.1))
    report = write_report(told)
    assert "<script>alert" not in report.html
    assert Page(report.html).open == []
    assert "\\<script\\>" in report.markdown


def test_published_numbers_stand_in_the_first_figure_only_where_they_compare() -> None:
    drawn, real = (
        write_report(tell(make_run(), prepared=make_prepared(source))).html
        for source in ("phantom", "kaggle")
    )
    figure = re.compile(r'<div class="first">.*?</svg>', re.DOTALL)
    for html, there in ((drawn, False), (real, True)):
        found = figure.search(html)
        assert found is not None
        assert ("Rajpurkar et al. 2017" in found[0]) is there
    assert "Drawn radiographs" in drawn
    assert "Drawn radiographs" not in real


# The stage.


def make_localization(sha256: str) -> Localization:
    shares = {"mean": 0.5, "Mass": 0.5}
    overlap = Overlap(
        accuracy=shares, random=shares, centre=shares, afp={}, false_positives_per_image={}
    )
    shown = [
        Shown(
            file=f"Mass_{word}_1.jpg",
            image="00000001_000.png",
            finding="Mass",
            hit=word == "hit",
            probability=0.7,
            iobb=0.4,
        )
        for word in ("hit", "missed")
    ]
    pointing = Pointing(accuracy=shares, random=shares, centre=shares)
    return Localization(
        method="cam",
        label_version="phantom",
        split_sha256=sha256,
        grid_px=128,
        images=8,
        boxes=8,
        left_out={},
        findings={},
        iobb={str(t): overlap for t in THRESHOLDS["IoBB"]},
        iou={str(t): overlap for t in THRESHOLDS["IoU"]},
        pointing=pointing,
        holds_centre=pointing,
        found={"mean": Estimate(value=0.5, low=0.4, high=0.6), "Mass": Estimate(value=0.5)},
        shown=shown,
    )


def make_index() -> pd.DataFrame:
    """Make up an index of eight images in which every other one shows a mass."""
    index = pd.DataFrame({"image": [f"{i:08d}_000.png" for i in range(8)]})
    index = index.assign(row=range(8), crc32=0, patient=1, follow_up=0, age=50, sex="F", view="PA")
    index = index.assign(**dict.fromkeys(FINDINGS, 0))
    return index.assign(Mass=[0, 1] * 4)


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_run(folder: Path, name: str, *, better: float) -> None:
    """Write what the stages say of a recipe."""
    run = make_run(name, better=better)
    evaluation = run.evaluation.model_copy(update={"label_version": "phantom"})
    write_json(
        folder / f"evaluations/{name}/detail.json", json.loads(evaluation.model_dump_json())
    )
    np.save(folder / f"evaluations/{name}/draws.npy", run.scored.draws)
    write_json(folder / f"evaluations/{name}/experts.json", {})
    overlays = folder / f"localizations/{name}/overlays"
    overlays.mkdir(parents=True)
    text = make_localization(run.split.test.sha256).model_dump_json(exclude_none=True)
    overlays.with_name("localization.json").write_text(text)
    for word in ("hit", "missed"):
        Image.new("RGB", (64, 72), (90, 90, 90)).save(overlays / f"Mass_{word}_1.jpg")
    plots = folder / f"plots/{name}"
    plots.mkdir(parents=True)
    for kind, table in run.curves.items():
        table.to_csv(plots / f"{kind}.csv", index=False)
    assert run.trained is not None
    write_json(folder / f"metrics/{name}/train.json", run.trained.model_dump(exclude_none=True))
    names = make_index()["image"].tolist()
    scores = np.linspace(0.1, 0.9, 14) + np.linspace(0, 0.08, 8)[:, None]
    write_predictions(folder / f"predictions/{name}/test.csv", names, scores, findings=FINDINGS)
    geometry = Geometry(
        method="cam",
        stride=16,
        first=7.5,
        resize_px=32,
        input_px=32,
        windows=(Window(left=0, top=0, mirrored=False),),
    )
    maps = np.random.default_rng(0).random((8, 1, 14, 2, 2)).astype(np.float32)
    write_heatmaps(
        folder / f"predictions/{name}/heatmaps.safetensors",
        Heatmaps(tuple(names), FINDINGS, geometry, maps),
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder in which two recipes of the phantom ran, and work in it."""
    params = read_yaml(ROOT / "params.yaml")
    params["recipes"] = {name: params["recipes"][name] for name in (STEP, "best")}
    params["evaluate"]["draws"] = DRAWS
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    shutil.copytree(ROOT / "data/published", tmp_path / "data/published")
    prepared = make_prepared().model_copy(update={"dataset": "phantom"})
    write_json(tmp_path / "metrics/prepare.json", prepared.model_dump())
    sha256 = make_run().split.test.sha256
    split = make_split(sha256=sha256).model_copy(update={"label_version": "phantom"})
    write_json(tmp_path / "metrics/split/patient.json", split.model_dump())
    floor = make_floor()
    estimates = {name: Estimate(value=value) for name, value in floor.values.items()}
    scores = FloorScores(
        estimates={"macro": Estimate(value=0.5), **estimates},
        patients=dict(floor.patients),
        split_sha256=sha256,
        label_version="phantom",
    )
    write_json(tmp_path / "evaluations/metadata/patient.json", scores.model_dump())
    np.save(tmp_path / "evaluations/metadata/patient.npy", floor.draws)
    for name, better in ((STEP, -0.1), ("best", 0.0)):
        write_run(tmp_path, name, better=better)
    packed = tmp_path / "data/packed/phantom"
    packed.mkdir(parents=True)
    make_index().to_csv(packed / "index.csv", index=False)
    pixels = np.arange(8, dtype=np.uint8).repeat(64).reshape(-1, 8, 8)
    np.save(packed / "images.npy", pixels)
    write_sets(packed, [])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_stage() -> None:
    main: Callable[[], None] = runpy.run_path(str(ROOT / "src/stages/compare.py"))["main"]
    main()


def test_the_stage_writes_both_files_the_same_bytes_again_without_a_path_of_the_machine(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run_stage()
    assert caplog.messages[-1] == "report: reports/comparison.html"
    first = [(project / f"reports/comparison.{end}").read_bytes() for end in ("md", "html")]
    run_stage()
    assert first == [
        (project / f"reports/comparison.{end}").read_bytes() for end in ("md", "html")
    ]
    assert all(str(project).encode() not in content for content in first)
    page = Page(first[1].decode())
    assert page.open == []
    # A false alarm and a miss of the one finding that varies, two boxes and eight at random.
    assert len(page.all("src")) == 2 + 2 + 8
    assert set(page.all("data-finding")) == {"Mass", ""}


def test_what_was_pretrained_elsewhere_is_in_the_report_without_a_training(project: Path) -> None:
    params = read_yaml(project / "params.yaml")
    weights = {"path": "/home/me/nih.safetensors", "sha256": "ab" * 32}
    params["external"] = {"far": {"split": "patient", "weights": weights, "batch": 8}}
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    write_run(project, "far", better=0.1)
    for left in ("metrics/far", "localizations/far"):
        shutil.rmtree(project / left)
    run_stage()
    rows = (project / "reports/comparison.md").read_text().splitlines()
    [row] = [row for row in rows if row.startswith("| far |")]
    assert "nih.safetensors (abababababab)" in row
    assert "/home/me" not in row
    # It leads no ranking, however high.
    assert next(row for row in rows if " has the highest" in row).startswith("best ")


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
        (f"evaluations/{STEP}/experts.json", "evaluate"),
        (f"localizations/{STEP}/localization.json", "localize"),
        ("localizations/best/overlays/Mass_hit_1.jpg", "localize"),
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


@pytest.mark.parametrize(
    "draws",
    [
        np.zeros((DRAWS, len(FINDINGS) - 1)),
        np.zeros((DRAWS - 1, len(FINDINGS))),
        np.zeros((DRAWS, len(FINDINGS)), dtype=np.float32),
        np.array([{"a": 1}]),
    ],
)
def test_draws_of_a_wrong_shape_or_type_are_refused(
    project: Path, draws: NDArray[np.generic]
) -> None:
    np.save(project / f"evaluations/{STEP}/draws.npy", draws)
    with pytest.raises(InputError, match=rf"{STEP}/draws\.npy: .*the evaluate stage writes it$"):
        run_stage()


SCORES = (
    f"evaluations/{STEP}/detail.json",
    f"localizations/{STEP}/localization.json",
    "evaluations/metadata/patient.json",
)


@pytest.mark.parametrize("file", SCORES)
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("split_sha256", "cd" * 32, "other images than the test part"),
        ("label_version", "v2020", "found label_version 'v2020', expected 'phantom'"),
    ],
)
def test_scores_of_other_images_or_labels_are_refused(
    project: Path, file: str, key: str, value: str, message: str
) -> None:
    path = project / file
    write_json(path, {**json.loads(path.read_text()), key: value})
    with pytest.raises(InputError, match=message):
        run_stage()


def test_metrics_of_another_dataset_are_refused(project: Path) -> None:
    params = read_yaml(project / "params.yaml") | {"dataset": "nih"}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(InputError, match=r"is of dataset 'phantom'.*'nih'"):
        run_stage()


def test_predictions_of_images_without_a_label_are_refused(project: Path) -> None:
    make_index()[1:].to_csv(project / "data/packed/phantom/index.csv", index=False)
    with pytest.raises(InputError, match=r"test\.csv names 1 images without a label"):
        run_stage()


def test_every_recipe_of_the_project_can_be_told() -> None:
    runs = [make_run(name, findings=recipe.findings) for name, recipe in RECIPES.items()]
    text = write_report(tell(*runs)).markdown
    assert all(f"\n| {name} |" in text for name in RECIPES)


def test_flat_images_skipped_steps_and_batches_in_pieces_are_said() -> None:
    run = make_run()
    assert run.trained is not None
    changes = {"device": "cuda", "precision": "fp16", "images_at_once": 8, "skipped_steps": 3}
    run = Run(**{**vars(run), "trained": run.trained.model_copy(update=changes)})
    names = [f"0000000{i}_000.png" for i in range(7)]
    prepared = make_prepared().model_copy(update={"flat": 7, "flat_images": ", ".join(names[:5])})
    html = write_report(tell(run, prepared=prepared)).html
    assert "fp16, 3 steps skipped, batch normalisation by pieces of 8 images" in html
    assert [name for name in names if name in html] == names[:5]
    assert "next to nothing" not in write_report(tell(make_run())).html
