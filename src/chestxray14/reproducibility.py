"""The same bytes again: what a run's random draws and arithmetic depend on."""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import torch

from chestxray14.errors import InputError
from chestxray14.params import Compute


def generator(*key: int) -> np.random.Generator:
    """Return a generator that depends on its key alone, such as (seed, epoch, step).

    No draw depends on an earlier one, so a run that goes on after a kill draws what the
    undisturbed run would have drawn.
    """
    return np.random.default_rng(key)


def choose_device(compute: Compute) -> torch.device:
    """Return the device to run on and set the number of CPU threads.

    Raises `InputError` when params ask for a device that is not there.
    """
    torch.set_num_threads(compute.threads)
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if compute.device == "auto":
        return torch.device(next(name for name, found in there.items() if found))
    if not there[compute.device]:
        raise InputError(f"compute.device: {compute.device} is not available on this machine")
    return torch.device(compute.device)


def choose_precision(compute: Compute, device: torch.device) -> str:
    """Return `bf16` or `fp32`: what params ask for, or what the hardware is fast at."""
    if compute.precision != "auto":
        return compute.precision
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported()
    else:
        fast = False
    return "bf16" if fast else "fp32"


def choose_algorithms(compute: Compute, device: torch.device) -> None:
    """Ask a GPU for the same bits again, or for speed, as params say; a CPU always repeats."""
    if device.type == "cuda" and compute.deterministic:
        make_deterministic()
    elif device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")


def make_deterministic() -> None:
    """Have torch take the algorithms that repeat, and warn where it knows of none.

    To be called before anything is computed on the GPU: cuBLAS reads its variable when it starts.
    """
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Imported here: no CPU needs torch's compiler.
    import torch._inductor.config as compiler

    compiler.deterministic = True
    # Nothing here reads memory before it is written, so that filling it first would be for nothing.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def describe_processor(device: torch.device) -> str:
    """Return the GPU's name, or the instructions that torch uses of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.cpu.get_cpu_capability()


def hash_code() -> str:
    """Return the sha256 of the running script and of every module of this package in use."""
    files = {Path(sys.argv[0])}
    for name, module in sys.modules.items():
        if name.partition(".")[0] == __package__ and module.__file__:
            files.add(Path(module.__file__))
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        digest.update(hash_file(file).encode())
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
