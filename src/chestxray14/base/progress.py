"""Progress of long work: a bar on a terminal, a few plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

LINES = 4
"""How many lines at most a whole run prints where there is no terminal."""

QUIET_SECONDS = 5.0
"""Seconds without a line, so that short work prints none."""


def track(items: Iterable[T], *, what: str, unit: str, total: int, start: int = 0) -> Iterator[T]:
    """Yield `items` and report how far they are, how fast, and how long is left.

    `total` counts all items and `start` those done before, so that a resumed run goes on
    where it was. A single item is no progress.
    """
    if total == 1:
        yield from items
        return
    if sys.stderr.isatty():
        from tqdm import tqdm

        # A bar below another one goes when it is full.
        yield from tqdm(items, desc=what, unit=f" {unit}", total=total, initial=start, leave=None)
        return
    began = spoke = time.monotonic()
    for done, item in enumerate(items, start=start + 1):
        yield item
        now = time.monotonic()
        quarter = done * LINES // total > (done - 1) * LINES // total
        if quarter and now - spoke >= QUIET_SECONDS:
            spoke = now
            rate = (done - start) / (now - began)
            left = (total - done) / rate
            print(
                f"{what}: {done:,} of {total:,} {unit} ({rate:,.1f} a second, {left:,.0f} s left)",
                flush=True,
            )


@contextmanager
def follow(*, what: str, unit: str, total: int, start: int = 0) -> Iterator[Callable[[], object]]:
    """Yield what to call after each step of a whole that is made of tracked work.

    A terminal gets a bar of its own for it, above which logged lines go; elsewhere nothing is shown.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    bar = tqdm(desc=what, unit=f" {unit}", total=total, initial=start)
    with logging_redirect_tqdm(), bar:
        yield bar.update
