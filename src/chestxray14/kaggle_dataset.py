"""Bring a dataset from Kaggle as one zip, going on where an earlier attempt ended.

Kaggle's client signs in and asks for the dataset; the answer is a signed address that lives for
a while. The transfer itself is done here, because client 2.2.4 restarts a resumed download from
nothing whenever the storage answers it with an error (an expired address, a passing 503).
"""

import base64
import contextlib
import fcntl
import hashlib
import io
import logging
import math
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import requests

from chestxray14.errors import InputError
from chestxray14.progress import track

log = logging.getLogger(__name__)

WAITS: tuple[float, ...] = (2, 5, 15, 30, 60, 120, 300)
"""Seconds before each further attempt; what brings new bytes starts over at the first."""

TIMEOUT = 60
"""Seconds of silence after which a connection counts as lost."""

LONGEST_WAIT = 3600
"""Seconds a server's own wish to wait is followed for; it is asked again then."""

MIB = 2**20

NO_CREDENTIALS = (
    "Kaggle credentials are missing or rejected: put an API token from"
    " https://www.kaggle.com/settings in KAGGLE_API_TOKEN, or kaggle.json in ~/.kaggle (see README)"
)


class _NotTheFile(requests.RequestException):
    """An answer that is not the dataset's zip, in words of ours: they hold no signed address."""


@dataclass(frozen=True)
class _Remote:
    """A dataset's zip as the server announces it: `length` in bytes, what it can be checked by."""

    url: str
    length: int
    validator: str
    md5: str | None


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
        with path.open("ab") as part:
            _lock(part)
            if archive.exists():  # another process ended between the two looks
                path.unlink(missing_ok=True)
                return archive
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


def _lock(part: BinaryIO) -> None:
    """Keep a second process from writing the same file."""
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{part.name}: another process is downloading it") from None
    part.seek(0, os.SEEK_END)  # another process may have written since `open`


def _transfer(slug: str, *, part: BinaryIO, marker: Path) -> _Remote:
    """Bring `part` to its full length, in as many attempts as make progress."""
    fruitless = 0
    while True:
        before = part.tell()
        asked_wait = 0.0
        try:
            # A fresh address each time: the last one may be what expired.
            remote = _locate(slug)
            _fetch(remote, slug=slug, part=part, marker=marker)
            if part.tell() == remote.length:
                return remote
            reason = f"came to {part.tell():,} bytes, expected {remote.length:,}"
        except requests.RequestException as error:
            _stop_where_hopeless(error, slug)
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


def _locate(slug: str) -> _Remote:
    """Ask Kaggle for a signed address of the dataset and look at what is there."""
    owner, name, version = slug.split("/")
    # The client prints twenty lines of help to stdout where it has no credentials.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            # Importing it signs in and makes a settings folder.
            from kaggle.api.kaggle_api_extended import KaggleApi
            from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

            api = KaggleApi()
            api.authenticate()
            request = ApiDownloadDatasetRequest()
            request.owner_slug = owner
            request.dataset_slug = name
            request.dataset_version_number = int(version)
            with api.build_kaggle_client() as client:
                response = client.datasets.dataset_api_client.download_dataset(request)
        except requests.RequestException:
            raise
        except (SystemExit, AttributeError, TypeError, ValueError):
            # Settings the client trips over, a token that is no HTTP header: its text is in there.
            raise InputError(NO_CREDENTIALS) from None
        except OSError as error:
            # Never its file name: the client takes a token for one, and a long one cannot be.
            raise InputError(
                f"Kaggle's client cannot read its settings ({error.strerror}): check "
                "KAGGLE_API_TOKEN and ~/.kaggle, or name a folder in KAGGLE_CONFIG_DIR"
            ) from None
    with response:
        headers = response.headers
        if not headers.get("Content-Length", "").isdecimal():
            raise _NotTheFile("the server does not say how long the file is")
        md5 = re.search(r"md5=([A-Za-z0-9+/]{22}==)", headers.get("x-goog-hash", ""))
        return _Remote(
            url=response.url,
            length=int(headers["Content-Length"]),
            validator=_validator(headers),
            md5=base64.b64decode(md5[1]).hex() if md5 else None,
        )


def _validator(headers: Mapping[str, str]) -> str:
    return headers.get("ETag") or headers.get("Last-Modified") or ""


def _fetch(remote: _Remote, *, slug: str, part: BinaryIO, marker: Path) -> None:
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
                raise _NotTheFile("the server sent something else than a zip")
            part.truncate(0)
            part.seek(0)
            marker.write_text(remote.validator, encoding="utf-8")
            part.write(first)
        part.writelines(_without(blocks, leading=have - start))


def _first_byte(response: requests.Response, remote: _Remote, *, have: int) -> int:
    """Return where in the file an answer starts: at `have`, or at 0 if ranges are unknown there."""
    headers = response.headers
    start = have if response.status_code == requests.codes.partial_content else 0
    if start and not headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise _NotTheFile("the server sent another range than asked for")
    if not start and _validator(headers) != remote.validator:
        raise _NotTheFile("the file on the server changed between two requests")
    expected = str(remote.length - start)
    if headers.get("Content-Length", expected) != expected:
        raise _NotTheFile(f"the server sends {headers['Content-Length']} bytes, not {expected}")
    return start


def _without(blocks: Iterable[bytes], *, leading: int) -> Iterator[bytes]:
    """Yield `blocks` less the first `leading` bytes of them all."""
    for block in blocks:
        yield block[leading:]
        leading = max(0, leading - len(block))


def _verify(path: Path, remote: _Remote) -> None:
    """Check a complete download against the server's md5; remove it where it is not the zip."""
    log.info("%s: checking it", path)
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest() if remote.md5 else None
    if md5 == remote.md5 and zipfile.is_zipfile(path):
        return
    path.unlink()
    problem = "not a zip" if md5 == remote.md5 else f"md5 is {md5}, expected {remote.md5}"
    raise InputError(f"{path}: {problem}; removed, run the same command again")


def _stop_where_hopeless(error: requests.RequestException, slug: str) -> None:
    """Raise `InputError` where Kaggle's answer will be the same the next time.

    Only calls of its API are posts; what the storage says may pass with a fresh address.
    """
    response = error.response
    if response is None or response.request.method != "POST":
        return
    status = response.status_code
    if not 400 <= status < 500 or status in (408, 429):  # a timeout, too many requests
        return
    signing_in = not str(response.request.url).endswith("/DownloadDataset")
    if signing_in or status == 401:
        raise InputError(NO_CREDENTIALS) from None
    page = f"https://www.kaggle.com/datasets/{slug.rpartition('/')[0]}"
    refusals = {
        403: f"gives no access (403); sign in at {page} and accept its terms",
        404: f"has no such dataset or version (404); see {page}",
    }
    refusal = refusals.get(status, f"refuses the request ({status}); see {page}")
    raise InputError(f"{slug}: Kaggle {refusal}") from None


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, _NotTheFile):
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
