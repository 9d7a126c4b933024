"""Two runs of the whole pipeline, in clones that have nothing in common but the machine."""

import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from projects import Twins, finished_twins, hash_outputs, output_paths, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    return finished_twins(tmp_path_factory.getbasetemp() / "twins")


def test_two_clones_make_the_same_bytes_of_every_output(twins: Twins) -> None:
    first, second = (hash_outputs(project, twins.first) for project in twins[:2])
    assert first == second
    for outputs in output_paths(twins.first).values():
        assert all((twins.second / path).exists() for path in outputs)


def test_every_stage_of_dvc_yaml_has_run(twins: Twins) -> None:
    stages = yaml.safe_load((twins.first / "dvc.yaml").read_text())["stages"]
    nothing_to_do = {name for name in stages if name.endswith(("_external", "_set"))}
    assert {name.partition("@")[0] for name in output_paths(twins.first)} == (
        set(stages) - nothing_to_do
    )


def test_no_file_in_git_tells_the_clones_apart(twins: Twins, tmp_path: Path) -> None:
    trees = []
    for number, project in enumerate(twins[:2]):
        copy = tmp_path / str(number)
        run("git", "clone", "-q", str(project), str(copy), cwd=tmp_path)
        run("git", f"--work-tree={project}", "add", "-A", cwd=copy)
        trees.append(run("git", "write-tree", cwd=copy))
    assert trees[0] == trees[1]


def test_no_output_names_its_folder_home_user_host_or_day(twins: Twins) -> None:
    for project, environment in zip(twins[:2], twins.environments, strict=True):
        told = {
            *(str(project), environment["HOME"], environment["USER"]),
            datetime.now(UTC).date().isoformat(),
        }
        if len(host := socket.gethostname()) > 4:
            told.add(host)
        for path in hash_outputs(project, twins.first):
            content = (project / path).read_bytes()
            assert not [word for word in told if word.encode() in content], path
