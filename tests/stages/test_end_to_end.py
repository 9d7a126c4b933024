"""One tiny pipeline from end to end, as `dvc repro` runs it, and the lock that is committed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from projects import RECIPE, make_checkout, output_paths, quick_params, run


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run of one recipe on a tiny cohort."""
    folder = make_checkout(tmp_path_factory.mktemp("tiny"), quick_params())
    run("dvc", "repro", cwd=folder)
    return folder


def list_run(told: str) -> list[str]:
    """Return which stages DVC says it runs."""
    return re.findall(r"Running stage '(.+)'", told)


def test_every_stage_runs_and_writes_what_it_promises(project: Path) -> None:
    outputs = output_paths(project)
    stages = {name.partition("@")[0] for name in outputs}
    assert stages == {
        *("check", "download", "prepare", "split", "train", "predict", "evaluate", "localize"),
        *("fit_metadata", "compare"),
    }
    assert all((project / path).exists() for paths in outputs.values() for path in paths)


def test_the_report_names_the_recipe_with_the_score_of_its_metrics(project: Path) -> None:
    score = json.loads((project / f"metrics/{RECIPE}/test.json").read_text())["auroc"]["macro"]
    report = (project / "reports/comparison.md").read_text()
    row = next(line for line in report.splitlines() if line.startswith(f"| {RECIPE} |"))
    assert any(f" {score:.{digits}f} " in row for digits in (2, 3, 4))
    assert "drawn" in report


def test_what_a_training_cost_lies_beside_the_outputs_and_can_be_printed(project: Path) -> None:
    cost = json.loads((project / f"logs/{RECIPE}.json").read_text())
    trained = json.loads((project / f"metrics/{RECIPE}/train.json").read_text())
    assert cost["epochs"] == max(1, trained["epochs_run"])
    assert cost["parameters"] > 0
    table = run(sys.executable, str(ROOT / "benchmarks/cost.py"), cwd=project)
    assert f"| {RECIPE} |" in table
    assert "logs" not in {
        Path(path).parts[0] for paths in output_paths(project).values() for path in paths
    }


def test_a_second_repro_only_looks_at_the_raw_data(project: Path) -> None:
    assert list_run(run("dvc", "repro", cwd=project)) == ["download"]


def test_the_committed_lock_is_current(tmp_path: Path) -> None:
    archive = subprocess.run(
        ["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip("this copy of the project has no git history to look at")
    subprocess.run(["tar", "-x"], cwd=tmp_path, input=archive.stdout, check=True)
    run("git", "init", "-q", cwd=tmp_path)
    told = run("dvc", "repro", "--dry", "--allow-missing", cwd=tmp_path)
    assert set(list_run(told)) <= {"download"}, (
        "run `dvc repro` and commit dvc.lock, or `dvc commit`"
    )
