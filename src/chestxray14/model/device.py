"""The same bytes again: what a run's random draws and arithmetic depend on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from chestxray14.base.errors import InputError
from chestxray14.model.params import Compute


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


@contextmanager
def memory_for(images: int) -> Iterator[None]:
    """Raise `InputError` where the device's memory is too small for so many images at once."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise InputError(
            f"the device's memory is too small for {images} images at once; lower the recipe's batch"
        ) from None
