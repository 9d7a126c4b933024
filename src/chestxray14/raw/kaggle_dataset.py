"""Bring a dataset from Kaggle as one zip, going on where an earlier attempt ended.

Kaggle's client says where it lies; the transfer itself is done here, because client 2.2.4 restarts
a resumed download from nothing whenever the storage answers it with an error (an expired address,
a passing 503).
"""

import hashlib
import logging
import math
import os
import shutil
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import requests

from chestxray14.base.errors import InputError
from chestxray14.base.locks import hold
from chestxray14.base.progress import track
from chestxray14.raw.kaggle_api import NotTheFile, Remote, locate, stop_where_hopeless, validator

log = logging.getLogger(__name__)

WAITS: tuple[float, ...] = (2, 5, 15, 30, 60, 120, 300)
"""Seconds before each further attempt; what brings new bytes starts over at the first."""

TIMEOUT = 60
"""Seconds of silence after which a connection counts as lost, and Kaggle's answer as none."""

LONGEST_WAIT = 3600
"""Seconds a server's own wish to wait is followed for; it is asked again then."""

MIB = 2**20


def download_dataset(slug: str, folder: Path) -> Path:
    """Bring version `owner/name/version` of a Kaggle dataset to `folder/owner-name-version.zip`.

    A zip that is there is whole, and nothing is asked of Kaggle. Until then the bytes are in
    a file that ends in `.part`, which any later call goes on from. Interruptions are retried until
    `len(WAITS)` attempts in a row brought nothing.

    Raises `InputError` for missing or rejected credentials, a dataset that Kaggle does not give,
    too little disk space, a download in another process, and where the attempts ran out.
    """
    archive = folder / f"{slug.replace('/', '-')}.zip"
    if archive.exists():
        return archive
    path = archive.with_name(f"{archive.name}.part")
    marker = path.with_name(f"{path.name}.etag")
    # It warns of malformed headers with the signed address they came from.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with hold(archive.with_name(f"{archive.name}.lock"), doing=f"downloading {path}"):
            if archive.exists():  # another process ended between the two looks
                return archive
            with path.open("ab") as part:
                remote = _transfer(slug, part=part, marker=marker)
                part.flush()
                os.fsync(part.fileno())
            _verify(path, remote)
            path.replace(archive)
    except OSError as error:
        raise InputError(
            f"{error.filename or path}: {error.strerror}; what was downloaded stays and the same "
            "command goes on from there"
        ) from None
    marker.unlink(missing_ok=True)
    log.info("%s: complete in %s", slug, archive)
    return archive


def _transfer(slug: str, *, part: BinaryIO, marker: Path) -> Remote:
    """Bring `part` to its full length, in as many attempts as make progress."""
    fruitless = 0
    while True:
        before = part.tell()
        asked_wait = 0.0
        try:
            # A fresh address each time: the last one may be what expired.
            remote = locate(slug, within=TIMEOUT)
            _fetch(remote, slug=slug, part=part, marker=marker)
            if part.tell() == remote.length:
                return remote
            reason = f"came to {part.tell():,} bytes, expected {remote.length:,}"
        except requests.RequestException as error:
            stop_where_hopeless(error, slug)
            reason = _reason(error)
            asked_wait = _asked_wait(error)
        if part.tell() > before:
            fruitless = 0
        have = _gigabytes(part.tell())
        if fruitless == len(WAITS):
            raise InputError(
                f"{slug}: {reason}; gave up after {fruitless + 1} attempts without progress, "
                f"{have} stay in {part.name} and the same command goes on from there"
            )
        wait = max(WAITS[fruitless], asked_wait)
        fruitless += 1
        log.info("%s: %s; %s are here, next attempt in %g s", slug, reason, have, wait)
        time.sleep(wait)


def _fetch(remote: Remote, *, slug: str, part: BinaryIO, marker: Path) -> None:
    """Append what is missing; bytes of another file give way once the new ones come."""
    here = part.tell()
    known = marker.read_text(encoding="utf-8", errors="replace") if marker.exists() else ""
    have = here if known == remote.validator != "" and here <= remote.length else 0
    missing = remote.length - have
    free = shutil.disk_usage(marker.parent).free + here - have
    if missing > free:
        raise InputError(
            f"{slug}: not enough disk space in {marker.parent}: "
            f"{_gigabytes(missing)} needed, {_gigabytes(free)} free"
        )
    if not missing:
        return
    log.info("%s: %s to download, %s are here", slug, _gigabytes(missing), _gigabytes(have))
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": remote.validator}
    with requests.get(remote.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        start = _first_byte(response, remote, have=have)
        blocks = track(
            response.iter_content(MIB),
            what=slug,
            unit="MiB",
            total=math.ceil(remote.length / MIB),
            start=start // MIB,
        )
        if not have:
            first = next(blocks, b"")
            if not first.startswith(b"PK"):
                raise NotTheFile("the server sent something else than a zip")
            part.truncate(0)
            part.seek(0)
            marker.write_text(remote.validator, encoding="utf-8")
            part.write(first)
        part.writelines(_without(blocks, leading=have - start))


def _first_byte(response: requests.Response, remote: Remote, *, have: int) -> int:
    """Return where in the file an answer starts: at `have`, or at 0 if ranges are unknown there."""
    headers = response.headers
    start = have if response.status_code == requests.codes.partial_content else 0
    if start and not headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise NotTheFile("the server sent another range than asked for")
    if not start and validator(headers) != remote.validator:
        raise NotTheFile("the file on the server changed between two requests")
    expected = str(remote.length - start)
    if headers.get("Content-Length", expected) != expected:
        raise NotTheFile(f"the server sends {headers['Content-Length']} bytes, not {expected}")
    return start


def _without(blocks: Iterable[bytes], *, leading: int) -> Iterator[bytes]:
    """Yield `blocks` less the first `leading` bytes of them all."""
    for block in blocks:
        yield block[leading:]
        leading = max(0, leading - len(block))


def _verify(path: Path, remote: Remote) -> None:
    """Check a complete download against the server's md5; remove it where it is not the zip."""
    log.info("%s: checking it", path)
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest() if remote.md5 else None
    if md5 == remote.md5 and zipfile.is_zipfile(path):
        return
    path.unlink()
    problem = "not a zip" if md5 == remote.md5 else f"md5 is {md5}, expected {remote.md5}"
    raise InputError(f"{path}: {problem}; removed, run the same command again")


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, NotTheFile):
        return str(error)
    # Never a foreign error's own text: it may hold a signed address.
    if error.response is not None:
        return f"the server answered {error.response.status_code}"
    return f"the connection failed ({type(error).__name__})"


def _asked_wait(error: requests.RequestException) -> float:
    """Return the seconds the server asks to wait, 0 where it does not say."""
    asked = "" if error.response is None else error.response.headers.get("Retry-After", "")
    return min(float(asked), LONGEST_WAIT) if asked.isdecimal() else 0.0


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.2f} GB"
