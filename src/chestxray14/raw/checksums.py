"""The CRC-32 of every file of a folder; a file is read again only where it may have changed.

What was found last time is a private record beside the raw data, outside of DVC and git: it holds
times, which differ from machine to machine.
"""

import json
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chestxray14.base.locks import hold, is_read_only
from chestxray14.base.progress import track
from chestxray14.base.stage import count_processors
from chestxray14.files.outputs import write_text

SETTLED = 2 * 10**9
"""Nanoseconds after which another change has another time, on the coarsest of file systems."""

_BLOCK = 2**20


def sum_files(files: dict[str, Path], *, record: Path | None) -> dict[str, int | None]:
    """Return the CRC-32 of each of `files`, by its name there; None where it cannot be read.

    One that has the length and times of `record` is not read. Of processes with the same record
    each waits for the one before; where it cannot be written it is done without.
    """
    if record is None:
        return _sum(files, known={})[0]
    try:
        with hold(record.with_suffix(".lock"), doing=f"looking at {record}", wait=True):
            known = _read(record)
            sums, seen = _sum(files, known=known)
            if seen != known:
                write_text(record, json.dumps(seen))
    except OSError as error:
        if not is_read_only(error):
            raise
        return sum_files(files, record=None)
    return sums


def _sum(
    files: dict[str, Path], *, known: dict[str, list[int]]
) -> tuple[dict[str, int | None], dict[str, list[int]]]:
    """Return the sums, and what may be believed of them next time: length, two times, sum."""
    now = time.time_ns()
    stamps = {name: _stamp(file) for name, file in files.items()}
    changed = [name for name in files if known.get(name, [])[:-1] != stamps[name]]
    sums: dict[str, int | None] = {name: values[-1] for name, values in known.items()}
    with ThreadPoolExecutor(count_processors()) as pool:
        read = pool.map(_sum_file, [files[name] for name in changed])
        looked = track(read, what="look", unit="files", total=len(changed))
        sums |= dict(zip(changed, looked, strict=True))
    seen = {
        name: [*stamp, sum_]
        for name, stamp in stamps.items()
        if (sum_ := sums[name]) is not None and max(stamp[1:]) < now - SETTLED
    }
    return {name: sums[name] for name in files}, seen


def _stamp(file: Path) -> list[int]:
    status = file.stat()
    # The second cannot be set back, as a copy's or `touch -r`'s first is.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _sum_file(file: Path) -> int | None:
    value = 0
    try:
        with file.open("rb") as content:
            while block := content.read(_BLOCK):
                value = zlib.crc32(block, value)
    except OSError:
        return None
    return value


def _read(record: Path) -> dict[str, list[int]]:
    """Return the record, empty where it is none of ours: then everything is read again."""
    try:
        seen = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    good = isinstance(seen, dict) and all(
        isinstance(values, list) and [type(value) for value in values] == [int] * 4
        for values in seen.values()
    )
    return seen if good else {}
