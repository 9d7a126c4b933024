"""The whole of params.yaml: every key is checked by name, and tracked by some stage."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from dvc.repo import Repo
from src.stages.check import CHECKED, Params

from chestxray14.base.errors import InputError
from chestxray14.base.params import load_file, read_yaml

PARAMS = ROOT / "params.yaml"


def leaves(content: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from leaves(value, *path, key)
    else:
        yield path, content


def test_the_file_in_the_repository_is_valid() -> None:
    params = load_file(Params, path=PARAMS)
    assert params.dataset == "phantom"
    assert params.recipes["densenet121_step"].optimizer.lr == 1e-3


def test_no_key_is_one_that_the_run_cache_overlooks() -> None:
    # DVC leaves params named `size` and `nfiles` out of the run-cache's key (dvc#10296).
    keys = {key for path, _ in leaves(read_yaml(PARAMS)) for key in path}
    assert not keys & {"size", "nfiles"}


@pytest.mark.parametrize("dataset", ["phantom", "nih", "folder", "nih_box", "chestmnist"])
def test_every_leaf_is_tracked_by_some_stage(tmp_path: Path, dataset: str) -> None:
    content = read_yaml(PARAMS) | {"dataset": dataset}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    subprocess.run(
        [sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True
    )
    with Repo(str(tmp_path)) as repo:
        tracked = {
            name
            for stage in repo.index.stages
            for dep in stage.deps
            for name in getattr(dep, "params", [])
        }
    missed = [
        ".".join(path)
        for path, _ in leaves(content)
        if not any(".".join(path[:n]) in tracked for n in range(1, len(path) + 1))
        # Blocks of the datasets that are not chosen change nothing.
        and not (path[0] == "datasets" and path[1] != dataset)
    ]
    assert missed == []


def change(tmp_path: Path, old: str, new: str) -> Path:
    text = PARAMS.read_text()
    assert old in text
    (tmp_path / "params.yaml").write_text(text.replace(old, new, 1))
    return tmp_path / "params.yaml"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "    seed: 0\n    findings",
            "    sed: 0\n    findings",
            "key recipes.densenet121_step.sed$",
        ),
        ("lr: 1e-3", "lr: fast", "recipes.densenet121_step.optimizer.lr: found 'fast'"),
        ("lr: 1e-3", "lr: '1e-3'", "recipes.densenet121_step.optimizer.lr: found '1e-3'"),
        ("lr: 1e-3", "lr: -1.0", "recipes.densenet121_step.optimizer.lr: found -1.0"),
        ("split: patient", "split: patients", "recipes.densenet121_step.split: 'patients' is not"),
        ("dataset: phantom", "dataset: phantoms", "dataset: 'phantoms' is not one of"),
        ("val: 0.1\n", "val: 0.4\n", r"splits.patient: train \+ val is 1.1, expected less than 1"),
        ("kind: official", "kind: offical", "splits.official: found"),
        ("    packed_px: 64\n", "", "missing key datasets.phantom.packed_px"),
        ("      Hernia: 0.12\n", "", "prevalence must name the 14 findings.*Hernia"),
        ("epochs: 20", "epochs: 2.5", "recipes.densenet121_step.epochs: found 2.5"),
        ("epochs: 20", "epochs: 20\n    epoch: 3", "unknown key recipes.densenet121_step.epoch$"),
        ("      every: 2\n", "", "missing key recipes.densenet121_step.schedule.every$"),
        ("every: 2", "every: 0", "recipes.densenet121_step.schedule.every: found 0"),
        ("every: 2", "evry: 2", "unknown key recipes.densenet121_step.schedule.evry$"),
        ("name: step", "name: stair", "recipes.densenet121_step.schedule: found {'name': 'stair'"),
        ("findings: all", "findings: most", "recipes.densenet121_step.findings: found 'most'"),
        ("weights: imagenet", "weights: imagnet", "densenet121_step.weights: found 'imagnet'"),
        (
            "weights: imagenet",
            "weights: {path: a.pth, sha256: ab}",
            "recipes.densenet121_step.weights.sha256: found 'ab'",
        ),
        (
            "weights: imagenet",
            'weights: {path: "a\\0b", sha256: ab}',
            "recipes.densenet121_step.weights.path: found 'a",
        ),
        (
            "    seed: 0\n    findings",
            f"    seed: {10**30}\n    findings",
            "recipes.densenet121_step.seed: found 1000",
        ),
        ("    weights: imagenet\n", "", "missing key recipes.densenet121_step.weights$"),
        ("input_px: 224", "input_px: 512", "recipes.densenet121_step: resize_px is 224, expected"),
        ("draws: 1000", "draws: 1", "evaluate.draws: found 1"),
        ("sensitivity: 0.90", "sensitivity: 90", "evaluate.sensitivity: found 90"),
        ("test: 500", "test: 0", "splits.small.at_most.test: found 0"),
        (
            "external: {}",
            "external: {best: {split: patient, weights: x, batch: 2}}",
            "external.best: a recipe has this name already",
        ),
        (
            "external: {}",
            "external: {txrv: {split: all, weights: x, batch: 2}}",
            "external.txrv.split: 'all' is not one of splits",
        ),
        (
            "external_sets: {}",
            "external_sets: {x: {dataset: phantom, recipes: [best]}}",
            "external_sets.x.dataset: phantom is what the recipes are trained on",
        ),
        (
            "external_sets: {}",
            "external_sets: {x: {dataset: cohort, recipes: [best]}}",
            "external_sets.x.dataset: cohort has packed_px 128, expected 64 as phantom has",
        ),
        (
            "external_sets: {}",
            "external_sets: {x: {dataset: cohort, recipes: [worst]}}",
            "external_sets.x.recipes: 'worst' is not one of recipes",
        ),
        ("dataset: phantom", f"dataset: {[1] * 999}", r"dataset: found \[1(, 1){66}; input"),
        ("path: data/raw/folder", 'path: "a\\0b"', "datasets.folder.path: found 'a"),
        (
            "draws: 1000",
            "draws: 1000000000",
            "evaluate.draws: found 1000000000; input should be le",
        ),
        (
            "threads: 2",
            "threads: 1000000000",
            "compute.threads: found 1000000000; input should be",
        ),
        ("bins: 15", "bins: 1000000000", "evaluate.bins: found 1000000000; input should be less"),
        ("lr: 1e-3", "lr: .inf", "recipes.densenet121_step.optimizer.lr: found inf"),
    ],
)
def test_a_wrong_key_is_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_file(Params, path=change(tmp_path, old, new))
    assert "\n" not in str(caught.value)


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "src/stages/check.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )


def test_the_stage_ends_a_mistake_with_one_line_and_status_1(tmp_path: Path) -> None:
    change(tmp_path, "lr: 1e-3", "lr: fast")
    done = check(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml: recipes.densenet121_step.optimizer.lr")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "params.yaml"]


def test_two_files_that_are_well_formed_leave_the_same_output(tmp_path: Path) -> None:
    # Else everything behind it would run again.
    written = []
    for lr in ("1e-3", "2e-3"):
        change(tmp_path, "lr: 1e-3", f"lr: {lr}")
        done = check(tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        written.append((tmp_path / CHECKED).read_bytes())
    assert written[0] == written[1]


TABLE = """
  mine:
    source: table
    images: /where
    table: labels.csv
    columns: {image: path, patient: id, age: null, sex: null, view: null, follow_up: null}
    findings: {Effusion: Pleural Effusion, Fracture: fracture}
    values: {"1": 1, "0": 0, "": unknown}
    packed_px: 64
    max_rejected: 0.01
    limits: {input_px: null, epochs: null, weights: null, views: null}
  cohort:
"""


def test_a_table_needs_no_other_key(tmp_path: Path) -> None:
    assert load_file(Params, path=change(tmp_path, "\n  cohort:\n", TABLE)).datasets["mine"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("images: /where", "image: /where", "unknown key datasets.mine.image$"),
        ("    images: /where\n", "", "missing key datasets.mine.images$"),
        (", view: null", "", "missing key datasets.mine.columns.view$"),
        ("patient: id", "patient: 7", "datasets.mine.columns.patient: found 7"),
        (
            "patient: id",
            "patient: {column: path, pattern: p}",
            "columns.patient.pattern: 'p' has 0 groups, expected one",
        ),
        ("labels.csv", "{train: a, val: 7, test: b}", "datasets.mine.table.val: found 7"),
        ("Fracture:", "No Finding:", "datasets.mine.findings: 'No Finding' is the name of"),
        ("Fracture:", "effusion:", "datasets.mine.findings: 'effusion' is named twice, or in"),
        ('"1": 1', '"1": 2', "datasets.mine.values.1: found 2; input should be 0, 1 or 'unkn"),
        ("    values:", "    labels:", "datasets.mine.labels"),
    ],
)
def test_a_wrong_key_of_a_table_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = change(tmp_path, "\n  cohort:\n", TABLE)
    path.write_text(path.read_text().replace(TABLE, TABLE.replace(old, new)))
    with pytest.raises(InputError, match=message):
        load_file(Params, path=path)
