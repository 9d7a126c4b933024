"""The project on somebody else's machine: without git, with other line ends, below other paths."""

import shutil
from pathlib import Path

import pytest
import yaml
from projects import BUSY, commit, make_checkout, quick_params, run

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a checkout of the project."""
    return make_checkout(tmp_path / "project", quick_params())


def test_a_clone_has_the_same_bytes_whatever_git_does_to_line_ends(project: Path) -> None:
    clone = project.parent / "clone"
    setting = ("-c", "core.autocrlf=true")
    run("git", *setting, "clone", "-q", str(project), str(clone), cwd=project)
    files = run("git", "ls-files", cwd=project).splitlines()
    assert len(files) > 100
    for file in files:
        assert (clone / file).read_bytes() == (project / file).read_bytes(), file


def test_without_git_one_setting_lets_dvc_run(project: Path) -> None:
    shutil.rmtree(project / ".git")
    assert "not a git repository" in run("dvc", "repro", "check", cwd=project, status=BUSY)
    run("dvc", "config", "--local", "core.no_scm", "true", cwd=project)
    assert "Running stage 'check'" in run("dvc", "repro", "check", cwd=project)


@pytest.mark.parametrize("name", ["with blank", "br[ack]ets {and} (more)", "a,b", "ä=ö"])
def test_a_path_in_quotes_reaches_params_yaml_as_it_is(project: Path, name: str) -> None:
    setting = f"datasets.folder.path='/data/{name}'"
    run("dvc", "repro", "check", cwd=project)
    commit(project)
    run("dvc", "exp", "run", "-S", setting, "check", cwd=project)
    params = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    assert params["datasets"]["folder"]["path"] == f"/data/{name}"
