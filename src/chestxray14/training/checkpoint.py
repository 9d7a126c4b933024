"""A training run's state on disk: resumed after a kill, never taken for another run's."""

import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn

import chestxray14
from chestxray14.base.draws import hash_file
from chestxray14.base.errors import InputError
from chestxray14.base.locks import hold
from chestxray14.files.tensors import read_tensors, write_tensors
from chestxray14.model.trained import as_arrays, as_tensors

CHECKPOINTS_VARIABLE = "CHESTXRAY14_CHECKPOINTS"
"""Environment variable that names another folder for checkpoints: `dvc exp run --temp` and queued
runs work in a copy that is deleted when they fail, and with it `checkpoints/`."""

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far training is: the history so far and the best epoch, counted from 0.

    Of two scores the lower is the better. `skipped_steps` are those whose gradient fp16 could not hold.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_score: float = float("inf")
    skipped_steps: int = 0


@dataclass(frozen=True)
class State:
    """What is saved beside the progress.

    `average` is the network with averaged weights, or `network` itself where none are kept.
    """

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler


@contextmanager
def lock_folder(*key: str) -> Iterator[Path]:
    """Yield the checkpoint folder of the run that `key` identifies, for this process alone.

    `key` is everything that the trained bytes depend on: recipe, code, data. Raises `InputError`
    when another process holds the folder.
    """
    digest = sha256("\n".join(key).encode()).hexdigest()[:32]
    folder = Path(os.environ.get(CHECKPOINTS_VARIABLE) or "checkpoints") / digest
    # The lock lies beside the folder, which goes when the run is finished: a lock on a deleted
    # file would keep nobody out.
    with hold(folder.with_suffix(".lock"), doing=f"training this very run ({folder})"):
        folder.mkdir(exist_ok=True)
        yield folder


def save(folder: Path, progress: Progress, state: State, *, best: Mapping[str, Tensor]) -> None:
    """Write the whole state as one file, which is replaced in one step."""
    parts = {"network": state.network.state_dict(), "best": best}
    if state.average is not state.network:
        parts["average"] = state.average.state_dict()
    tensors = {
        f"{part}.{name}": tensor
        for part, values in parts.items()
        for name, tensor in values.items()
    }
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    record = {
        "run": folder.name,
        "progress": asdict(progress),
        "scaler": state.scaler.state_dict(),
    }
    write_tensors(folder / "last.safetensors", as_arrays(tensors), record=record)


def load(folder: Path, state: State) -> tuple[Progress, dict[str, Tensor]]:
    """Bring all to the saved state; return the progress and the best weights.

    Without a checkpoint nothing changes and the progress is none. So it is with a damaged one, which
    is put aside: nobody can mend it, and a run begun again ends in the same bytes. Raises
    `InputError` when the checkpoint is another run's.
    """
    path = folder / "last.safetensors"
    if not path.exists():
        return Progress(), {}
    try:
        arrays, record = read_tensors(path)
    except InputError as error:
        aside = path.replace(path.with_suffix(".damaged"))
        log.warning("%s: it is now %s, and training begins again", error, aside.name)
        return Progress(), {}
    if record["run"] != folder.name:
        raise InputError(f"{path} is of the run {record['run']}; move it back to that folder")
    parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in as_tensors(arrays).items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    state.network.load_state_dict(parts["network"])
    if state.average is not state.network:
        state.average.load_state_dict(parts["average"])
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            # Fused optimizers walk memory, so a moment must lie as its channels-last weight does.
            tensor = torch.empty_like(parameter).copy_(tensor)
        moments.setdefault(int(index), {})[key] = tensor
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    state.scaler.load_state_dict(record["scaler"])
    return Progress(**record["progress"]), parts["best"]


def remove(folder: Path) -> None:
    """Delete the checkpoint of a run that is finished, its lock excepted."""
    shutil.rmtree(folder)


def hash_code(script: Path, *, rooms: Sequence[str]) -> str:
    """Return the sha256 of a stage's script and of every module in some rooms of this package."""
    package = Path(chestxray14.__file__).parent
    files = [file for room in rooms for file in sorted((package / room).glob("*.py"))]
    digest = sha256()
    for file in (script, *files):
        digest.update(f"{file.name} {hash_file(file)}\n".encode())
    return digest.hexdigest()
