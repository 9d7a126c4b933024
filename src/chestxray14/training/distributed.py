"""Several processes that train as one: each takes its share of every batch.

Where torchrun did not start them there is one process, and nothing here changes anything.
"""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from chestxray14.base.errors import InputError

T = TypeVar("T")


def is_launched() -> bool:
    """Say whether torchrun started this process."""
    return "LOCAL_RANK" in os.environ


def launch(processes: int) -> None:
    """Run this very script in so many processes on this machine, by torchrun, and wait for them.

    Raises `InputError` with the line by which the first of them to fail ended.
    """
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    command = (*torchrun, f"--nproc-per-node={processes}", *sys.argv)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            _, told = running.communicate()
        except KeyboardInterrupt:
            # subprocess would kill torchrun, and leave the processes it has started alone.
            running.terminate()
            running.communicate()
            raise
    if running.returncode:
        if line := re.search(r"^error: (.*)$", told, re.MULTILINE):
            raise InputError(line[1])
        if killed := re.search(r"Signal (\d+) \(\w+\) received", told):
            raise InputError(
                f"one of {processes} processes was ended by signal {killed[1]}, as where memory is "
                "short; the same command goes on"
            )
        sys.exit(told)


@contextmanager
def join(device: torch.device) -> Iterator[None]:
    """Train as one with the other processes that torchrun started; the first one speaks for all.

    Raises `InputError` where there are more processes than GPUs.
    """
    if not is_launched():
        yield
        return
    if device.type == "cuda":
        local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= there:
            raise InputError(f"{local + 1} processes at least, but {there} GPUs on this machine")
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if is_first():
        yield
    else:
        logging.disable()
        with (
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
        ):
            yield
    dist.destroy_process_group()


def count() -> int:
    """Return the number of processes that train as one."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Say whether this process is the one that reads checkpoints, decides and writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def own_share(items: int) -> slice:
    """Return which of so many items in a row are this process's, all shares as even as can be."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    return slice(items * rank // count(), items * (rank + 1) // count())


def share_gradients(network: nn.Module) -> nn.Module:
    """Return a network whose gradients are the mean over all processes'."""
    if count() == 1 or not any(p.requires_grad for p in network.parameters()):
        return network
    shared = nn.parallel.DistributedDataParallel(network)
    # Each keeps its own statistics; torch 2.15 warns of this as an argument.
    shared.broadcast_buffers = False
    return shared


def total(numbers: Tensor) -> Tensor:
    """Return the sum of all processes' tensors."""
    if count() == 1:
        return numbers
    numbers = numbers.clone()
    dist.all_reduce(numbers)
    return numbers


def join_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return all processes' rows, the first one's first."""
    if count() == 1:
        return rows
    everyones: list[Any] = [None] * count()
    dist.all_gather_object(everyones, rows)
    return np.concatenate(everyones)


def heed_first(value: T) -> T:
    """Return what the first process has."""
    if count() == 1:
        return value
    told = [value]
    dist.broadcast_object_list(told)
    return told[0]


def copy_first(network: nn.Module) -> None:
    """Bring a network to the weights and statistics that the first process has."""
    if count() > 1:
        for tensor in network.state_dict().values():
            dist.broadcast(tensor, src=0)
