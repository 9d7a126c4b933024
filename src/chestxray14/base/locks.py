"""One process at a time: a lock file that names who holds it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from chestxray14.base.errors import InputError


def is_read_only(error: OSError) -> bool:
    """Tell whether the system refused to write, because of who asks or where."""
    return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def hold(path: Path, *, doing: str, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, which stays behind; the system lets go of a killed process's.

    With `wait` another process's end is waited for; else `InputError` names that process and what
    it is `doing`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"process {path.read_text()} is {doing} already; wait for it, or end it and run this "
            "again"
        ) from None
    try:
        # Written in place: a new file would be another lock.
        path.write_text(str(os.getpid()))
        yield
    finally:
        lock.release()
