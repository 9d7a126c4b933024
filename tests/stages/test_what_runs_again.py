"""CONTRIBUTING's table "I touch ..., so ... runs again", held against `dvc status`."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from dvc.repo import Repo
from projects import RECIPE, copy_run, finished_twins

from chestxray14.base.params import read_yaml

pytestmark = pytest.mark.slow

TABLE = re.compile(r"^\| (?P<touched>.+?) \| (?P<stages>.+?) \|$", re.MULTILINE)


def read_table() -> dict[str, set[str]]:
    """Return which stages run again by what is touched, both as CONTRIBUTING says it."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## What runs again")[2]
    rows = [match.groups() for match in TABLE.finditer(section.partition("\n## ")[0])]
    told = {
        touched: set(re.findall(r"`(\w+)`", stages))
        for names, stages in rows
        for touched in re.findall(r"`([^`]+)`", names)
    }
    assert told, "CONTRIBUTING.md has no table of what runs again"
    return told


TOLD = read_table()
ROOMS = [path.name for path in sorted((ROOT / "src/chestxray14").iterdir()) if path.is_dir()]
ROOMS = [name for name in ROOMS if name != "__pycache__"]

KEYS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "datasets.*.seed": lambda p: p["datasets"]["phantom"].update(seed=9),
    "datasets.*.packed_px": lambda p: p["datasets"]["phantom"].update(packed_px=40),
    "datasets.*.experts": lambda p: p["datasets"]["phantom"].update(
        experts=dict.fromkeys(("all_findings", "four_findings", "chestx_det"))
    ),
    "datasets.*.limits": lambda p: p["datasets"]["phantom"]["limits"].update(epochs=1),
    "splits": lambda p: p["splits"]["patient"].update(seed=9),
    "compute": lambda p: p["compute"].update(threads=2),
    "evaluate.bins": lambda p: p["evaluate"].update(bins=9),
    "evaluate.draws": lambda p: p["evaluate"].update(draws=49),
    "evaluate.seed": lambda p: p["evaluate"].update(seed=9),
    "localize.method": lambda p: p["localize"].update(method="grad_cam"),
    "localize.cells": lambda p: p["localize"].update(cells=3),
    "localize.shown": lambda p: p["localize"].update(shown=1),
    "recipes.*.views": lambda p: p["recipes"][RECIPE].update(views="flip"),
    "recipes.*.augmentation": lambda p: p["recipes"][RECIPE]["augmentation"].update(zoom=0.01),
    "recipes.*.selection": lambda p: p["recipes"][RECIPE].update(selection="val_auroc"),
}


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run of the whole pipeline of one's own."""
    twins = finished_twins(tmp_path_factory.getbasetemp() / "twins")
    return copy_run(twins.first, tmp_path_factory.mktemp("again") / "run")


def runs_again(project: Path) -> set[str]:
    """Return the stages that `dvc status` names for a file or key that they read themselves."""
    with Repo(project) as repo:
        status = repo.status()
    return {
        stage.rpartition(":")[2].partition("@")[0]
        for stage, changes in status.items()
        if any("changed deps" in change for change in changes if isinstance(change, dict))
    }


@pytest.mark.parametrize("room", ROOMS)
def test_a_comment_in_a_room_runs_what_the_table_says(run_once: Path, room: str) -> None:
    file = next(
        path
        for path in sorted((run_once / "src/chestxray14" / room).glob("*.py"))
        if path.name not in ("__init__.py", "params.py", "recipe.py")
    )
    before = file.read_bytes()
    file.unlink()
    file.write_bytes(before + b"# touched\n")
    try:
        assert runs_again(run_once) == TOLD[f"{room}/"]
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("key", KEYS)
def test_a_changed_key_runs_what_the_table_says(run_once: Path, key: str) -> None:
    path = run_once / "params.yaml"
    before = path.read_bytes()
    params = read_yaml(path)
    KEYS[key](params)
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    try:
        assert runs_again(run_once) == TOLD[key]
    finally:
        path.write_bytes(before)


def test_an_import_changes_no_folder(run_once: Path) -> None:
    cache = run_once / "src/chestxray14/report/__pycache__"
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir()
    (cache / "tables.cpython-311.pyc").write_bytes(b"compiled")
    assert runs_again(run_once) == set()


def test_the_table_has_every_room() -> None:
    assert {name.removesuffix("/") for name in TOLD if name.endswith("/")} == set(ROOMS)
