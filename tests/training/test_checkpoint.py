import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from chestxray14.base.errors import InputError
from chestxray14.training import checkpoint


@pytest.fixture(autouse=True)
def _checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(checkpoint.CHECKPOINTS_VARIABLE, str(tmp_path / "checkpoints"))


def build(*, scaled: bool = False) -> checkpoint.State:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1, fused=True)
    scaler = torch.amp.GradScaler("cpu", enabled=scaled, growth_interval=3)
    return checkpoint.State(network, network, optimizer, scaler)


def step(state: checkpoint.State, *, seed: int) -> None:
    inputs = torch.rand(8, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    # The first scaled gradient is infinite, so that the scale has moved by the time it is saved.
    loss = state.network(inputs).square().sum() * (1e38 if seed == 0 else 1)
    state.scaler.scale(loss).backward()
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad()


def bits(state: checkpoint.State) -> list[bytes]:
    return [value.numpy().tobytes() for value in state.network.state_dict().values()]


@pytest.mark.parametrize("scaled", [False, True])
def test_a_resumed_run_ends_in_the_bits_of_an_undisturbed_one(scaled: bool) -> None:
    undisturbed = build(scaled=scaled)
    for seed in range(6):
        step(undisturbed, seed=seed)

    state = build(scaled=scaled)
    for seed in range(3):
        step(state, seed=seed)
    progress = checkpoint.Progress(history=[{"lr": 0.1}], best_epoch=0, best_score=0.5)
    best = {"weight": torch.arange(3.0)}
    with checkpoint.lock_folder("key") as folder:
        checkpoint.save(folder, progress, state, best=best)

    state = build(scaled=scaled)
    step(state, seed=9)
    with checkpoint.lock_folder("key") as folder:
        resumed, kept = checkpoint.load(folder, state)
    for seed in (3, 4, 5):
        step(state, seed=seed)
    assert bits(state) == bits(undisturbed)
    # One fall, and one rise that comes three steps later, over the cut.
    assert state.scaler.get_scale() == undisturbed.scaler.get_scale() == (2**16 if scaled else 1)
    assert resumed == progress
    assert torch.equal(kept["weight"], best["weight"])


def test_another_key_never_finds_the_checkpoint() -> None:
    with checkpoint.lock_folder("recipe a", "data") as folder:
        save_one(folder)
    with checkpoint.lock_folder("recipe b", "data") as folder:
        assert checkpoint.load(folder, build()) == (checkpoint.Progress(), {})


def test_a_second_process_is_refused_while_the_first_holds_the_lock() -> None:
    script = """
from chestxray14.training.checkpoint import lock_folder
with lock_folder("key"):
    print("entered")
"""
    with checkpoint.lock_folder("key"):
        second = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
    assert f"process {os.getpid()} is training this very run" in second.stderr
    assert "entered" not in second.stdout
    third = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert third.stdout == "entered\n"


def test_the_lock_outlives_the_folder_of_a_finished_run() -> None:
    with checkpoint.lock_folder("key") as folder:
        checkpoint.remove(folder)
        with (
            pytest.raises(InputError, match=f"process {os.getpid()}"),
            checkpoint.lock_folder("key"),
        ):
            pass


def save_one(folder: Path) -> None:
    state = build()
    step(state, seed=0)
    checkpoint.save(folder, checkpoint.Progress(), state, best={})


def test_a_damaged_checkpoint_is_put_aside_and_the_run_begins_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = build()
    untouched = bits(state)
    damaged = b"\x08" + b"\0" * 20
    with checkpoint.lock_folder("key") as folder:
        (folder / "last.safetensors").write_bytes(damaged)
        assert checkpoint.load(folder, state) == (checkpoint.Progress(), {})
        assert bits(state) == untouched
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
            "last.damaged": damaged
        }
    assert "last.safetensors is damaged (" in caplog.text


def test_a_checkpoint_put_into_another_runs_folder_is_refused() -> None:
    with checkpoint.lock_folder("one") as first, checkpoint.lock_folder("other") as second:
        save_one(first)
        shutil.copy(first / "last.safetensors", second)
        with pytest.raises(InputError, match=f"is of the run {first.name}; move it back"):
            checkpoint.load(second, build())


def test_a_changed_file_of_a_room_gives_another_key_and_of_another_room_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "chestxray14"
    rooms = ("base", "files", "model", "training")
    for room in (*rooms, "report"):
        (package / room).mkdir(parents=True)
        for name in ("first", "second"):
            (package / room / f"{name}.py").write_text(f"{room} {name}")
    script = tmp_path / "train.py"
    script.write_text("script")
    monkeypatch.setattr(checkpoint.chestxray14, "__file__", str(package / "__init__.py"))

    def changed(file: Path) -> bool:
        before, content = checkpoint.hash_code(script, rooms=rooms), file.read_text()
        file.write_text(content + "#")
        after = checkpoint.hash_code(script, rooms=rooms)
        file.write_text(content)
        return before != after

    for file in (script, *(package / room / "second.py" for room in rooms)):
        assert changed(file), file
    assert not changed(package / "report" / "second.py")
    before = checkpoint.hash_code(script, rooms=rooms)
    (package / "model" / "third.py").touch()
    assert checkpoint.hash_code(script, rooms=rooms) != before
