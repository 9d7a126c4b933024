"""A file that somebody else wrote, as bytes, packed or not."""

import gzip
import io
import zlib
from pathlib import Path

from chestxray14.base.errors import InputError

LARGEST = 256 * 2**20
"""Bytes above which a gzip file is refused: no table comes near."""


def read_foreign(path: Path) -> bytes:
    """Return the content of a file, unpacked where its name ends in .gz.

    Raises `InputError` naming the file that is not here, is damaged or would unpack to more than
    `LARGEST` bytes.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if path.suffix != ".gz":
        return content
    try:
        with gzip.open(io.BytesIO(content)) as file:
            unpacked = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is no whole gzip file ({error})") from None
    if len(unpacked) > LARGEST:
        raise InputError(f"{path}: more than {LARGEST:,} bytes unpacked")
    return unpacked
