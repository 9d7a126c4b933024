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


def build() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network = network.to(memory_format=torch.channels_last)
    return network, torch.optim.Adam(network.parameters(), lr=0.1, fused=True)


def step(network: nn.Module, optimizer: torch.optim.Optimizer, *, seed: int) -> None:
    inputs = torch.rand(8, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    network(inputs).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def bits(network: nn.Module) -> list[bytes]:
    return [value.numpy().tobytes() for value in network.state_dict().values()]


def test_a_resumed_run_ends_in_the_bits_of_an_undisturbed_one() -> None:
    network, optimizer = build()
    for seed in range(4):
        step(network, optimizer, seed=seed)
    undisturbed = bits(network)

    network, optimizer = build()
    for seed in range(2):
        step(network, optimizer, seed=seed)
    progress = checkpoint.Progress(history=[{"lr": 0.1}], best_epoch=0, best_score=0.5)
    best = {"weight": torch.arange(3.0)}
    with checkpoint.lock_folder("key") as folder:
        checkpoint.save(
            folder, progress, network=network, average=network, optimizer=optimizer, best=best
        )

    network, optimizer = build()
    step(network, optimizer, seed=9)
    with checkpoint.lock_folder("key") as folder:
        resumed, kept = checkpoint.load(
            folder, network=network, average=network, optimizer=optimizer
        )
    for seed in (2, 3):
        step(network, optimizer, seed=seed)
    assert bits(network) == undisturbed
    assert resumed == progress
    assert torch.equal(kept["weight"], best["weight"])


def test_another_key_never_finds_the_checkpoint() -> None:
    network, optimizer = build()
    with checkpoint.lock_folder("recipe a", "data") as folder:
        save_one(folder)
    with checkpoint.lock_folder("recipe b", "data") as folder:
        assert checkpoint.load(folder, network=network, average=network, optimizer=optimizer) == (
            checkpoint.Progress(),
            {},
        )


def test_a_second_process_is_refused_while_the_first_holds_the_lock() -> None:
    script = (
        "from chestxray14.checkpoint import lock_folder\nwith lock_folder('key'): print('entered')"
    )
    with checkpoint.lock_folder("key"):
        second = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
    assert "another process is training this very run" in second.stderr
    assert "entered" not in second.stdout
    third = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert third.stdout == "entered\n"


def test_the_lock_outlives_the_folder_of_a_finished_run() -> None:
    with checkpoint.lock_folder("key") as folder:
        checkpoint.remove(folder)
        with pytest.raises(InputError, match="another process"), checkpoint.lock_folder("key"):
            pass


def test_a_killed_write_leaves_the_last_whole_checkpoint() -> None:
    network, optimizer = build()
    with checkpoint.lock_folder("key") as folder:
        progress = checkpoint.Progress(history=[{"lr": 0.1}])
        checkpoint.save(
            folder, progress, network=network, average=network, optimizer=optimizer, best={}
        )
        (folder / "last.partial").write_bytes(b"half a file")
        assert (
            checkpoint.load(folder, network=network, average=network, optimizer=optimizer)[0]
            == progress
        )


def save_one(folder: Path) -> None:
    network, optimizer = build()
    step(network, optimizer, seed=0)
    checkpoint.save(
        folder,
        checkpoint.Progress(),
        network=network,
        average=network,
        optimizer=optimizer,
        best={},
    )


def test_a_damaged_checkpoint_is_put_aside_and_the_run_begins_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network, optimizer = build()
    untouched = bits(network)
    damaged = b"\x08" + b"\0" * 20
    with checkpoint.lock_folder("key") as folder:
        (folder / "last.safetensors").write_bytes(damaged)
        loaded = checkpoint.load(folder, network=network, average=network, optimizer=optimizer)
        assert loaded == (checkpoint.Progress(), {})
        assert bits(network) == untouched
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
            "last.damaged": damaged
        }
    assert "last.safetensors is damaged (" in caplog.text


def test_a_checkpoint_put_into_another_runs_folder_is_refused() -> None:
    network, optimizer = build()
    with checkpoint.lock_folder("one") as first, checkpoint.lock_folder("other") as second:
        save_one(first)
        shutil.copy(first / "last.safetensors", second)
        with pytest.raises(InputError, match=f"is of the run {first.name}; move it back"):
            checkpoint.load(second, network=network, average=network, optimizer=optimizer)


def test_a_flipped_bit_never_goes_unseen(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"a": torch.arange(3.0), "b": torch.tensor(1), "c": torch.zeros(0, 2)}
    checkpoint.write_tensors(path, tensors, record={"epoch": 1, "score": float("inf")})
    content = path.read_bytes()
    for place in range(0, 8 * len(content), 11):  # every bit of a byte in turn
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            read, record = checkpoint.read_tensors(path)
        except InputError:
            continue
        # What is left is in the header's padding.
        assert record == {"epoch": 1, "score": float("inf")}
        assert all(torch.equal(read[name], tensors[name]) for name in tensors)


def test_a_model_file_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    network, _ = build()
    for name in ("first", "second"):
        checkpoint.write_tensors(
            tmp_path / f"{name}.safetensors", network.state_dict(), record={"b": 1, "a": 2}
        )
    first = (tmp_path / "first.safetensors").read_bytes()
    assert first == (tmp_path / "second.safetensors").read_bytes()
    tensors, record = checkpoint.read_tensors(tmp_path / "first.safetensors")
    assert record == {"a": 2, "b": 1}
    assert tensors.keys() == network.state_dict().keys()
