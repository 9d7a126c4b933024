"""From a raw dataset to one packed array: every radiograph decoded once, on every core."""

import math
import os
import shutil
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.data.images import FEWEST_GREYS, count_greys, decode, pack
from chestxray14.raw.archive import Archive


class Packed(NamedTuple):
    """An image's name, the CRC-32 of its packed pixels, and why it could not be read, if so.

    A `flat` one has fewer than `FEWEST_GREYS`: it is kept, for official lists hold such images.
    """

    name: str
    crc32: int
    reason: str
    flat: bool


def pack_images(
    archive: Archive, labels: pd.DataFrame, *, path: Path, px: int, workers: int
) -> Iterator[Packed]:
    """Write every listed image to `path`, an (N, px, px) uint8 `.npy` file, one row a label row.

    Yields what became of each, in row order; the row of what could not be read is left black.
    Raises `InputError` where the disk has too little space.
    """
    names = labels["image"].tolist()
    shape = (len(names), px, px)
    needed, free = math.prod(shape), shutil.disk_usage(path.parent).free
    if needed > free:
        raise InputError(
            f"not enough disk space for {path}: {needed / 1e9:,.2f} GB needed, "
            f"{free / 1e9:,.2f} GB free"
        )
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        first = file.tell()
        file.truncate(first + needed)

        def pack_row(row: int) -> Packed:
            name = names[row]
            try:
                image = decode(archive.read(name), name=name)
            except InputError as error:
                return Packed(name, 0, str(error), flat=False)
            pixels = pack(image, px=px).tobytes()
            # Written, not mapped: a map's pages count as memory in use, and a full disk kills.
            _write_at(file.fileno(), pixels, first + row * px * px)
            flat = count_greys(image) < FEWEST_GREYS
            return Packed(name, zlib.crc32(pixels), "", flat)

        # Pillow decodes and resizes without the interpreter lock, so threads use every core.
        with ThreadPoolExecutor(workers) as pool:
            submitted = (pool.submit(pack_row, row) for row in range(len(names)))
            ahead = deque(islice(submitted, 4 * workers))  # bounds the queue, and so memory
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(islice(submitted, 1))
        os.fsync(file.fileno())


def _write_at(file: int, content: bytes, offset: int) -> None:
    while content:
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written
