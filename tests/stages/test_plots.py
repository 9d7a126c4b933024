"""What `dvc plots` draws, by the project's own declarations and templates."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import ROOT

from chestxray14.base.findings import FINDINGS

pytestmark = pytest.mark.slow

AXES = {
    "history.csv": ("epoch", {"train_loss", "val_loss", "val_auroc", "lr"}),
    "roc.csv": ("false_positive_rate", {"true_positive_rate"}),
    "precision_recall.csv": ("recall", {"precision"}),
    "reliability.csv": ("predicted", {"observed"}),
    "localization.csv": ("threshold", {"accuracy", "random", "centre"}),
}
CURVES = ("roc.csv", "precision_recall.csv", "reliability.csv")
DRAWN = {
    *(f"plots/{recipe}/{file}" for recipe in ("best", "other") for file in AXES),
    *(f"plots/elsewhere/{file}" for file in CURVES),
}


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def draw(project: Path, *command: str) -> dict[str, Any]:
    """Return what a `dvc plots` command draws: the specifications and revisions of each plot."""
    shown = json.loads(run(sys.executable, "-m", "dvc", "plots", *command, "--json", cwd=project))
    assert "errors" not in shown
    plots: dict[str, Any] = shown["data"]
    return plots


def write_tables(project: Path, height: float) -> None:
    """Write each table, its curves flat at a height that tells one revision from another."""
    curves = pd.DataFrame([(finding, x) for finding in FINDINGS for x in (0, 0.5, 1)])
    names = pd.DataFrame([(name, x) for name in ("as predicted", "after Platt") for x in (0, 1)])
    tables = {
        "history.csv": pd.DataFrame({"epoch": [1, 2]}),
        "roc.csv": curves.set_axis(["finding", "false_positive_rate"], axis=1),
        "precision_recall.csv": curves.set_axis(["finding", "recall"], axis=1),
        "reliability.csv": names.set_axis(["calibration", "predicted"], axis=1),
        "localization.csv": pd.DataFrame(
            [
                (overlap, finding, 0.1)
                for overlap in ("IoBB", "IoU")
                for finding in ("mean", "Mass")
            ],
            columns=["overlap", "finding", "threshold"],
        ),
    }
    for path in map(project.joinpath, DRAWN):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # may be a link into DVC's cache
        flat = dict.fromkeys(sorted(AXES[path.name][1]), height)
        tables[path.name].assign(**flat).to_csv(path, index=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with the declared plots alone: one revision, and a changed workspace."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / ".dvc/plots", folder / ".dvc/plots")
    for name in (".dvc/config", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    declared["stages"] = {
        name: {"foreach": stage["foreach"], "do": {"cmd": "none", "plots": stage["do"]["plots"]}}
        for name, stage in declared["stages"].items()
        if "plots" in stage.get("do", {})
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump(declared))
    params: dict[str, Any] = {"recipes": {"best": {}, "other": {}}, "external": {"elsewhere": {}}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    run("git", "init", "-q", cwd=folder)
    write_tables(folder, 0.25)
    run(sys.executable, "-m", "dvc", "commit", "-q", "-f", cwd=folder)
    run("git", "add", "-A", cwd=folder)
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    run("git", *author, "commit", "-qm", "State", cwd=folder)
    write_tables(folder, 0.75)
    return folder


@pytest.fixture(scope="module")
def diff(project: Path) -> dict[str, Any]:
    return draw(project, "diff", "HEAD", "workspace")


def encodings(spec: dict[str, Any], outer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the encoding of each mark that draws the table, and not data of its own."""
    encoding = outer | spec.get("encoding", {})
    for part in spec.get("layer", []) + spec.get("hconcat", []):
        if "data" not in part:
            yield from encodings(part, encoding)
    if "mark" in spec:
        yield encoding


def test_show_draws_each_table_once(project: Path) -> None:
    shown = draw(project, "show")
    assert shown.keys() == DRAWN
    for path, plots in shown.items():
        assert [plot["revisions"] for plot in plots] == [["workspace"]]
        assert plots[0]["content"]["title"]["text"] == path


def test_diff_draws_each_table_once_with_both_revisions(diff: dict[str, Any]) -> None:
    assert diff.keys() == DRAWN
    for path, (plot,) in diff.items():
        _, ys = AXES[Path(path).name]
        rows = plot["content"]["data"]["values"]
        drawn = {(row["rev"], row[y]) for row in rows for y in ys}
        assert drawn == {("HEAD", "0.25"), ("workspace", "0.75")}


@pytest.mark.parametrize("file", ["history.csv", *CURVES])
def test_the_axes_are_columns_of_the_table(diff: dict[str, Any], file: str) -> None:
    content = diff[f"plots/best/{file}"][0]["content"]
    marks = list(encodings(content, {}))
    x, ys = AXES[file]
    assert {mark["x"]["field"] for mark in marks} == {x}
    assert {mark["y"]["field"] for mark in marks} == ys
    assert {x} | ys <= content["data"]["values"][0].keys()
    if file in CURVES:
        assert all(mark[axis]["scale"]["domain"] == [0, 1] for mark in marks for axis in "xy")


@pytest.mark.parametrize(
    ("file", "kept_apart", "lines"),
    [
        ("roc.csv", "finding", 28),
        ("precision_recall.csv", "finding", 28),
        ("reliability.csv", "calibration", 4),
        ("history.csv", "rev", 2),
    ],
)
def test_no_line_joins_two_curves(
    diff: dict[str, Any], file: str, kept_apart: str, lines: int
) -> None:
    # Vega-Lite draws one line for each combination of what these channels show.
    content = diff[f"plots/best/{file}"][0]["content"]
    rows = pd.DataFrame(content["data"]["values"])
    for mark in encodings(content, {}):
        channels = [mark.get(name, {}) for name in ("color", "detail", "strokeDash")]
        fields = [channel["field"] for channel in channels if "field" in channel]
        groups = rows.groupby(fields)
        assert len(groups) == lines
        assert (groups[[kept_apart, "rev"]].nunique() == 1).all(axis=None)


def test_localization_shows_the_mean_of_each_overlap_beside_its_baselines(
    diff: dict[str, Any],
) -> None:
    content = diff["plots/best/localization.csv"][0]["content"]
    x, ys = AXES["localization.csv"]
    for overlap, panel in zip(("IoBB", "IoU"), content["hconcat"], strict=True):
        chosen, folded, _ = panel["transform"]
        assert chosen["filter"] == f"datum.overlap == '{overlap}' && datum.finding == 'mean'"
        assert set(folded["fold"]) == ys
        assert panel["encoding"]["y"]["field"] == folded["as"][1]
        assert panel["encoding"]["color"]["field"] == folded["as"][0]
        assert panel["encoding"]["x"]["field"] == x
        assert panel["encoding"]["strokeDash"]["field"] == "rev"


@pytest.mark.parametrize("file", ["roc.csv", "reliability.csv"])
def test_a_diagonal_shows_chance_or_ideal(diff: dict[str, Any], file: str) -> None:
    layers = diff[f"plots/best/{file}"][0]["content"]["layer"]
    (line,) = [layer for layer in layers if "data" in layer]
    field = line["encoding"]["x"]["field"]
    assert line["encoding"]["y"]["field"] == field
    assert [row[field] for row in line["data"]["values"]] == [0, 1]
