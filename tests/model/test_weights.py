import hashlib
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from chestxray14.base.errors import InputError
from chestxray14.model.recipe import WeightsFile
from chestxray14.model.weights import read_weights

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}


def pinned(path: Path) -> WeightsFile:
    return WeightsFile(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def refusal(file: WeightsFile) -> str:
    with pytest.raises(InputError) as caught:
        read_weights(file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(STATE, path)
    else:
        torch.save({"epoch": 3, "state_dict": STATE} if path.suffix == ".tar" else STATE, path)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt", "w.pth.tar"])
def test_every_format_gives_its_tensors_back(tmp_path: Path, name: str) -> None:
    read = read_weights(pinned(write(tmp_path / name)))
    assert read.keys() == STATE.keys()
    assert all(torch.equal(read[key], STATE[key]) for key in STATE)


def test_an_absent_and_a_changed_file_are_named(tmp_path: Path) -> None:
    file = pinned(write(tmp_path / "w.pth"))
    changed = file.model_copy(update={"sha256": "0" * 64})
    assert refusal(changed) == (
        f"weights.sha256: {file.path} has {file.sha256}, params.yaml says {'0' * 64}"
    )
    Path(file.path).unlink()
    assert refusal(file) == f"weights.path: {file.path}: No such file or directory"


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"features": Trap()}, tmp_path / "trap.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "pickled.pth")
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("trap.pt", "pickled.pth", "list.pt"):
        assert f"{name} holds no state dict of tensors alone (" in refusal(pinned(tmp_path / name))
    assert not (tmp_path / "sprung").exists()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(["w.safetensors", "w.pth"]))
def test_a_damaged_file_is_read_or_refused_in_one_line(
    tmp_path: Path, data: st.DataObject, name: str
) -> None:
    content = bytearray(write(tmp_path / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = content[: data.draw(st.integers(0, len(content)))]
    (tmp_path / name).write_bytes(damaged)
    message = ""
    try:
        read_weights(pinned(tmp_path / name))
    except InputError as error:
        message = str(error)
    assert "\n" not in message
