"""Several processes that train as one: each takes its share of every batch.

Where neither `launch` nor torchrun started them there is one process, and nothing here changes
anything.
"""

import logging
import os
import runpy
import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
)
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn, TypeVar
from uuid import uuid4

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ProcessFailure,
    record,
)
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from chestxray14.base.errors import InputError
from chestxray14.base.stage import run

T = TypeVar("T")


def is_launched() -> bool:
    """Say whether torchrun, or `launch`, started this process."""
    return "LOCAL_RANK" in os.environ


def launch(processes: int) -> None:
    """Run the `main` of this very script in so many processes on this machine, as torchrun does.

    What they print is printed. Raises `InputError` with the line by which one of them ended.
    """
    with TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        worker = ("-u", "-c", f"from {__name__} import work; work()")
        # Torch tells of a failure in many lines; one is told here.
        logging.disable()
        try:
            elastic_launch(config, sys.executable)(*worker, *sys.argv)
        except SignalException:
            raise KeyboardInterrupt from None
        except ChildFailedError as error:
            _tell(error.failures.values(), processes=processes)
        finally:
            logging.disable(logging.NOTSET)


def work() -> None:
    """Be one of the processes that `launch` started, which tells what ends this one."""
    sys.excepthook = lambda *_: None
    del sys.argv[0]
    record(_run_script)()


def _run_script() -> None:
    main = runpy.run_path(sys.argv[0])["main"]

    def silent() -> None:
        try:
            main()
        except KeyboardInterrupt:
            sys.exit(_STOPPED)

    try:
        run(silent)
    except SystemExit as end:
        if isinstance(end.code, str):
            raise InputError(end.code.removeprefix("error: ")) from None
        raise


_STOPPED = 128 + signal.SIGINT
"""The exit status of what was interrupted."""


def _tell(failures: Collection[ProcessFailure], *, processes: int) -> NoReturn:
    """End as the process did that failed first: the others fail because it is gone."""
    first = min(failures, key=_date)
    told = [
        failure.error_file_data["message"]
        for failure in failures
        if Path(failure.error_file).exists()
    ]
    for message in told:
        kind, _, line = message["message"].partition(": ")
        if kind == InputError.__name__:
            raise InputError(line)
    if first.exitcode < 0:
        raise InputError(
            f"one of {processes} processes was ended by signal {-first.exitcode}, as where memory "
            "is short; the same command goes on"
        )
    if told:
        # A mistake of ours: which one was first is for who reads them.
        sys.exit("\n".join(message["extraInfo"]["py_callstack"] for message in told))
    if first.exitcode == _STOPPED:
        raise KeyboardInterrupt
    sys.exit(f"one of {processes} processes ended with status {first.exitcode}")


def _date(failure: ProcessFailure) -> int:
    """Return the second in which a process failed, as far as torch knows."""
    # A kill is noticed after others may have failed of it. By SIGTERM torch itself ends the rest.
    killed = failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM
    return failure.timestamp - killed


@contextmanager
def join(device: torch.device) -> Iterator[None]:
    """Train as one with the other processes that were started; the first one speaks for all.

    Raises `InputError` where there are more processes than GPUs, or the device is Apple's, of
    which torch has no way to let several train as one.
    """
    if not is_launched():
        yield
        return
    if device.type == "mps" and os.environ["WORLD_SIZE"] != "1":
        raise InputError(
            f"{os.environ['WORLD_SIZE']} processes cannot share Apple's MPS; set "
            "compute.processes to 1, or compute.device to cpu"
        )
    if device.type == "cuda":
        local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= there:
            raise InputError(f"{local + 1} processes at least, but {there} GPUs on this machine")
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
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
    finally:
        # NCCL would wait here for the others, and they wait for a process that fails.
        if device.type != "cuda" or sys.exception() is None:
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


def leave_to_last(network: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Return the context of one piece of a batch: gradients are exchanged with the last alone."""
    if last or not isinstance(network, nn.parallel.DistributedDataParallel):
        return nullcontext()
    context: AbstractContextManager[None] = network.no_sync()
    return context


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
