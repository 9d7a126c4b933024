import hashlib
import tarfile
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from chestxray14.base.errors import InputError
from chestxray14.model.recipe import WeightsFile
from chestxray14.model.weights import match_weights, read_weights

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
        torch.save(STATE, path)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt"])
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


@pytest.mark.parametrize("zipped", [True, False])
def test_every_tensor_of_a_training_checkpoint_has_its_keys_in_its_name(
    tmp_path: Path, zipped: bool
) -> None:
    inner = {"epoch": 3, "model_state_dict": STATE, "optimizer": {"state": {0: {"m": STATE["b"]}}}}
    torch.save(inner, tmp_path / "c.ckpt", _use_new_zipfile_serialization=zipped)
    read = read_weights(pinned(tmp_path / "c.ckpt"))
    names = {"model_state_dict.a.weight", "model_state_dict.b", "optimizer.state.0.m"}
    assert read.keys() == names
    assert torch.equal(read["model_state_dict.a.weight"], STATE["a.weight"])


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_file_that_would_run_code_is_refused_with_the_way_out_and_runs_none(
    tmp_path: Path,
) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"features": Trap()}, tmp_path / "trap.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "pickled.pth")
    torch.save({"state_dict": STATE, "hparams": Namespace()}, tmp_path / "lightning.ckpt")
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "script.pt")
    with tarfile.open(tmp_path / "old.pth.tar", "w") as tar:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            tar.addfile(tarfile.TarInfo(name))
    for file, named in {
        "trap.pt": "getattr",
        "pickled.pth": "Linear",
        "lightning.ckpt": "Namespace",
        "script.pt": "TorchScript",
        "old.pth.tar": "tar",
    }.items():
        line = refusal(pinned(tmp_path / file))
        reason, _, way_out = line.partition(";")
        assert file in reason
        assert named in reason.removeprefix(f"weights.path: {tmp_path / file}")
        assert "state_dict" in way_out
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (b"<html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1f\x8b\x08", "packed"),
    ],
)
def test_what_is_no_weights_is_called_by_its_name(
    tmp_path: Path, content: bytes, named: str
) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    assert named in refusal(pinned(tmp_path / "w.pth"))
    torch.save([1, 2], tmp_path / "list.pt")
    assert "list.pt holds no tensors by name" in refusal(pinned(tmp_path / "list.pt"))


@pytest.mark.parametrize("prefix", ["", "state_dict.model.", "model_state_dict.module._orig_mod."])
def test_a_network_is_found_below_any_prefix_and_that_is_said(
    prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    file = {f"{prefix}{name}": tensor for name, tensor in STATE.items()}
    # Its name ends as the first one's does, its network is another.
    file |= {f"{prefix}layer.a.weight": torch.zeros(2, 3)}
    matched = match_weights(file, STATE, source="w.pth")
    assert matched.keys() == STATE.keys()
    assert all(torch.equal(matched[name], STATE[name]) for name in STATE)
    assert f"2 of 3 tensors matched{f' below {prefix[:-1]}' if prefix else ''};" in caplog.text


def test_of_two_networks_in_a_file_none_is_guessed() -> None:
    average = {name: tensor + 1 for name, tensor in STATE.items()}
    file = {f"model.{name}": tensor for name, tensor in STATE.items()}
    both = file | {f"ema.{name}": tensor for name, tensor in average.items()}
    with pytest.raises(InputError, match=r"^w holds several networks.*model\.a.*ema\.a"):
        match_weights(both, STATE, source="w")
    twice = file | {f"copy.{name}": tensor.double() for name, tensor in STATE.items()}
    assert match_weights(twice, STATE, source="w").keys() == STATE.keys()


def test_another_shape_is_told_with_the_expected_one() -> None:
    file = {"m.a.weight": torch.zeros(2, 1), "m.b": STATE["b"]}
    with pytest.raises(InputError, match=r"^w .*m\.a\.weight is 2x1, expected 2x3, as 1 of 2"):
        match_weights(file, STATE, source="w")


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
