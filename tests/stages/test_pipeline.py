"""The DAG as a whole, on a tiny drawn cohort and on the real sample."""

import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dvc.api
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from benchmarks.recipes import as_override
from conftest import ROOT
from dvc.repo import Repo
from fake_kaggle import KEY, USER, FakeKaggle, serve
from PIL import Image
from projects import commit, make_checkout
from safetensors.torch import load_file, save_file
from torchxrayvision.models import DenseNet

from chestxray14.base.params import read_yaml
from chestxray14.files.packed import open_images
from chestxray14.raw.place import RAW_VARIABLE

pytestmark = pytest.mark.slow

RECIPE = "densenet121_step"
KEPT = (RECIPE, "chexnet_untrained", "best")
"""The recipes run here, one of each kind: tests/model/test_recipe.py trains them all."""

EXTERNAL = "torchxrayvision"
# Both the interpreter's folder, so that `python` in dvc.yaml is this one, and no settings of ours.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("CHESTXRAY14", "DVC"))
} | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run(
    *command: str, cwd: Path, status: int = 0, environment: dict[str, str] = ENVIRONMENT
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def stage(name: str, *arguments: str, cwd: Path, status: int = 0) -> str:
    """Run a stage script by hand; return what it printed, or its one line of error."""
    command = (sys.executable, f"src/stages/{name}.py", *arguments)
    done = run(*command, cwd=cwd, status=status)
    if status:
        assert done.stderr.startswith("error: "), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr
    return done.stdout


def tiny_params(weights: Path) -> dict[str, Any]:
    """Return params.yaml for a tiny cohort, small networks and a few recipes."""
    params: dict[str, Any] = read_yaml(ROOT / "params.yaml")
    phantom = params["datasets"]["phantom"]
    phantom |= {"patients": 40, "follow_ups": 1.0, "image_px": 64, "packed_px": 48}
    for dataset in params["datasets"].values():
        dataset["limits"] = {"input_px": 32, "epochs": 2, "weights": "random", "views": None}
    params["datasets"]["folder"]["packed_px"] = 48
    params["recipes"] = {name: params["recipes"][name] for name in KEPT}
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.exists() else "0" * 64
    entry = {"split": "patient", "weights": {"path": str(weights), "sha256": sha256}, "batch": 16}
    params["external"] = {EXTERNAL: entry}
    return params


def make_project(folder: Path, weights: Path = Path("none"), **changes: object) -> Path:
    """Make a checkout of the project, with tiny params, in a new git repository."""
    return make_checkout(folder, tiny_params(weights) | changes)


def drawn(project: Path) -> Path:
    """Return the folder of the drawn cohort."""
    return next((project / "data/raw/phantom").glob("*/PHANTOM.json")).parent


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run of the whole pipeline; tests leave it as it is."""
    weights = tmp_path_factory.mktemp("weights") / "external.safetensors"
    torch.manual_seed(0)
    save_file(DenseNet(weights=None).state_dict(), weights)
    folder = make_project(tmp_path_factory.mktemp("project"), weights)
    run("dvc", "repro", cwd=folder)
    commit(folder)
    return folder


def expanded_stages() -> list[object]:
    with TemporaryDirectory() as folder:
        shutil.copy(ROOT / "dvc.yaml", folder)
        (Path(folder) / "params.yaml").write_text(yaml.safe_dump(tiny_params(Path("none"))))
        run(sys.executable, "-m", "dvc", "init", "--no-scm", "-q", cwd=Path(folder))
        return [
            pytest.param(
                each.cmd,
                [dep.def_path for dep in each.deps if dep.def_path != "params.yaml"],
                [out.def_path for out in each.outs],
                id=each.addressing.rpartition(":")[2],
            )
            for each in Repo(folder).index.stages
        ]


@pytest.mark.parametrize(("command", "deps", "outs"), expanded_stages())
def test_a_stage_reads_only_its_deps_and_writes_the_same_bytes_again(
    project: Path, tmp_path: Path, command: str, deps: list[str], outs: list[str]
) -> None:
    for dep in [*deps, "params.yaml"]:
        source, target = project / dep, tmp_path / dep
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    # Raw data is no dep on purpose; only download brings it.
    raw = {} if "download" in command else {RAW_VARIABLE: str(project / "data" / "raw")}
    run("/bin/sh", "-c", command, cwd=tmp_path, environment=ENVIRONMENT | raw)
    for out in outs:
        ours, theirs = tmp_path / out, project / out
        if theirs.is_dir():
            assert digest(ours) == digest(theirs), out
        else:
            assert ours.read_bytes() == theirs.read_bytes(), out


def test_a_second_repro_only_looks_at_the_raw_data(project: Path) -> None:
    told = run("dvc", "repro", cwd=project).stdout
    assert re.findall(r"Running stage '(.+)'", told) == ["download"]


def test_the_report_exists_and_says_that_the_data_is_drawn(project: Path) -> None:
    for name in ("comparison.md", "comparison.html"):
        assert "drawn" in (project / "reports" / name).read_text()


def test_metrics_are_finite_numbers_words_and_no_lists(project: Path) -> None:
    files = list((project / "metrics").rglob("*.json"))
    assert len(files) == 2 + 4 + 3 * len(KEPT) + 1

    def check(content: object) -> None:
        if isinstance(content, dict):
            for value in content.values():
                check(value)
        else:
            assert isinstance(content, str | int | float)
            assert not isinstance(content, float) or math.isfinite(content)

    for file in files:
        check(json.loads(file.read_text()))


def test_dvc_shows_metrics_params_and_plots(project: Path) -> None:
    shown = json.loads(run("dvc", "metrics", "show", "--json", cwd=project).stdout)
    assert f"metrics/{RECIPE}/test.json" in shown[""]["data"]
    run("dvc", "plots", "show", "--out", "plots_page", cwd=project)
    page = (project / "plots_page" / "index.html").read_text()
    for line in ("train_loss", "val_loss", "val_auroc"):
        assert f'"field": "{line}"' in page
    shutil.rmtree(project / "plots_page")


def test_one_changed_param_runs_only_what_reads_it(project: Path) -> None:
    setting = f"recipes.{RECIPE}.seed=7"
    done = run("dvc", "exp", "run", "--temp", "-S", setting, "-n", "other-seed", cwd=project)
    ran = set(re.findall(r"Running stage '(.+)'", done.stdout))
    stages = {f"{name}@{RECIPE}" for name in ("train", "predict", "evaluate", "localize")}
    assert ran == stages | {"check", "download", "compare"}
    diff = run("dvc", "metrics", "diff", "--json", "other-seed", "workspace", cwd=project)
    assert "auroc" in json.dumps(json.loads(diff.stdout))


def test_a_recipe_is_added_by_a_copied_block_or_on_the_command_line(project: Path) -> None:
    block = tiny_params(Path("none"))["recipes"]["chexnet_untrained"] | {"seed": 3}
    settings = {"copied": "${recipes.chexnet_untrained}", "written": as_override(block)}
    options = [
        part for name, value in settings.items() for part in ("-S", f"+recipes.{name}={value}")
    ]
    done = run("dvc", "exp", "run", "--temp", *options, "-n", "more-recipes", cwd=project)
    ran = set(re.findall(r"Running stage '(.+)'", done.stdout))
    assert ran == {"check", "download", "compare"} | {
        f"{stage}@{name}"
        for stage in ("train", "predict", "evaluate", "localize")
        for name in settings
    }
    report = dvc.api.read("reports/comparison.md", repo=str(project), rev="more-recipes")
    assert "| written |" in report


def test_a_temporary_copy_uses_its_own_library(project: Path, tmp_path: Path) -> None:
    # The project is installed in editable mode from elsewhere; the copy must not run that one.
    shutil.copytree(project, tmp_path / "copy", symlinks=True)
    library = tmp_path / "copy" / "src/chestxray14/base/scores.py"
    library.write_text(library.read_text() + "\nraise SystemExit('own library')\n")
    done = run("dvc", "repro", f"evaluate@{RECIPE}", cwd=tmp_path / "copy", status=255)
    assert "own library" in done.stderr


@pytest.mark.parametrize(("recipe", "epoch"), [(RECIPE, 1), ("best", 2)])
def test_a_killed_training_goes_on_and_ends_in_the_same_bytes(
    project: Path, tmp_path: Path, recipe: str, epoch: int
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    outputs = (f"models/{recipe}/model.safetensors", f"plots/{recipe}/history.csv")
    for out in outputs:
        (copy / out).unlink()
    command = (sys.executable, "src/stages/train.py", recipe)
    with subprocess.Popen(
        command, cwd=copy, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as training:
        assert training.stdout is not None
        for line in training.stdout:
            # An epoch's line comes before its checkpoint: the kill lands around that write, and
            # by the second line the first epoch's checkpoint is whole.
            if line.startswith(f"epoch {epoch} of 2: loss"):
                os.kill(training.pid, signal.SIGKILL)
                break
    assert training.returncode == -signal.SIGKILL
    assert not (copy / outputs[0]).exists()
    printed = stage("train", recipe, cwd=copy)
    assert epoch == 1 or "resumed after epoch" in printed
    for out in outputs:
        assert (copy / out).read_bytes() == (project / out).read_bytes()
    assert {file.suffix for file in (copy / "checkpoints").iterdir()} == {".lock"}


def test_a_training_that_diverges_ends_in_one_line_with_its_rate(
    project: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    params = read_yaml(copy / "params.yaml")
    params["recipes"][RECIPE]["optimizer"]["lr"] = 1e30
    (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    error = stage("train", RECIPE, cwd=copy, status=1)
    assert "loss is" in error
    assert "learning rate 1e+30" in error


def test_a_stage_run_by_hand_leaves_dvcs_cache_alone(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    shutil.rmtree(copy / ".dvc" / "cache")
    run("dvc", "repro", "--force", "--single-item", "split@patient", cwd=copy)
    cache = digest(copy / ".dvc" / "cache")
    params = read_yaml(copy / "params.yaml")
    params["splits"]["patient"]["seed"] = 5
    (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    stage("split", "patient", cwd=copy)
    split = "data/splits/phantom/patient.csv"
    assert (copy / split).read_bytes() != (project / split).read_bytes()
    assert digest(copy / ".dvc" / "cache") == cache


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("predictions/{}/test.csv", lambda table: table[1:], "has other test images than those"),
        ("data/splits/phantom/patient.csv", lambda table: table[:-20], "has other test images"),
        ("data/packed/phantom/index.csv", lambda table: table[:9], "images without a label"),
        ("predictions/{}/test.csv", lambda table: table.drop(columns="Mass"), "lacks Mass, which"),
    ],
)
def test_heatmaps_are_not_scored_with_other_peoples_tables(
    project: Path,
    tmp_path: Path,
    file: str,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("cache"))
    path = copy / file.format(RECIPE)
    change(pd.read_csv(path)).to_csv(path, index=False)
    overlays = copy / f"localizations/{RECIPE}/overlays"
    before = digest(overlays)
    assert message in stage("localize", RECIPE, cwd=copy, status=1)
    assert digest(overlays) == before


def score_foreign(project: Path, *arguments: str, output: Path, status: int = 0) -> str:
    labels = drawn(project) / "Data_Entry_2017.csv"
    fixed = ("--labels", str(labels), "--output", str(output))
    return stage("evaluate", *fixed, *arguments, cwd=project, status=status)


def test_the_scorer_takes_other_peoples_files(project: Path, tmp_path: Path) -> None:
    table = pd.read_csv(project / f"predictions/{RECIPE}/test.csv")
    foreign = table[table.columns[::-1]].rename(
        columns=lambda c: f"prob_{c}" if c in "Mass" else c
    )
    foreign.assign(note="x").to_csv(tmp_path / "p.csv", index=False)
    files = ("--predictions", str(tmp_path / "p.csv"))
    val = ("--validation", str(project / f"predictions/{RECIPE}/val.csv"))
    printed = score_foreign(project, *files, *val, output=tmp_path / "out")
    assert "p.csv: left out, no findings: note" in printed
    ours = json.loads((project / f"metrics/{RECIPE}/test.json").read_text())
    theirs = json.loads((tmp_path / "out" / "test.json").read_text())
    assert theirs == ours | {"label_version": "undetermined"}
    details = [
        json.loads(path.read_text())
        for path in (project / f"evaluations/{RECIPE}/detail.json", tmp_path / "out/detail.json")
    ]
    assert details[0]["operating_points"] == details[1]["operating_points"]
    assert details[0]["subgroups"] == details[1]["subgroups"]


def test_the_scorer_says_what_a_file_lacks_and_what_it_leaves_out(
    project: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(project / f"predictions/{RECIPE}/test.csv")
    names = sorted(table["Image Index"])
    table[table["Image Index"] != names[0]].drop(columns="Mass").to_csv(
        tmp_path / "p.csv", index=False
    )
    (tmp_path / "list.txt").write_text("\n".join(names[:-2]))
    files = ("--predictions", str(tmp_path / "p.csv"))
    images = ("--images", str(tmp_path / "list.txt"))
    printed = score_foreign(project, *files, *images, output=tmp_path / "out")
    assert "p.csv: not predicted, not scored: Mass" in printed
    assert f"p.csv lacks 1 of the {len(names) - 2} images of" in printed
    assert f"scored without them: {names[0]}" in printed
    assert f"2 images, {names[-2]}, {names[-1]}" in printed
    scored = json.loads((tmp_path / "out" / "test.json").read_text())
    assert scored["images"] == len(names) - 3
    assert "Mass" not in scored["auroc"]


def test_two_files_are_subtracted_over_the_images_that_both_predict(
    project: Path, tmp_path: Path
) -> None:
    paths = [project / f"predictions/{name}/test.csv" for name in (RECIPE, "best")]
    short = tmp_path / "short.csv"
    pd.read_csv(paths[1]).iloc[1:].to_csv(short, index=False)
    files = ("--predictions", str(paths[0]), "--against", str(short))
    printed = score_foreign(project, *files, output=tmp_path / "out")
    assert "left out of both files: 1 images that only one of them predicts" in printed
    told = json.loads((tmp_path / "out" / "difference.json").read_text())
    assert f"{paths[0]} less {short} over {told['findings']} shared findings: macro " in printed
    scored = json.loads((tmp_path / "out" / "test.json").read_text())
    for name in ("images", "patients", "split_sha256", "label_version"):
        assert told[name] == scored[name]
    same = ("--predictions", str(paths[0]), "--against", str(paths[0]))
    score_foreign(project, *same, output=tmp_path / "same")
    itself = json.loads((tmp_path / "same/difference.json").read_text())
    assert {difference["value"] for difference in itself["differences"].values()} == {0}
    for name, difference in told["differences"].items():
        if "low" in difference:
            assert difference["low"] <= difference["high"], name


def test_a_file_of_unknown_images_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("Image Index,Mass\nnobody.png,0.5\n")
    files = ("--predictions", str(tmp_path / "p.csv"))
    error = score_foreign(project, *files, output=tmp_path / "out", status=1)
    assert "p.csv names 1 images without a label: nobody.png" in error
    assert not (tmp_path / "out").exists()


# A folder in the Kaggle layout that a user might bring, and what may be wrong with it.


@pytest.fixture
def folder_project(tmp_path: Path, project: Path) -> Path:
    """Return a checkout whose dataset is a folder of good drawn images at `mine/`."""
    copy = make_project(tmp_path / "checkout", dataset="folder")
    shutil.copytree(drawn(project), tmp_path / "checkout" / "mine")
    params = read_yaml(copy / "params.yaml")
    params["datasets"]["folder"] |= {"path": "mine", "max_rejected": 0.02}
    (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return copy


def digest(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def prepare_fails(checkout: Path) -> str:
    """Run download and prepare; return the error; check that nothing was lost."""
    before = digest(checkout / "mine")
    packed = digest(checkout / "data" / "packed")
    stage("download", cwd=checkout)
    error = stage("prepare", cwd=checkout, status=1)
    assert digest(checkout / "mine") == before
    after = digest(checkout / "data" / "packed")
    assert {name: after.get(name) for name in packed} == packed
    return error


def test_a_label_file_without_a_column_is_named(folder_project: Path) -> None:
    labels = folder_project / "mine" / "Data_Entry_2017.csv"
    labels.write_text(labels.read_text().replace("Patient ID", "Patient"))
    assert "Data_Entry_2017.csv lacks the column 'Patient ID'" in prepare_fails(folder_project)


def test_an_unknown_finding_is_named_with_its_row(folder_project: Path) -> None:
    labels = folder_project / "mine" / "Data_Entry_2017.csv"
    lines = labels.read_text().splitlines()
    cells = lines[4].split(",")
    lines[4] = ",".join([cells[0], "Hernie", *cells[2:]])
    labels.write_text("\n".join(lines))
    assert "Data_Entry_2017.csv row 5: unknown finding 'Hernie'" in prepare_fails(folder_project)


def test_bad_images_above_the_share_stop_prepare_and_keep_earlier_output(
    folder_project: Path,
) -> None:
    stage("download", cwd=folder_project)
    stage("prepare", cwd=folder_project)
    files = sorted((folder_project / "mine").rglob("*.png"))
    for file in files[: len(files) // 2]:
        file.write_bytes(file.read_bytes()[:200])
    error = prepare_fails(folder_project)
    assert f"{len(files) // 2} of {len(files)} listed images cannot be read" in error
    assert files[0].name in error


def test_a_preparation_cut_off_after_its_images_leaves_no_older_index(
    folder_project: Path,
) -> None:
    packed = folder_project / "data/packed/folder"
    stage("download", cwd=folder_project)
    stage("prepare", cwd=folder_project)
    earlier = (packed / "images.npy").read_bytes()
    first, second, *_ = sorted((folder_project / "mine").rglob("*.png"))
    shutil.copy(second, first)
    stage("download", cwd=folder_project)
    (packed / "index.csv.partial").mkdir()  # where the index would be written
    stage("prepare", cwd=folder_project, status=1)
    assert (packed / "images.npy").read_bytes() != earlier
    assert not (packed / "index.csv").exists()


def test_flat_images_are_kept_and_named(folder_project: Path) -> None:
    files = sorted((folder_project / "mine").rglob("*.png"))
    for file in files[:2]:
        Image.open(file).point(lambda grey: grey // 16).save(file)
    stage("download", cwd=folder_project)
    printed = stage("prepare", cwd=folder_project)
    names = [file.name for file in files[:2]]
    assert ", ".join(names) in printed
    prepared = json.loads((folder_project / "metrics/prepare.json").read_text())
    assert (prepared["flat"], sorted(prepared["flat_images"].split(", "))) == (2, names)
    assert prepared["images"] == len(files)


def test_a_few_bad_images_are_left_out_and_listed(folder_project: Path) -> None:
    files = sorted((folder_project / "mine").rglob("*.png"))
    files[0].unlink()
    stage("download", cwd=folder_project)
    printed = stage("prepare", cwd=folder_project)
    assert f"left out: {files[0].name}" in printed
    packed = folder_project / "data/packed/folder"
    assert pd.read_csv(packed / "rejected.csv")["image"].tolist() == [files[0].name]
    index = pd.read_csv(packed / "index.csv").set_index("image")
    assert len(index) == len(files) - 1
    images = open_images(packed / "images.npy")
    row = index.loc[files[5].name, "row"]
    whole = Image.open(files[5]).convert("L").resize((48, 48), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(images[row], np.asarray(whole))
    stage("split", "official", cwd=folder_project)  # the list may name the rejected image


def test_a_folder_that_changed_since_download_is_refused(folder_project: Path) -> None:
    stage("download", cwd=folder_project)
    next((folder_project / "mine").rglob("*.png")).unlink()
    assert "is not what data/raw/folder.json describes" in stage(
        "prepare", cwd=folder_project, status=1
    )


def test_a_missing_folder_and_a_missing_label_file_are_named(folder_project: Path) -> None:
    (folder_project / "mine" / "Data_Entry_2017.csv").unlink()
    error = stage("download", cwd=folder_project, status=1)
    assert "mine holds no label file named Data_Entry_2017.csv" in error
    shutil.rmtree(folder_project / "mine")
    assert "mine not found" in stage("download", cwd=folder_project, status=1)


def test_a_list_that_names_unknown_images_is_refused(folder_project: Path) -> None:
    names = folder_project / "mine" / "test_list.txt"
    names.write_text(names.read_text() + "\n99999999_000.png")
    stage("download", cwd=folder_project)
    stage("prepare", cwd=folder_project)
    error = stage("split", "official", cwd=folder_project, status=1)
    assert "the official lists name 1 images that the label file lacks: 99999999_000.png" in error


def test_one_unreadable_image_moves_no_other_to_another_part(folder_project: Path) -> None:
    split = folder_project / "data/splits/folder/patient.csv"
    parts = []
    for broken in (False, True):
        if broken:
            labels = pd.read_csv(folder_project / "mine/Data_Entry_2017.csv", index_col=False)
            single = labels.drop_duplicates("Patient ID", keep=False)["Image Index"].iloc[0]
            next((folder_project / "mine").rglob(single)).write_bytes(b"")
        for name in ("download", "prepare"):
            stage(name, cwd=folder_project)
        stage("split", "patient", cwd=folder_project)
        parts.append(pd.read_csv(split).set_index("image")["part"].to_dict())
    assert parts[0].keys() - parts[1].keys() == {single}
    assert all(parts[0][image] == part for image, part in parts[1].items())


def test_a_stage_out_of_turn_says_what_is_missing(folder_project: Path) -> None:
    assert "the download stage writes it" in stage("prepare", cwd=folder_project, status=1)
    assert "the prepare stage writes it" in stage("split", "patient", cwd=folder_project, status=1)
    assert "params.yaml: splits has no 'none'" in stage(
        "split", "none", cwd=folder_project, status=1
    )
    assert "run the prepare stage" in stage("train", RECIPE, cwd=folder_project, status=1)
    assert "run the train stage" in stage("predict", RECIPE, cwd=folder_project, status=1)
    assert "the split stage writes it" in stage("evaluate", RECIPE, cwd=folder_project, status=1)
    assert "prepare stage" in stage("compare", cwd=folder_project, status=1)


def test_a_zip_from_kaggle_is_prepared_without_unpacking(project: Path, tmp_path: Path) -> None:
    zipped = Path(shutil.make_archive(str(tmp_path / "data"), "zip", drawn(project))).read_bytes()
    kaggle = FakeKaggle(slug="nih-chest-xrays/data/3", archive=zipped)
    checkout = make_project(tmp_path / "checkout", dataset="nih")
    params = read_yaml(checkout / "params.yaml")
    params["datasets"]["nih"]["packed_px"] = 48
    (checkout / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    home = {"HOME": str(tmp_path), "KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY}
    with serve(kaggle) as redirected:
        run(
            *("dvc", "repro", "prepare"),
            cwd=checkout,
            environment=ENVIRONMENT | redirected | home,
        )
    kept = {file.name for file in (checkout / "data/raw/nih").iterdir() if file.suffix != ".lock"}
    assert kept == {"nih-chest-xrays-data-3.zip"}
    ours, theirs = (folder / "data/packed" for folder in (checkout, project))
    for name in ("images.npy", "index.csv", "lists.csv", "rejected.csv"):
        assert (ours / "nih" / name).read_bytes() == (theirs / "phantom" / name).read_bytes()
    manifest = (checkout / "data/raw/nih.json").read_text()
    assert str(tmp_path) not in manifest
    assert KEY not in manifest


def test_the_real_sample_runs_to_the_report(nih_sample: Path, tmp_path: Path) -> None:
    recipes = {RECIPE: tiny_params(Path("none"))["recipes"][RECIPE]}
    checkout = make_project(tmp_path, recipes=recipes, external={})
    run(
        *("dvc", "exp", "run", "-S", "dataset=folder"),
        *("-S", f"datasets.folder.path={os.path.relpath(nih_sample, checkout)}"),
        cwd=checkout,
    )
    prepared = json.loads((checkout / "metrics/prepare.json").read_text())
    assert (prepared["images"], prepared["rejected"]) == (147, 0)
    assert prepared["label_version"] == "undetermined"
    model = load_file(checkout / f"models/{RECIPE}/model.safetensors")
    assert model["head.3.weight"].shape == (14, 1024)
    assert f"| {RECIPE} |" in (checkout / "reports/comparison.md").read_text()
    page = (checkout / "reports/comparison.html").read_text()
    assert "147 images of " in page
    assert "published, same protocol" not in page
    assert "Phantom." not in page
