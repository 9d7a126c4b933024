import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, make_index
from drawn_chest import body, film, pose
from fake_run import make_evaluation
from PIL import Image
from tiny import tiny_recipe

from chestxray14.base.notices import NOTICE
from chestxray14.base.params import read_yaml
from chestxray14.data.boxes import BOX_COLUMNS
from chestxray14.data.images import pack
from chestxray14.files.heatmaps import read_heatmaps
from chestxray14.files.likeness import find_look
from chestxray14.files.outputs import write_json
from chestxray14.files.predictions import read_predictions
from chestxray14.inference import asking, single_image
from chestxray14.inference.cli import main
from chestxray14.inference.single_image import DRAWN_NOTICE
from chestxray14.model.backbones import build_network
from chestxray14.model.trained import write_model

PX = 48
RECIPE = tiny_recipe(backbone="resnet50", resize_px=36, findings=["Mass", "Edema", "Hernia"])
BOXED = "00000004_000.png"
"""A test image with a radiologist's box."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with a random network `tiny`, evaluated, and its dataset's radiographs."""
    folder = tmp_path_factory.mktemp("project")
    params = read_yaml(ROOT / "params.yaml")
    params["datasets"]["phantom"] |= {"packed_px": PX}
    params["datasets"]["phantom"]["limits"]["views"] = None
    params["recipes"] = {"tiny": RECIPE.model_dump(mode="json") | {"views": "flip"}}
    # Other hardware, other precision: prediction and stage must agree on each.
    params["compute"] |= {"device": "cpu", "threads": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    torch.manual_seed(0)
    write_model(
        folder / "models/tiny/model.safetensors",
        build_network(RECIPE).state_dict(),
        RECIPE,
        best_epoch=1,
    )
    # As predict leaves it: what the network saw of each image.
    write_json(folder / "predictions/tiny/views.json", {"views": "flip"})
    detail = folder / "evaluations/tiny/detail.json"
    detail.parent.mkdir(parents=True)
    evaluation = make_evaluation(dict.fromkeys(RECIPE.findings, 0.75), sha256="ab" * 32)
    detail.write_text(evaluation.model_copy(update={"label_version": "phantom"}).model_dump_json())

    index = make_index(6, studies=1)
    rng = np.random.default_rng(0)
    packed = []
    (folder / "chests").mkdir()
    for name in index["image"]:
        image = Image.fromarray(rng.integers(0, 256, (140, 140), dtype=np.uint8))
        image.save(folder / "chests" / name)
        packed.append(pack(image, px=PX))
    dataset = folder / "data/packed/phantom"
    dataset.mkdir(parents=True)
    np.save(dataset / "images.npy", np.stack(packed))
    index.to_csv(dataset / "index.csv", index=False)
    boxes = [(BOXED, "Mass", 10.0, 20.0, 300.0, 400.0)]
    pd.DataFrame(boxes, columns=list(BOX_COLUMNS)).to_csv(dataset / "boxes.csv", index=False)
    parts = ["train", "val", "test", "test", "test", "test"]
    (folder / "data/splits/phantom").mkdir(parents=True)
    index[["image"]].assign(part=parts).to_csv(
        folder / "data/splits/phantom/patient.csv", index=False
    )
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a copy of the project, which is the current folder."""
    copy = Path(shutil.copytree(made, tmp_path / "project"))
    monkeypatch.chdir(copy)
    before = signal.getsignal(signal.SIGTERM)
    yield copy
    signal.signal(signal.SIGTERM, before)


def fail(*arguments: str) -> object:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


@pytest.mark.slow
def test_a_radiograph_of_the_dataset_gets_the_probabilities_that_the_predict_stage_wrote(
    project: Path,
) -> None:
    def run(*command: str) -> str:
        done = subprocess.run(
            (sys.executable, *command), cwd=project, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(str(ROOT / "src/stages/predict.py"), "tiny")
    expected, _ = read_predictions(project / "predictions/tiny/test.csv")
    heatmaps = read_heatmaps(project / "predictions/tiny/heatmaps.safetensors")
    assert BOXED in heatmaps.images
    assert set(heatmaps.images) <= set(expected.index)
    assert (heatmaps.findings, len(heatmaps.geometry.windows)) == (RECIPE.findings, 2)
    shown = json.loads((project / "predictions/tiny/views.json").read_text())
    packed = np.load(project / "data/packed/phantom/images.npy")
    # The first image is the one that is trained on.
    assert shown == {"views": "flip", "look": list(find_look([packed[0]]))}
    # Nothing but the document is on standard output, or this would be no JSON.
    document = json.loads(
        run("-m", "chestxray14", "predict", "chests", "--recipe", "tiny", "--json")
    )
    found = {Path(entry["image"]).name: entry["findings"] for entry in document["images"]}
    assert len(expected) == 4
    assert len(found) == 6
    for name, row in expected.iterrows():
        for finding, probability in row.items():
            assert found[name][finding]["raw"] == pytest.approx(probability, abs=1e-5)


def test_the_table_has_a_line_a_finding_below_the_notice(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["predict", "chests/00000001_000.png", "--recipe", "tiny"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{NOTICE} {DRAWN_NOTICE}"
    assert "chests/00000001_000.png" in lines
    assert [line.split()[0] for line in lines[-3:]] == list(RECIPE.findings)
    assert not (project / "heatmaps").exists()


def test_bad_files_are_named_the_others_answered_and_the_status_is_1(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "chests/broken.png").write_text("no image")
    (project / "chests/notes.txt").write_text("no image")
    status = fail("predict", "chests", "absent.png", "--recipe", "tiny", "--json")
    assert status == 1
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert len(document["images"]) == 6
    assert [entry["image"] for entry in document["failed"]] == ["chests/broken.png", "absent.png"]
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert errors[1] == "error: absent.png not found"


def test_the_document_is_laid_out_as_one_whatever_came_when(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "chests/broken.png").write_text("no image")
    for images in (["chests"], ["chests/00000001_000.png"], ["absent.png"]):
        with suppress(SystemExit):
            main(["predict", *images, "--recipe", "tiny", "--json", "--heatmap", "Mass"])
        text = capsys.readouterr().out
        assert text == json.dumps(json.loads(text), indent=2) + "\n"


def test_no_more_than_a_batch_is_read_ahead(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted((project / "chests").iterdir()) * 3
    (project / "chests/broken.png").write_text("no image")
    files.insert(5, project / "chests/broken.png")
    read = []

    def read_files(files: list[Path], *, px: int) -> object:
        read.extend(files)
        return single_image.read_files(files, px=px)

    monkeypatch.setattr(asking, "read_files", read_files)
    model = asking.read("tiny")
    told = asking.ask(model, files, mapped=(), output=project / "heatmaps")
    for count, each in enumerate(told):
        assert len(read) <= count + RECIPE.batch
        assert bool(each.answers) != bool(each.reason)
    assert read == files
    assert count + 1 == len(files)


def test_what_looks_like_no_training_image_is_answered_with_a_warning(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chest = Image.fromarray(film(body(), pose(), 140))
    look = find_look([film(body(seed), pose(seed), PX) for seed in range(1, 9)])
    write_json(project / "predictions/tiny/views.json", {"views": "flip", "look": look})
    chest.save("upright.png")
    chest.rotate(180).save("turned.png")
    main(["predict", "upright.png", "turned.png", "--recipe", "tiny", "--json"])
    printed = capsys.readouterr()
    upright, turned = json.loads(printed.out)["images"]
    assert upright["doubt"] is None
    assert list(turned["findings"]) == list(RECIPE.findings)
    warnings = [line for line in printed.err.splitlines() if line.startswith("warning: ")]
    assert warnings == [f"warning: {turned['doubt']}"]
    assert turned["doubt"].startswith("turned.png does not look like")


@pytest.mark.parametrize("views", [{"views": "flip"}, {"views": "flip", "look": None}])
def test_a_model_that_knows_no_look_doubts_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], views: dict[str, object]
) -> None:
    write_json(project / "predictions/tiny/views.json", views)
    main(["predict", "chests", "--recipe", "tiny", "--json"])
    printed = capsys.readouterr()
    assert {each["doubt"] for each in json.loads(printed.out)["images"]} == {None}
    assert "warning: " not in printed.err


def test_where_every_file_is_bad_the_answer_is_empty(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail("predict", "absent.png", "--recipe", "tiny", "--json") == 1
    assert json.loads(capsys.readouterr().out)["images"] == []


def test_heatmaps_are_written_for_one_finding_or_all(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = "chests/00000001_000.png"
    main(["predict", image, "--recipe", "tiny", "--heatmap", "Mass"])
    assert [f.name for f in Path("heatmaps").iterdir()] == ["00000001_000_Mass.png"]
    capsys.readouterr()
    main(["predict", image, "--recipe", "tiny", "--heatmap", "all", "--output", "o", "--json"])
    heatmaps = json.loads(capsys.readouterr().out)["images"][0]["heatmaps"]
    assert heatmaps == {f: f"o/00000001_000_{f}.png" for f in RECIPE.findings}
    for path in heatmaps.values():
        assert Image.open(path).format == "PNG"


def test_what_was_not_evaluated_has_raw_probabilities_and_says_so(
    project: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (project / "evaluations/tiny/detail.json").unlink()
    main(["predict", "chests/00000001_000.png", "--recipe", "tiny"])
    assert "* not calibrated: the raw probability" in capsys.readouterr().out
    assert "evaluations/tiny/detail.json not found" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chests", "--recipe", "none"], "models/none/model.safetensors not found"),
        (["chests", "--recipe", "tiny", "--heatmap", "mass"], "--heatmap: found 'mass', expected"),
        (["models", "--recipe", "tiny"], "no PNG, JPEG or DICOM file in models"),
    ],
)
def test_a_mistake_is_one_line(project: Path, arguments: list[str], message: str) -> None:
    line = fail("predict", *arguments)
    assert isinstance(line, str)
    assert line.startswith(f"error: {message}")
    assert "\n" not in line


def test_views_are_those_that_the_predict_stage_took_whatever_params_say_since(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = read_yaml(project / "params.yaml")
    params["recipes"]["tiny"]["views"] = "centre"
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    command = ["predict", "chests/00000001_000.png", "--recipe", "tiny", "--json"]
    found = []
    for views in ("flip", "ten_crop"):
        write_json(project / "predictions/tiny/views.json", {"views": views})
        main(command)
        document = json.loads(capsys.readouterr().out)
        assert document["views"] == views
        found.append([each["raw"] for each in document["images"][0]["findings"].values()])
    assert found[0] != found[1]


@pytest.mark.parametrize(
    "content", [None, "{}", "[]", '{"views": "all"}', '{"views": "flip", "look": [1, 2]}']
)
def test_without_what_the_predict_stage_wrote_it_is_named(
    project: Path, content: str | None
) -> None:
    path = project / "predictions/tiny/views.json"
    path.unlink() if content is None else path.write_text(content)
    line = str(fail("predict", "chests", "--recipe", "tiny"))
    assert line.startswith("error: predictions/tiny/views.json")
    assert "predict" in line.removeprefix("error: predictions/")
    assert "\n" not in line


def test_a_model_of_another_dataset_is_refused(project: Path) -> None:
    params = read_yaml(project / "params.yaml") | {"dataset": "nih"}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    line = fail("predict", "chests", "--recipe", "tiny")
    assert str(line).startswith("error: params.yaml: dataset is nih, expected the one that tiny")


@pytest.mark.slow
def test_export_writes_a_model_with_its_thresholds(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["export", "--recipe", "tiny", "--onnx", "out/tiny.onnx"])
    assert capsys.readouterr().out.startswith("out/tiny.onnx: ")
    props = {p.key: p.value for p in onnx.load("out/tiny.onnx").metadata_props}
    assert json.loads(props["thresholds"]) == dict.fromkeys(RECIPE.findings, 0.125)
    assert DRAWN_NOTICE in props["notice"]


def test_help_names_both_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail("--help") == 0
    text = capsys.readouterr().out
    assert "predict" in text
    assert "export" in text
