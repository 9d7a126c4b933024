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

MIB = 2**20

NO_CREDENTIALS = (
    "Kaggle credentials are missing or rejected: put an API token from"
    " https://www.kaggle.com/settings in KAGGLE_API_TOKEN, or kaggle.json in ~/.kaggle (see README)"
)


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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as part:
            _lock(part)
            remote = _transfer(slug, part=part, marker=marker)
            part.flush()
            os.fsync(part.fileno())
            _verify(path, remote)
            path.replace(archive)
    except OSError as error:
        raise InputError(
            f"{error.filename or path}: {error.strerror}; what was downloaded stays"
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


def _transfer(slug: str, *, part: BinaryIO, marker: Path) -> _Remote:
    """Bring `part` to its full length, in as many attempts as make progress."""
    furthest = 0
    fruitless = 0
    while True:
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
        if part.tell() > furthest:
            furthest = part.tell()
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
        except requests.RequestException:
            raise
        except (SystemExit, ValueError):
            # ValueError: a token that is no HTTP header; its text is in the message.
            raise InputError(NO_CREDENTIALS) from None
        request = ApiDownloadDatasetRequest()
        request.owner_slug = owner
        request.dataset_slug = name
        request.dataset_version_number = int(version)
        with api.build_kaggle_client() as client:
            response = client.datasets.dataset_api_client.download_dataset(request)
    with response:
        headers = response.headers
        if "Content-Length" not in headers:
            raise requests.exceptions.InvalidHeader("no Content-Length")
        md5 = re.search(r"md5=([\w+/]+=*)", headers.get("x-goog-hash", ""))
        return _Remote(
            url=response.url,
            length=int(headers["Content-Length"]),
            validator=headers.get("ETag") or headers.get("Last-Modified") or "",
            md5=base64.b64decode(md5[1]).hex() if md5 else None,
        )


def _fetch(remote: _Remote, *, slug: str, part: BinaryIO, marker: Path) -> None:
    """Append what is missing; start over where `part` belongs to another file."""
    known = marker.read_text(encoding="utf-8", errors="replace") if marker.exists() else ""
    if known != remote.validator or not known or part.tell() > remote.length:
        _empty(part)
        marker.write_text(remote.validator, encoding="utf-8")
    have = part.tell()
    missing = remote.length - have
    free = shutil.disk_usage(marker.parent).free
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
        if have and response.status_code != requests.codes.partial_content:
            _empty(part)
        blocks = track(
            response.iter_content(MIB),
            what=slug,
            unit="MiB",
            total=math.ceil(remote.length / MIB),
            start=part.tell() // MIB,
        )
        part.writelines(blocks)


def _empty(part: BinaryIO) -> None:
    part.truncate(0)
    part.seek(0)


def _verify(path: Path, remote: _Remote) -> None:
    """Check a complete download against the server's md5; remove it where it is not the zip."""
    if remote.md5:
        log.info("%s: checking its md5", path)
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
        if md5 != remote.md5:
            path.unlink()
            raise InputError(f"{path}: md5 is {md5}, expected {remote.md5}; removed, run again")
    if not zipfile.is_zipfile(path):
        path.unlink()
        raise InputError(f"{path}: not a zip; removed, run again")


def _stop_where_hopeless(error: requests.RequestException, slug: str) -> None:
    """Raise `InputError` where Kaggle's answer will be the same the next time.

    Only calls of its API are posts; what the storage behind a signed address says may pass with
    a fresh address.
    """
    response = error.response
    if response is None or response.request.method != "POST":
        return
    status = response.status_code
    page = f"https://www.kaggle.com/datasets/{slug.rpartition('/')[0]}"
    if status == requests.codes.unauthorized:
        raise InputError(NO_CREDENTIALS) from None
    if status == requests.codes.forbidden:
        raise InputError(
            f"{slug}: Kaggle gives no access (403); sign in at {page} and accept its terms"
        ) from None
    if status == requests.codes.not_found:
        raise InputError(
            f"{slug}: Kaggle has no such dataset or version (404); see {page}"
        ) from None
    if 400 <= status < 500 and status not in (
        requests.codes.request_timeout,
        requests.codes.too_many_requests,
    ):
        raise InputError(f"{slug}: Kaggle refuses the request ({status})") from None


def _reason(error: requests.RequestException) -> str:
    # Never the error's own text: it may hold a signed address.
    if error.response is not None:
        return f"the server answered {error.response.status_code}"
    return f"the connection failed ({type(error).__name__})"


def _asked_wait(error: requests.RequestException) -> float:
    """Return the seconds the server asks to wait, 0 where it does not say."""
    asked = "" if error.response is None else error.response.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 0.0


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.2f} GB"
