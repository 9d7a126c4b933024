"""Whatever a file holds, a stage succeeds or says one line, and loses nothing.

The long version, with CHESTXRAY14_LONG=1, tries a thousand files, others each time; with `-s` it ends
in a table of what came of them.
"""

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import mutations
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import tiny_network

from chestxray14.base.findings import BOXED_FINDINGS, FINDINGS, format_label
from chestxray14.base.params import read_yaml
from chestxray14.base.stage import run
from chestxray14.files.heatmaps import Heatmaps
from chestxray14.files.names import hash_names
from chestxray14.files.outputs import write_text
from chestxray14.model.batches import Part
from chestxray14.model.maps import describe_maps
from chestxray14.model.recipe import Recipe, Views
from chestxray14.training import checkpoint

LONG = os.environ.get("CHESTXRAY14_LONG") == "1"

pytestmark = pytest.mark.slow

RECIPE = "densenet121_step"
LABELS = "mine/Data_Entry_2017.csv"
MODEL = f"models/{RECIPE}/model.safetensors"

OUTPUTS = {
    "download": ("data/raw/folder.json", "data/raw/folder.origin.json"),
    "prepare": ("data/packed/folder/", "metrics/prepare.json"),
    "split": ("data/splits/folder/", "metrics/split/"),
    "train": (f"models/{RECIPE}/", f"metrics/{RECIPE}/", f"plots/{RECIPE}/", "checkpoints/"),
    "predict": (f"predictions/{RECIPE}/",),
    "evaluate": (f"evaluations/{RECIPE}/", f"metrics/{RECIPE}/", f"plots/{RECIPE}/", "out/"),
}
"""What a stage may write; everything else must stay as it was, and all of it when it refuses."""

FOREIGN = ("--predictions", "foreign/p.csv", "--labels", LABELS, "--output", "out")

Bytes = Callable[[bytes], st.SearchStrategy[mutations.Mutation]]


def fuzz(short: int, long: int) -> settings:
    """Return how many files are tried: the same few each time, or many others."""
    return settings(
        max_examples=long if LONG else short,
        derandomize=not LONG,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # one change to a file is as simple as it gets
        suppress_health_check=list(HealthCheck),
    )


def load_main(stage: str) -> Callable[[], None]:
    spec = importlib.util.spec_from_file_location(
        f"fuzzed_{stage}", ROOT / f"src/stages/{stage}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    main: Callable[[], None] = module.main
    return main


MAINS = {stage: load_main(stage) for stage in OUTPUTS}


def digest() -> dict[str, str]:
    """Return the hash of every file below the working directory but locks and private records."""
    return {
        file.as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in Path().rglob("*")
        if file.is_file() and file.suffix != ".lock" and file.parent.name not in ("seen", "logs")
    }


def attempt(stage: str, *arguments: str) -> str:
    """Run a stage in the working directory; return its line of error, empty where it succeeds."""
    before = digest()
    handler = signal.getsignal(signal.SIGTERM)
    line = ""
    try:
        with patch.object(sys, "argv", [str(ROOT / f"src/stages/{stage}.py"), *arguments]):
            run(MAINS[stage])
    except SystemExit as stop:
        line = str(stop.code)
    finally:
        signal.signal(signal.SIGTERM, handler)
    after = digest()
    if line:
        assert re.match(r"error: \S", line), line
        assert line.isprintable(), line
        assert len(line) < 1000, line
    else:
        before, after = (
            {name: sha for name, sha in each.items() if not name.startswith(OUTPUTS[stage])}
            for each in (before, after)
        )
    assert after == before, line
    return line


def attempt_all(*stages: tuple[str, ...]) -> str:
    """Run stages until one refuses; return its line, empty where all succeed."""
    return next((line for each in stages if (line := attempt(*each))), "")


def succeed(*stages: tuple[str, ...]) -> None:
    assert attempt_all(*stages) == ""


def make_raw(folder: Path) -> None:
    """Write a dataset in the Kaggle layout: 28 images of 14 patients, a list of boxes, two lists."""
    rng = np.random.default_rng(0)
    (folder / "images_001/images").mkdir(parents=True)
    rows, boxes, lists = [], [], ([], [])
    for patient in range(1, 15):
        for study in range(2):
            name = f"{patient:08d}_{study:03d}.png"
            label = rng.integers(0, 2, len(FINDINGS)) * rng.integers(0, 2)
            rows.append(
                f"{name},{format_label(label)},{study},{patient:08d},{20 + patient:03d}Y,"
                f"{'MF'[patient % 2]},{('PA', 'AP')[study]},2500,2048,0.171,0.171"
            )
            boxes.append(f"{name},{BOXED_FINDINGS[patient % 8]},{patient},20.5,300,40.25")
            lists[patient > 10].append(name)
            picture = np.add.outer(*rng.integers(0, 127, (2, 48))).astype(np.uint8)
            Image.fromarray(picture).save(folder / "images_001/images" / name)
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    )
    files = {
        "Data_Entry_2017.csv": [header, *rows],
        "BBox_List_2017.csv": ["Image Index,Finding Label,Bbox [x,y,w,h],,,", *boxes],
        "train_val_list.txt": lists[0],
        "test_list.txt": lists[1],
    }
    for name, lines in files.items():
        write_text(folder / name, "".join(f"{line}\n" for line in lines))


def make_params() -> dict[str, Any]:
    params: dict[str, Any] = read_yaml(ROOT / "params.yaml")
    params["dataset"] = "folder"
    params["datasets"]["folder"] |= {
        "path": "mine",
        "packed_px": 48,
        "max_rejected": 0.08,  # 2 of 28
        "limits": {"input_px": 32, "epochs": 2, "weights": "random", "views": None},
    }
    params["recipes"] = {RECIPE: params["recipes"][RECIPE]}
    params["evaluate"] |= {"draws": 50}
    params["compute"] |= {"device": "cpu", "threads": 1}
    own = {part: f"data/lists/{part}.txt" for part in ("train", "val", "test")}
    params["splits"] = {
        "patient": params["splits"]["patient"] | {"train": 0.4, "val": 0.3},
        "image": params["splits"]["image"],
        "official": params["splits"]["official"] | {"val": 0.3},
        "lists": {"kind": "lists", **own, "sha256": dict.fromkeys(own, "0" * 64)},
    }
    return params


def write_params(params: object) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def pin_lists() -> None:
    """Write the hashes of the own lists into params.yaml."""
    params = read_yaml(Path("params.yaml"))
    own = params["splits"]["lists"]
    for part in own["sha256"]:
        names = Path(own[part]).read_bytes().decode("utf-8-sig", "replace").split()
        own["sha256"][part] = hash_names(names)
    write_params(params)


def interrupt_training() -> None:
    """Leave the checkpoint of a training that was stopped after its first epoch of two."""
    save = checkpoint.save

    def save_and_stop(*arguments: Any, **named: Any) -> None:
        save(*arguments, **named)
        raise KeyboardInterrupt

    with patch.object(checkpoint, "save", save_and_stop), pytest.raises(AssertionError):
        attempt("train", RECIPE)  # ends with status 130, which is no line


def make_project(folder: Path) -> None:
    """Make a folder in which every stage up to evaluate has run, and one training is unfinished."""
    with contextlib.chdir(folder):
        make_raw(Path("mine"))
        write_params(make_params())
        succeed(("download",), ("prepare",), ("split", "patient"), ("split", "official"))
        split = pd.read_csv("data/splits/folder/patient.csv").groupby("part")["image"]
        for part, names in split:
            write_text(Path(f"data/lists/{part}.txt"), "".join(f"{name}\n" for name in names))
        pin_lists()
        succeed(("split", "lists"), ("train", RECIPE), ("predict", RECIPE), ("evaluate", RECIPE))
        interrupt_training()
        Path("foreign").mkdir()
        for name, part in (("p", "test"), ("q", "test"), ("v", "val")):
            shutil.copy(f"predictions/{RECIPE}/{part}.csv", f"foreign/{name}.csv")
        shutil.copy("data/lists/test.txt", "foreign/list.txt")
        succeed(("evaluate", *FOREIGN))


def draw_nothing(
    _: object, part: Part, recipe: Recipe, views: Views, **options: object
) -> Heatmaps:
    """Return maps of one cell, which say nothing."""
    geometry = describe_maps(recipe, views=views, method="grad_cam", stride=32)
    shape = (len(part), len(geometry.windows), len(recipe.findings), 1, 1)
    return Heatmaps(tuple(part.names), recipe.findings, geometry, np.zeros(shape, np.float32))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return such a project; networks have two layers, as what is in a file does not depend on it."""
    folder = tmp_path_factory.mktemp("fuzz") / "project"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        for module in ("training.fit", "model.trained"):
            name = f"chestxray14.{module}.build_network"
            stack.enter_context(patch(name, lambda _: tiny_network()))
        # Else an edit of the code while the tests run would hide the checkpoint.
        stack.enter_context(
            patch.dict(MAINS["train"].__globals__, hash_code=lambda *_, **__: "code")
        )
        # Two layers have no maps of their own.
        stack.enter_context(patch.dict(MAINS["predict"].__globals__, _draw=draw_nothing))
        make_project(folder)
        yield folder


@contextlib.contextmanager
def copied(project: Path) -> Iterator[None]:
    """Work in a copy of the project."""
    with TemporaryDirectory(dir=project.parent) as folder:
        shutil.copytree(project, folder, dirs_exist_ok=True)
        with contextlib.chdir(folder):
            yield


OUTCOMES: Counter[tuple[str, str, bool]] = Counter()


def count(what: str, kind: str, line: str) -> None:
    OUTCOMES[what, kind, bool(line)] += 1


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    """Print what was tried and what came of it, by file and by kind of damage."""
    yield
    for by in (0, 1):
        print(f"\n{('file', 'damage')[by]:<40}{'succeeded':>10}{'refused':>10}")
        for name in sorted({key[by] for key in OUTCOMES}):
            counts = [
                sum(n for key, n in OUTCOMES.items() if key[by] == name and key[2] == refused)
                for refused in (False, True)
            ]
            print(f"{name:<40}{counts[0]:>10}{counts[1]:>10}")
    print(f"{sum(OUTCOMES.values())} in all")


def mutate(data: st.DataObject, path: str, how: Bytes) -> str:
    """Change a file in the working directory; return what was done to it."""
    kind, content = data.draw(how(Path(path).read_bytes()))
    Path(path).write_bytes(content)
    return kind


@fuzz(40, 200)
@given(data=st.data())
def test_any_params_end_in_success_or_one_line(project: Path, data: st.DataObject) -> None:
    with copied(project):
        if data.draw(st.booleans()):
            params = read_yaml(Path("params.yaml"))
            kind, params = data.draw(mutations.rekeyed(params))
            write_params(params)
        else:
            kind = mutate(
                data,
                "params.yaml",
                lambda content: (
                    mutations.inserted(content)
                    | mutations.damaged(content)
                    | mutations.retyped(content)
                ),
            )
        line = attempt("split", data.draw(st.sampled_from(["patient", "image", "lists"])))
        line = line or attempt_all(("prepare",), ("evaluate", RECIPE))
        count("params.yaml", kind, line)


@fuzz(25, 120)
@given(data=st.data())
def test_any_label_file_ends_in_success_or_one_line(project: Path, data: st.DataObject) -> None:
    with copied(project):
        kind = mutate(data, LABELS, mutations.tables)
        scored = attempt("evaluate", *FOREIGN)
        line = attempt_all(
            ("download",), ("prepare",), *(("split", name) for name in ("patient", "image"))
        )
        count("label file", kind, line)
        count("label file of the scorer", kind, scored)


@fuzz(20, 80)
@given(data=st.data(), path=st.sampled_from(["mine/train_val_list.txt", "mine/test_list.txt"]))
def test_any_official_list_ends_in_success_or_one_line(
    project: Path, data: st.DataObject, path: str
) -> None:
    with copied(project):
        kind = mutate(data, path, mutations.tables)
        line = attempt_all(("download",), ("prepare",), ("split", "official"))
        count("official list", kind, line)


@fuzz(20, 80)
@given(
    data=st.data(),
    part=st.sampled_from(["train", "val", "test"]),
    pinned=st.sampled_from([0, 1, 1]),
)
def test_any_own_list_ends_in_success_or_one_line(
    project: Path, data: st.DataObject, part: str, pinned: int
) -> None:
    with copied(project):
        before = Path(f"data/lists/{part}.txt").read_text().split()
        kind = mutate(data, f"data/lists/{part}.txt", mutations.tables)
        if pinned:
            pin_lists()
        line = attempt("split", "lists")
        count("own list, its hash in params" if pinned else "own list, another hash", kind, line)
        if not pinned and not line:
            names = pd.read_csv("data/splits/folder/lists.csv").groupby("part")["image"]
            assert sorted(names.get_group(part)) == sorted(before)


@fuzz(15, 80)
@given(data=st.data())
def test_any_list_of_boxes_ends_in_success_or_one_line(project: Path, data: st.DataObject) -> None:
    with copied(project):
        kind = mutate(data, "mine/BBox_List_2017.csv", mutations.tables)
        line = attempt_all(("download",), ("prepare",))
        count("box file", kind, line)


@fuzz(30, 120)
@given(data=st.data(), name=st.sampled_from(["p.csv", "q.csv", "v.csv", "list.txt"]))
def test_any_prediction_file_ends_in_success_or_one_line(
    project: Path, data: st.DataObject, name: str
) -> None:
    more = ("--against", "foreign/q.csv", "--validation", "foreign/v.csv")
    with copied(project):
        kind = mutate(data, f"foreign/{name}", mutations.tables)
        line = attempt("evaluate", *FOREIGN, *more, "--images", "foreign/list.txt")
        count("list of the scorer" if name == "list.txt" else "prediction file", kind, line)


@fuzz(15, 60)
@given(data=st.data(), part=st.sampled_from(["train", "val", "test"]))
def test_any_predictions_of_ours_end_in_success_or_one_line(
    project: Path, data: st.DataObject, part: str
) -> None:
    with copied(project):
        kind = mutate(data, f"predictions/{RECIPE}/{part}.csv", mutations.tables)
        count("predictions of a recipe", kind, attempt("evaluate", RECIPE))


def test_parts_that_predict_other_findings_are_refused(project: Path) -> None:
    with copied(project):
        path = Path(f"predictions/{RECIPE}/train.csv")
        pd.read_csv(path).drop(columns="Fibrosis").to_csv(path, index=False)
        assert "val.csv predicts other findings than train.csv" in attempt("evaluate", RECIPE)


@fuzz(40, 150)
@given(data=st.data())
def test_any_image_is_packed_or_left_out_with_a_reason(project: Path, data: st.DataObject) -> None:
    with copied(project):
        files = sorted(Path("mine").rglob("*.png"))
        touched = data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=3, unique=True))
        kinds = {file.name: mutate(data, str(file), mutations.pictures) for file in touched}
        packed = Path("data/packed/folder")
        before = pd.read_csv(packed / "index.csv", index_col="image")
        line = attempt_all(("download",), ("prepare",))
        if line:
            for kind in kinds.values():
                count("PNG, one of three that are too many", kind, line)
            assert len(touched) == 3
            assert line.startswith(
                "error: 3 of 28 listed images cannot be read, more than max_rej"
            )
            return
        rejected = pd.read_csv(packed / "rejected.csv", index_col="image")["reason"]
        index = pd.read_csv(packed / "index.csv", index_col="image")
        for name, kind in kinds.items():
            count("PNG", kind, rejected.get(name, ""))
        assert set(rejected.index) <= set(kinds)
        assert all(name in reason for name, reason in rejected.items())
        assert {name for name, kind in kinds.items() if kind in UNREADABLE} <= set(rejected.index)
        assert sorted([*index.index, *rejected.index]) == sorted(before.index)
        alone = index.index.difference(kinds)
        pd.testing.assert_frame_equal(index.loc[alone], before.loc[alone])
        # A lossless copy in another mode shows the same picture, and so does a PNG whose checksums
        # still fit: no damage goes unseen. A JPEG has no checksum.
        for name, kind in kinds.items():
            if kind in LOSSLESS and name in index.index:
                assert index.loc[name, "crc32"] == before.loc[name, "crc32"], kind
        succeed(("split", "patient"))


def test_a_dataset_of_which_nothing_can_be_read_is_refused_at_any_share(project: Path) -> None:
    with copied(project):
        params = read_yaml(Path("params.yaml"))
        params["datasets"]["folder"]["max_rejected"] = 1.0
        write_params(params)
        for file in Path("mine").rglob("*.png"):
            file.write_bytes(b"")
        line = attempt_all(("download",), ("prepare",))
        assert line.startswith(
            "error: 28 of 28 listed images cannot be read, none is left; the fi"
        )


UNREADABLE = ("empty", "another file")
LOSSLESS = (
    *("bit flips", "a piece lost", "a piece inserted", "a piece twice", "zeros", "cut short"),
    # Of 16 bits the range in use is spread: the same picture in other greys.
    *("mode LA", "mode RGB", "mode RGBA"),
)


@fuzz(20, 80)
@given(data=st.data())
def test_any_checkpoint_ends_in_the_same_bytes_or_one_line(
    project: Path, data: st.DataObject
) -> None:
    with copied(project):
        (path,) = Path("checkpoints").glob("*/last.safetensors")
        model = Path(MODEL).read_bytes()
        kind = mutate(data, str(path), mutations.damaged)
        line = attempt("train", RECIPE)
        count("checkpoint", kind, line)
        assert Path(MODEL).read_bytes() == model
        assert line or not path.parent.exists()  # it was looked at, and training is finished


@fuzz(20, 80)
@given(data=st.data())
def test_any_model_file_predicts_the_same_or_ends_in_one_line(
    project: Path, data: st.DataObject
) -> None:
    with copied(project):
        before = digest()
        kind = mutate(data, MODEL, mutations.damaged)
        line = attempt("predict", RECIPE)
        count("model file", kind, line)
        assert {name: sha for name, sha in digest().items() if name != MODEL} == {
            name: sha for name, sha in before.items() if name != MODEL
        }
