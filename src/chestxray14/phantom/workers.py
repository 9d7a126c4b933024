"""Patients drawn side by side, in processes that end with the one that started them."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

Patient = TypeVar("Patient")
Drawn = TypeVar("Drawn")


def map_patients(
    draw: Callable[[Patient], Drawn], patients: Sequence[Patient], *, workers: int
) -> Iterator[Drawn]:
    """Yield what `draw` returns of each patient, in order, from so many processes."""
    if workers == 1:
        yield from map(draw, patients)
        return
    # A fork would copy the threads' locks of whatever the caller has imported.
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker
    ) as pool:
        yield from pool.map(draw, patients)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which lets a worker finish its patient; end when it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A parent that was killed cannot say so: its workers would wait for it forever.
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
