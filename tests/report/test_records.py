"""The stage: what it reads, what it refuses, and that it writes the same bytes again."""

import json
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
from fake_extras import make_expert_scores, make_localization, make_outlined
from fake_run import DRAWS, STEP, make_floor, make_prepared, make_run, make_split
from numpy.typing import NDArray
from page import Page
from PIL import Image

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import read_yaml
from chestxray14.files.experts import write_sets
from chestxray14.files.heatmaps import Geometry, Heatmaps, Window, write_heatmaps
from chestxray14.files.predictions import write_predictions
from chestxray14.files.skipped import write_skipped
from chestxray14.scoring.curves import roc_table
from chestxray14.scoring.evaluation import Estimate
from chestxray14.scoring.experts import ExpertScoring, write_experts
from chestxray14.scoring.metadata_floor import FloorScores


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
    sha256 = run.split.test.sha256
    written = {"localization": make_localization(sha256), "chestx_det": make_outlined(sha256)}
    for kind, record in written.items():
        path = overlays.with_name(f"{kind}.json")
        path.write_text(record.model_dump_json(exclude_none=True))
    for word in ("hit", "missed"):
        Image.new("RGB", (64, 72), (90, 90, 90)).save(overlays / f"Mass_{word}_1.jpg")
    plots = folder / f"plots/{name}"
    plots.mkdir(parents=True)
    for kind, table in run.curves.items():
        table.to_csv(plots / f"{kind}.csv", index=False)
    assert run.trained is not None
    write_json(folder / f"metrics/{name}/train.json", run.trained.model_dump(exclude_none=True))
    write_json(folder / f"predictions/{name}/views.json", {"views": "centre"})
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
    # A false alarm of the one finding that varies and is always called, two boxes, eight at random.
    assert len(page.all("src")) == 1 + 2 + 8
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
        (f"localizations/{STEP}/chestx_det.json", "localize"),
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
    # ChestX-Det is not in every dataset.
    gone = () if file.endswith("chestx_det.json") else (None,)
    for content in (b"", b"{", b"[]", b'{"kind": 1}', b"\xff", *gone):
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
    f"localizations/{STEP}/chestx_det.json",
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
    content = json.loads(path.read_text())
    content.get("localization", content)[key] = value
    write_json(path, content)
    with pytest.raises(InputError, match=message):
        run_stage()


def test_metrics_of_another_dataset_are_refused(project: Path) -> None:
    params = read_yaml(project / "params.yaml") | {"dataset": "nih"}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(InputError, match=r"is of dataset 'phantom'.*'nih'"):
        run_stage()


@pytest.mark.parametrize(
    ("recipes", "message"),
    [([], "recipes is empty"), (["best"], "every recipe is skipped; best: no labels of Mass")],
)
def test_where_nothing_ran_there_is_nothing_to_compare(
    project: Path, recipes: list[str], message: str
) -> None:
    params = read_yaml(project / "params.yaml")
    params["recipes"] = {name: params["recipes"][name] for name in recipes}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    write_skipped("no labels of Mass", project / "evaluations/best/detail.json")
    with pytest.raises(InputError, match=message):
        run_stage()


def test_predictions_of_images_without_a_label_are_refused(project: Path) -> None:
    make_index()[1:].to_csv(project / "data/packed/phantom/index.csv", index=False)
    with pytest.raises(InputError, match=r"test\.csv names 1 images without a label"):
        run_stage()


def test_radiologists_of_whom_too_few_patients_have_any_finding_are_told_so(project: Path) -> None:
    for name in (STEP, "best"):
        folder = project / f"evaluations/{name}"
        no_curve = roc_table(np.empty((0, 0)), np.empty((0, 0)), findings=())
        few = ExpertScoring({"Mass": make_expert_scores(None)}, None, no_curve)
        write_experts(folder, {"panel": few})
    run_stage()
    page = Page((project / "reports/comparison.html").read_text())
    assert "too few patients with any finding" in page.sections["experts"]
