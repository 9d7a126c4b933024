"""Bring one file from a server, going on where an earlier attempt ended."""

import base64
import hashlib
import logging
import math
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import requests

from chestxray14.base.errors import InputError
from chestxray14.base.locks import hold
from chestxray14.base.progress import track

log = logging.getLogger(__name__)

WAITS: tuple[float, ...] = (2, 5, 15, 30, 60, 120, 300)
"""Seconds before each further attempt; what brings new bytes starts over at the first."""

TIMEOUT = 60
"""Seconds of silence after which a connection counts as lost, and a server's answer as none."""

LONGEST_WAIT = 3600
"""Seconds a server's own wish to wait is followed for; it is asked again then."""

MIB = 2**20

Kind = Literal["zip", "gzip"]

FIRST_BYTES: dict[Kind, bytes] = {"zip": b"PK", "gzip": b"\x1f\x8b"}


class NotTheFile(requests.RequestException):
    """An answer that is not the file, in words of ours: they hold no signed address."""


@dataclass(frozen=True)
class Remote:
    """A file as the server announces it: `length` in bytes, and what it is checked by.

    `validator` is its ETag or date, empty where it has neither; `md5` is in hex, where one is told.
    """

    url: str
    length: int
    validator: str
    md5: str | None

    @property
    def mark(self) -> str:
        """What a part of it is known by later."""
        return self.validator or f"{self.length} bytes"


def fetch_file(path: Path, *, name: str, kind: Kind, locate: Callable[[float], Remote]) -> Path:
    """Bring the file that `locate` finds, called `name` in messages, to `path`.

    A file that is there is whole, and no server is asked. Until then the bytes are in a file that
    ends in `.part`, which any later call goes on from. Interruptions are retried until `len(WAITS)`
    attempts in a row brought nothing; each asks `locate`, which is given the seconds to wait for an
    answer, for a fresh address: the last one may be what expired.

    Raises `InputError` for a file that has another md5 or is of another kind, too little disk
    space, a download in another process, and where the attempts ran out.
    """
    if path.exists():
        return path
    part_path = path.with_name(f"{path.name}.part")
    marker = part_path.with_name(f"{part_path.name}.etag")
    # It warns of malformed headers with the signed address they came from.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with hold(path.with_name(f"{path.name}.lock"), doing=f"downloading {part_path}"):
            if path.exists():  # another process ended between the two looks
                return path
            with part_path.open("ab") as part:
                remote = _transfer(name, kind, locate, part=part, marker=marker)
                part.flush()
                os.fsync(part.fileno())
            _verify(part_path, remote, kind)
            part_path.replace(path)
    except OSError as error:
        raise InputError(
            f"{error.filename or part_path}: {error.strerror}; what was downloaded stays and the "
            "same command goes on from there"
        ) from None
    marker.unlink(missing_ok=True)
    log.info("%s: complete in %s", name, path)
    return path


def look_at(url: str, within: float, *, name: str, md5: str | None = None) -> Remote:
    """Return what a plain address leads to; `md5` is what the file must have, where it is known.

    Raises `InputError` where the answer will be the same the next time, and
    `requests.RequestException` for any other that is not the file.
    """
    headers = {"Accept-Encoding": "identity"}
    with requests.get(url, headers=headers, stream=True, timeout=within) as response:
        status = response.status_code
        if 400 <= status < 500 and status not in (408, 429):  # a timeout, too many requests
            raise InputError(
                f"{name}: {url} is refused ({status}); bring the file by a browser, see "
                "docs/real-data.md"
            )
        response.raise_for_status()
        found = read_headers(response)
    return Remote(found.url, length=found.length, validator=found.validator, md5=md5 or found.md5)


def read_headers(response: requests.Response) -> Remote:
    """Return the file that an answer announces."""
    headers = response.headers
    if not headers.get("Content-Length", "").isdecimal():
        raise NotTheFile("the server does not say how long the file is")
    return Remote(
        url=response.url,
        length=int(headers["Content-Length"]),
        validator=_validator(headers),
        md5=_md5(headers),
    )


def _transfer(
    name: str, kind: Kind, locate: Callable[[float], Remote], *, part: BinaryIO, marker: Path
) -> Remote:
    """Bring `part` to its full length, in as many attempts as make progress."""
    fruitless = 0
    while True:
        before = part.tell()
        asked_wait = 0.0
        try:
            remote = locate(TIMEOUT)
            _append(remote, name=name, kind=kind, part=part, marker=marker)
            if part.tell() == remote.length:
                return remote
            reason = f"came to {part.tell():,} bytes, expected {remote.length:,}"
        except requests.RequestException as error:
            reason = tell_failure(error)
            asked_wait = _asked_wait(error)
        if part.tell() > before:
            fruitless = 0
        have = _gigabytes(part.tell())
        if fruitless == len(WAITS):
            raise InputError(
                f"{name}: {reason}; gave up after {fruitless + 1} attempts without progress, "
                f"{have} stay in {part.name} and the same command goes on from there"
            )
        wait = max(WAITS[fruitless], asked_wait)
        fruitless += 1
        log.info("%s: %s; %s are here, next attempt in %g s", name, reason, have, wait)
        time.sleep(wait)


def _append(remote: Remote, *, name: str, kind: Kind, part: BinaryIO, marker: Path) -> None:
    """Append what is missing; bytes of another file give way once the new ones come."""
    here = part.tell()
    known = marker.read_text(encoding="utf-8", errors="replace") if marker.exists() else ""
    have = here if known == remote.mark and here <= remote.length else 0
    missing = remote.length - have
    free = shutil.disk_usage(marker.parent).free + here - have
    if missing > free:
        raise InputError(
            f"{name}: not enough disk space in {marker.parent}: "
            f"{_gigabytes(missing)} needed, {_gigabytes(free)} free"
        )
    if not missing:
        return
    log.info("%s: %s to download, %s are here", name, _gigabytes(missing), _gigabytes(have))
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    if have and remote.validator:
        headers["If-Range"] = remote.validator
    with requests.get(remote.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        start = _first_byte(response, remote, have=have)
        blocks = track(
            response.iter_content(MIB),
            what=name,
            unit="MiB",
            total=math.ceil(remote.length / MIB),
            start=start // MIB,
        )
        if not have:
            first = next(blocks, b"")
            if not first.startswith(FIRST_BYTES[kind]):
                raise NotTheFile(f"the server sent something else than a {kind}")
            part.truncate(0)
            part.seek(0)
            marker.write_text(remote.mark, encoding="utf-8")
            part.write(first)
        part.writelines(_without(blocks, leading=have - start))


def _first_byte(response: requests.Response, remote: Remote, *, have: int) -> int:
    """Return where in the file an answer starts: at `have`, or at 0 if ranges are unknown there."""
    headers = response.headers
    start = have if response.status_code == requests.codes.partial_content else 0
    if start and not headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise NotTheFile("the server sent another range than asked for")
    if not start and _validator(headers) != remote.validator:
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


def _verify(path: Path, remote: Remote, kind: Kind) -> None:
    """Check a complete download against its md5; remove it where it is not the file."""
    log.info("%s: checking it", path)
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest() if remote.md5 else None
    # A gzip shows that it is whole when it is read, and only then.
    whole = kind == "gzip" or zipfile.is_zipfile(path)
    if md5 == remote.md5 and whole:
        return
    path.unlink()
    problem = "not a zip" if md5 == remote.md5 else f"md5 is {md5}, expected {remote.md5}"
    raise InputError(f"{path}: {problem}; removed, run the same command again")


def _validator(headers: Mapping[str, str]) -> str:
    """Return what tells one version of a file from another, empty where the server does not."""
    return headers.get("ETag") or headers.get("Last-Modified") or ""


def _md5(headers: Mapping[str, str]) -> str | None:
    md5 = re.search(r"md5=([A-Za-z0-9+/]{22}==)", headers.get("x-goog-hash", ""))
    return base64.b64decode(md5[1]).hex() if md5 else None


def tell_failure(error: requests.RequestException) -> str:
    """Return in a few words why a download failed, without a signed address."""
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
