"""The batch files for Slurm, run by hand with a stand-in for its commands."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from projects import ENVIRONMENT, RECIPE, make_checkout, polls, quick_params, run, start

FILES = sorted((ROOT / "slurm").glob("*.sbatch"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_batch_file_parses_and_names_files_that_are_there(file: Path) -> None:
    subprocess.run(["bash", "-n", file], check=True)
    words = file.read_text().split()
    named = [word for word in words if word.startswith(("src/", "slurm/"))]
    assert all((ROOT / word.rstrip(",")).exists() for word in named)


@pytest.mark.slow
def test_a_job_whose_time_is_up_goes_on_and_the_last_one_trains_nothing(tmp_path: Path) -> None:
    params = quick_params()
    params["recipes"][RECIPE] |= {"epochs": 40, "early_stopping": None}
    params["datasets"]["phantom"]["limits"]["epochs"] = None
    project = make_checkout(tmp_path / "project", params)
    for name in ("check", "download", "prepare", "split@patient"):
        run("dvc", "repro", "--single-item", name, cwd=project)
    tools, asked = tmp_path / "tools", tmp_path / "asked.txt"
    tools.mkdir()
    (tools / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    (tools / "scontrol").chmod(0o755)
    slurm = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "77"}
    environment = ENVIRONMENT | slurm
    environment["PATH"] = f"{tools}{os.pathsep}{environment['PATH']}"
    command = ("bash", str(ROOT / "slurm" / "train.sbatch"), "another", RECIPE)

    log = tmp_path / "first.log"
    job = start(*command, cwd=project, log=log, environment=environment)
    for _ in polls(job):
        if "epoch 2 of 40" in log.read_text():
            # As Slurm sends it: to the shell alone.
            os.kill(job.pid, signal.SIGTERM)
            break
    assert job.wait(60) == 130, log.read_text()
    assert asked.read_text() == "requeue 77_1\n"
    assert "stopped" in log.read_text()

    log = tmp_path / "second.log"
    job = start(*command, cwd=project, log=log, environment=environment)
    assert job.wait(300) == 0, log.read_text()
    assert "resumed after epoch" in log.read_text()

    told = run("bash", str(ROOT / "slurm" / "score.sbatch"), RECIPE, cwd=project)
    assert f"Running stage 'predict@{RECIPE}'" in told
    assert "Running stage 'train" not in told
    assert run("dvc", "status", cwd=project).split() == ["download:", "always", "changed"]
    assert (project / "reports/comparison.html").exists()
