"""A training run's state on disk: resumed after a kill, never taken for another run's."""

import fcntl
import json
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from chestxray14.errors import InputError
from chestxray14.outputs import write_bytes

CHECKPOINTS_VARIABLE = "CHESTXRAY14_CHECKPOINTS"
"""Environment variable that names another folder for checkpoints: `dvc exp run --temp` and queued
runs work in a copy that is deleted when they fail, and with it `checkpoints/`."""

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far training is: the history so far and the best epoch, counted from 0.

    Of two scores the lower is the better.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_score: float = float("inf")


@contextmanager
def lock_folder(*key: str) -> Iterator[Path]:
    """Yield the checkpoint folder of the run that `key` identifies, for this process alone.

    `key` is everything that the trained bytes depend on: recipe, code, data. Raises `InputError`
    when another process holds the folder.
    """
    digest = sha256("\n".join(key).encode()).hexdigest()[:32]
    folder = Path(os.environ.get(CHECKPOINTS_VARIABLE) or "checkpoints") / digest
    folder.mkdir(parents=True, exist_ok=True)
    # The lock lies beside the folder, which goes when the run is finished: a lock on a deleted
    # file would keep nobody out.
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process is training this very run ({lock.name}); wait for it"
            ) from None
        folder.mkdir(exist_ok=True)
        yield folder


def save(
    folder: Path,
    progress: Progress,
    *,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: Mapping[str, Tensor],
) -> None:
    """Write the whole state as one file, which is replaced in one step.

    `average` is the network with averaged weights, or `network` itself where none are kept.
    """
    parts = {"network": network.state_dict(), "best": best}
    if average is not network:
        parts["average"] = average.state_dict()
    tensors = {
        f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()
    }
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    record = {"run": folder.name, "progress": asdict(progress)}
    write_tensors(folder / "last.safetensors", tensors, record=record)


def load(
    folder: Path, *, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, Tensor]]:
    """Bring all to the saved state; return the progress and the best weights.

    Without a checkpoint nothing changes and the progress is none. So it is with a damaged one, which
    is put aside: nobody can mend it, and a run begun again ends in the same bytes. Raises
    `InputError` when the checkpoint is another run's.
    """
    path = folder / "last.safetensors"
    if not path.exists():
        return Progress(), {}
    try:
        tensors, record = read_tensors(path)
    except InputError as error:
        aside = path.replace(path.with_suffix(".damaged"))
        log.warning("%s: it is now %s, and training begins again", error, aside.name)
        return Progress(), {}
    if record["run"] != folder.name:
        raise InputError(f"{path} is of the run {record['run']}; move it back to that folder")
    parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    network.load_state_dict(parts["network"])
    if average is not network:
        average.load_state_dict(parts["average"])
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            # Fused optimizers walk memory, so a moment must lie as its channels-last weight does.
            tensor = torch.empty_like(parameter).copy_(tensor)
        states.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
    return Progress(**record["progress"]), parts["best"]


def remove(folder: Path) -> None:
    """Delete the checkpoint of a run that is finished, its lock excepted."""
    shutil.rmtree(folder)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, record: object) -> None:
    """Write tensors and a JSON record as one safetensors file, replaced in one step."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One key alone: safetensors writes several in an order that differs from run to run.
    checked = json.dumps({"record": record, "sha256": _hash(kept, record)}, sort_keys=True)
    write_bytes(path, safetensors.torch.save(kept, metadata={"checked": checked}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Return what `write_tensors` wrote.

    Raises `InputError` when the file is damaged, be it by a single bit.
    """
    content = path.read_bytes()
    try:
        tensors = safetensors.torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        checked = json.loads(header["__metadata__"]["checked"])
        record, expected = checked["record"], checked["sha256"]
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error})") from None
    if _hash(tensors, record) != expected:
        raise InputError(f"{path} is damaged (its content has another sha256)")
    return tensors, record


def _hash(tensors: Mapping[str, Tensor], record: object) -> str:
    digest = sha256(json.dumps(record, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
