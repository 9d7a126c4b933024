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

import numpy as np
import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.data.images import decode, pack
from chestxray14.raw.archive import Archive


def pack_images(
    archive: Archive, labels: pd.DataFrame, *, path: Path, px: int, workers: int
) -> Iterator[tuple[str, int, str]]:
    """Write every listed image to `path`, an (N, px, px) uint8 `.npy` file, one row a label row.

    Yields, in row order, each image's name, the CRC-32 of its packed pixels, and why it could not
    be read (empty where it could; its row is then left black). Raises `InputError` where the
    disk has too little space.
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

        def pack_row(row: int) -> tuple[str, int, str]:
            name = names[row]
            try:
                pixels = pack(decode(archive.read(name), name=name), px=px).tobytes()
            except InputError as error:
                return name, 0, str(error)
            # Written, not mapped: a map's pages count as memory in use, and a full disk kills.
            _write_at(file.fileno(), pixels, first + row * px * px)
            return name, zlib.crc32(pixels), ""

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
