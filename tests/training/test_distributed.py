"""Several processes train as one would."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
import torch.distributed as dist
import yaml
from conftest import ROOT, make_index
from process_of_two import EVERY_LAYER, RECIPE, fit
from safetensors.torch import load_file
from tiny import CPU, tiny_part, tiny_recipe
from torch import Tensor

from chestxray14.base.errors import InputError
from chestxray14.base.params import read_yaml
from chestxray14.model.batches import batch_sizes, shuffled_batches
from chestxray14.training import distributed
from chestxray14.training.distributed import own_share
from chestxray14.training.fit import train


def pretend(monkeypatch: pytest.MonkeyPatch, *, rank: int, ranks: int) -> None:
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: rank)
    monkeypatch.setattr(dist, "get_world_size", lambda: ranks)


def test_one_process_alone_takes_all_and_is_the_first() -> None:
    assert (distributed.count(), distributed.is_first()) == (1, True)
    assert own_share(7) == slice(0, 7)
    rows = np.ones((2, 3), dtype=np.float32)
    assert distributed.join_rows(rows) is rows
    assert distributed.heed_first(rows) is rows


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_together_the_processes_see_every_image_of_an_epoch_once(
    ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tiny_part(61)
    alone = list(shuffled_batches(part, batch=24, seed=0, epoch=1, device=CPU))
    shares = []
    for rank in range(ranks):
        pretend(monkeypatch, rank=rank, ranks=ranks)
        batches = shuffled_batches(part, batch=24, seed=0, epoch=1, device=CPU, share=own_share)
        shares.append(list(batches))
    for step, size in enumerate(batch_sizes(part, batch=24)):
        for kind in (0, 1):
            together = torch.cat([share[step][kind] for share in shares])
            assert torch.equal(together, alone[step][kind])
        sizes = {len(share[step][0]) for share in shares}
        assert max(sizes) - min(sizes) <= 1
        assert sum(len(share[step][0]) for share in shares) == size


def test_more_processes_than_images_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, rank=0, ranks=3)
    part = tiny_part(10)
    with pytest.raises(
        InputError, match=r"3 processes are too many: batches of 3 .* enough for 1"
    ):
        train(tiny_recipe(), train=part, val=part, folder=tmp_path, device=CPU, precision="fp32")


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(InputError, match="3 processes at least, but 2 GPUs"),
        distributed.join(torch.device("cuda")),
    ):
        pass


def test_apples_gpu_is_refused_to_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(InputError, match=r"2 processes.*Apple's MPS"),
        distributed.join(torch.device("mps")),
    ):
        pass


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what two processes left that trained as one, over gloo."""
    folder = tmp_path_factory.mktemp("two")
    command = (
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        *("tests/process_of_two.py", str(folder)),
    )
    path = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests")))
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def read(results: Path, name: str, rank: int = 0) -> tuple[list[Any], dict[str, Tensor]]:
    history = json.loads((results / f"{name}.{rank}.json").read_text())
    return history, torch.load(results / f"{name}.{rank}.pt")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whole", "unknown"])
def test_two_processes_take_the_steps_of_one(results: Path, tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    unknown = name == "unknown"
    alone = fit(RECIPE, tmp_path, unknown=unknown)
    (best_epoch, history), weights = read(results, name)
    assert best_epoch == alone.best_epoch
    for found, expected in zip(history, alone.history, strict=True):
        assert found == pytest.approx(expected, rel=1e-5)
    first = RECIPE.model_copy(update={"epochs": 1})
    start = fit(first, tmp_path / "start", unknown=unknown).weights
    for key, expected in alone.weights.items():
        torch.testing.assert_close(weights[key], expected, rtol=1e-4, atol=1e-6)
    # The tolerance is far below what a step moves.
    moved = (alone.weights["head.3.weight"] - start["head.3.weight"]).abs()
    assert moved.median() > 1e-5


@pytest.mark.slow
def test_two_processes_that_were_cut_end_in_the_bits_of_two_that_were_not(results: Path) -> None:
    whole, resumed = read(results, "whole"), read(results, "resumed")
    assert whole[0] == resumed[0]
    assert all(torch.equal(resumed[1][name], tensor) for name, tensor in whole[1].items())
    assert (results / "told.txt").read_text().count("resumed after epoch 1\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whole", "resumed", "every_layer"])
def test_both_processes_end_in_the_same_and_the_first_alone_has_written(
    results: Path, name: str
) -> None:
    first, second = (read(results, name, rank) for rank in (0, 1))
    assert json.dumps(first[0]) == json.dumps(second[0])
    assert all(torch.equal(second[1][key], tensor) for key, tensor in first[1].items())
    assert (results / "a" / "last.safetensors").exists()
    assert not (results / "elsewhere").exists()


@pytest.mark.slow
def test_processes_that_normalise_each_their_share_still_learn(
    results: Path, tmp_path: Path
) -> None:
    # Every layer is trained here, and halves of a batch have other statistics than the whole.
    (_, [found]), _ = read(results, "every_layer")
    [expected] = fit(EVERY_LAYER, tmp_path).history
    assert found["train_loss"] == pytest.approx(expected["train_loss"], rel=0.1)
    assert found["lr"] == expected["lr"]


def make_project(folder: Path) -> Path:
    """Make what the train stage reads, for two processes and few images."""
    params = read_yaml(ROOT / "params.yaml")
    params["compute"] |= {"device": "cpu", "threads": 1, "processes": 2, "precision": "fp32"}
    limits = {"input_px": 32, "epochs": None, "weights": "random", "views": None}
    params["datasets"]["phantom"]["limits"] = limits
    recipe = params["recipes"]["chexnet_head"] | {"batch": 4, "epochs": 6}
    params["recipes"] = {"chexnet_head": recipe}
    index = make_index(13, studies=1)
    pixels = np.random.default_rng(0).integers(0, 256, (len(index), 32, 32), dtype=np.uint8)
    split = pd.DataFrame({"image": index["image"], "part": ["train"] * 8 + ["val"] * 5})
    for name in ("data/packed/phantom", "data/splits/phantom"):
        (folder / name).mkdir(parents=True)
    np.save(folder / "data/packed/phantom/images.npy", pixels)
    index.to_csv(folder / "data/packed/phantom/index.csv", index=False)
    split.to_csv(folder / f"data/splits/phantom/{recipe['split']}.csv", index=False)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def start_stage(project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, "src/stages/train.py", "chexnet_head"),
        cwd=project,
        env=os.environ | {"PYTHONPATH": "src"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_params_alone_start_two_processes_that_stop_and_go_on_as_one(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with start_stage(project) as cut:
        assert cut.stdout is not None
        assert cut.stderr is not None
        seen = []
        for line in cut.stdout:
            seen.append(line)
            if line.startswith("epoch 2 of 6"):
                break
        assert seen[-1].startswith("epoch 2 of 6"), (seen, cut.stderr.read())
        cut.send_signal(signal.SIGTERM)
        told = cut.stderr.read()
    assert cut.returncode == 130, told
    assert told == "stopped; the same command goes on from what is saved\n"
    again = start_stage(project)
    said, told = again.communicate()
    assert (again.returncode, told) == (0, ""), told
    lines = said.splitlines()
    assert any(line.startswith("resumed after epoch") for line in lines)
    assert sum(line.startswith("epoch 6 of 6") for line in lines) == 1
    metrics = json.loads((project / "metrics/chexnet_head/train.json").read_text())
    assert metrics["processes"] == 2
    assert len(load_file(project / "models/chexnet_head/model.safetensors")) > 700
    assert not list((project / "checkpoints").glob("*/"))


SCRIPT = """
import os, sys, time, warnings
import torch
from chestxray14.base.errors import InputError
from chestxray14.base.stage import run
from chestxray14.training import distributed

def main():
    if not distributed.is_launched():
        distributed.launch(2)
        return
    if LATE:
        with distributed.join(torch.device("cpu")):
            warnings.warn("a warning")
            print(f"a line of {distributed.dist.get_rank()}", flush=True)
            if distributed.dist.get_rank() == 1:
                end()
            distributed.total(torch.ones(1))
    else:
        end()

def end():
    ENDS

if __name__ == "__main__":
    run(main)
"""


def start(
    folder: Path, ends: str, *, late: bool = True, by_hand: bool = False
) -> subprocess.Popen[str]:
    """Start two processes of which the second, or early each, comes to its end as told."""
    script = folder / "script.py"
    script.write_text(SCRIPT.replace("ENDS", ends).replace("LATE", str(late)))
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    return subprocess.Popen(
        (sys.executable, *(torchrun if by_hand else ()), str(script)),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def errors(told: str) -> list[str]:
    """Return what is left of stderr without the warning, of two lines, that the first one gave."""
    return [line for line in told.splitlines() if "a warning" not in line]


@pytest.mark.slow
@pytest.mark.parametrize("late", [True, False])
def test_a_users_mistake_in_a_process_is_one_line(late: bool, tmp_path: Path) -> None:
    running = start(tmp_path, "raise InputError('no such thing')", late=late)
    _, told = running.communicate()
    assert (running.returncode, errors(told)) == (1, ["error: no such thing"])
    assert ("UserWarning: a warning" in told) == late


@pytest.mark.slow
def test_what_the_system_refuses_a_process_is_one_line(tmp_path: Path) -> None:
    running = start(tmp_path, f"open({str(tmp_path / 'nowhere' / 'x')!r})")
    _, told = running.communicate()
    assert running.returncode == 1
    [line] = errors(told)
    assert line.startswith(f"error: {tmp_path / 'nowhere' / 'x'}: ")


@pytest.mark.slow
def test_a_killed_process_is_named_with_its_signal(tmp_path: Path) -> None:
    running = start(tmp_path, "os.kill(os.getpid(), 9)")
    _, told = running.communicate()
    assert running.returncode == 1
    [line] = errors(told)
    assert re.match(r"error: .*\bsignal 9\b", line)


@pytest.mark.slow
def test_a_mistake_of_ours_in_a_process_is_told_with_where_it_happened(tmp_path: Path) -> None:
    running = start(tmp_path, "raise RuntimeError('a mistake of ours')")
    _, told = running.communicate()
    assert running.returncode == 1
    assert "in end\n" in told
    assert "RuntimeError: a mistake of ours" in told
    assert "error:" not in told


@pytest.mark.slow
def test_what_processes_that_succeed_warn_of_is_heard_of_the_first_alone(tmp_path: Path) -> None:
    running = start(tmp_path, "pass")
    said, told = running.communicate()
    assert (running.returncode, said, errors(told)) == (0, "a line of 0\n", [])
    assert told.count("UserWarning: a warning") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "to"), [(signal.SIGTERM, "one"), (signal.SIGINT, "one"), (signal.SIGINT, "all")]
)
def test_a_signal_ends_all_processes_and_is_told_once(
    number: int, to: str, tmp_path: Path
) -> None:
    with start(tmp_path, "time.sleep(600)") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "a line of 0\n"
        workers = psutil.Process(running.pid).children(recursive=True)
        # A terminal sends its interrupt to all.
        (os.kill if to == "one" else os.killpg)(running.pid, number)
        told = running.stderr.read()
    assert running.returncode == 130
    [line] = errors(told)
    assert line.startswith("stopped")
    assert len(workers) >= 2
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.slow
def test_processes_that_torchrun_started_tell_a_mistake_themselves(tmp_path: Path) -> None:
    running = start(tmp_path, "raise InputError('no such thing')", by_hand=True)
    _, told = running.communicate()
    assert running.returncode == 1
    assert told.splitlines().count("error: no such thing") == 1
    running = start(tmp_path, "pass", by_hand=True)
    said, told = running.communicate()
    assert (running.returncode, said, errors(told)) == (0, "a line of 0\n", [])


def test_processes_leave_their_group_however_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(dist, "init_process_group", lambda _: None)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: ended.append("ended"))
    with distributed.join(CPU):
        assert not ended
    with pytest.raises(InputError), distributed.join(CPU):
        raise InputError("no such thing")
    assert ended == ["ended"] * 2
