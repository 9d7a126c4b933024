"""The same bytes again: what a run's random draws and arithmetic depend on."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from chestxray14.base.errors import InputError
from chestxray14.model.params import Compute


def choose_device(compute: Compute) -> torch.device:
    """Return the device to run on and set the number of CPU threads.

    Raises `InputError` when params ask for a device that is not there, or the installed torch has
    no code for the GPU.
    """
    torch.set_num_threads(compute.threads)
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if compute.device == "auto":
        name = next(name for name, found in there.items() if found)
    elif there[compute.device]:
        name = compute.device
    else:
        raise InputError(f"compute.device: {compute.device} is not available on this machine")
    if name == "cuda":
        _require_kernels()
    return torch.device(name)


def _require_kernels() -> None:
    capability, built_for = torch.cuda.get_device_capability(), torch.cuda.get_arch_list()
    if not has_kernels(capability, built_for):
        raise InputError(
            f"torch {torch.__version__} has no code for the {torch.cuda.get_device_name()} "
            f"(sm_{capability[0]}{capability[1]}), only for {', '.join(built_for)}; install a torch "
            "that has, or set compute.device to cpu"
        )


def has_kernels(capability: tuple[int, int], built_for: Sequence[str]) -> bool:
    """Say whether a torch built for some architectures runs on a GPU of a compute capability.

    Machine code, `sm_75`, runs on its own major version from its minor version on, `sm_90a` on 9.0
    alone; `compute_90` is compiled for all from there on. Of others, as AMD's, nothing is known.
    """
    for name in built_for:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", name)
        if not found:
            return True
        kind, version, suffix = found[1], (int(found[2]), int(found[3])), found[4]
        later = suffix != "a" and (kind == "compute" or version[0] == capability[0])
        if version == capability or (later and version < capability):
            return True
    return not built_for


def choose_precision(compute: Compute, device: torch.device) -> str:
    """Return `bf16`, `fp16` or `fp32`: what params ask for, or what the hardware is fast at."""
    if compute.precision != "auto":
        return compute.precision
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
        # Volta and Turing, V100 and T4; before them fp16 is slow.
        return "fp16" if torch.cuda.get_device_capability(device)[0] == 7 else "fp32"
    fast = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
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
            f"the device's memory is too small for {images} images at once; set "
            "compute.images_at_once below that, or lower the recipe's batch"
        ) from None
