"""From a raw dataset to one packed array: every radiograph decoded once, on every core."""

import math
import os
import shutil
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from chestxray14.base.errors import InputError
from chestxray14.data.dicom import decode_dicom, is_dicom
from chestxray14.data.images import FEWEST_GREYS, count_greys, decode, pack
from chestxray14.raw.archive import Archive
from chestxray14.raw.chestmnist import ChestMnist
from chestxray14.raw.manifest import Raw
from chestxray14.raw.nih_box import NUMBERS, Tarballs, find_archive

Load = Callable[[], Image.Image]
"""Returns one grey image, or raises `InputError` where it cannot be read."""


class Packed(NamedTuple):
    """An image's name, the CRC-32 of its packed pixels, and why it could not be read, if so.

    A `flat` one has fewer than `FEWEST_GREYS`: it is kept, for official lists hold such images.
    """

    name: str
    crc32: int
    reason: str
    flat: bool


def load_images(raw: Raw, names: Sequence[str]) -> Iterator[tuple[str, Load]]:
    """Yield each of the named images with how to load it, in the order that `raw` has them in.

    Of what is not there, loading says so; what an archive lacks, its own reading.
    """
    match raw:
        case ChestMnist():
            for name, pixels in raw.read_images():
                yield name, partial(Image.fromarray, pixels)
        case Tarballs():
            listed: dict[int, set[str]] = {number: set() for number in NUMBERS}
            for name in names:
                listed[find_archive(name)].add(name)
            for number in raw.sizes:
                expected = listed[number]
                for name, content in raw.read_images(number, expected=expected):
                    if name in expected:
                        yield name, partial(_decode, content, name=name)
            yield from load_images(
                raw.tables, [name for name in names if find_archive(name) not in raw.sizes]
            )
        case Archive():
            for name in names:
                yield name, partial(_load, raw, name)


def _load(archive: Archive, name: str) -> Image.Image:
    return _decode(archive.read(name), name=name)


def _decode(content: bytes, *, name: str) -> Image.Image:
    return (decode_dicom if is_dicom(content) else decode)(content, name=name)


def pack_images(
    images: Iterable[tuple[str, Load]],
    names: Sequence[str],
    *,
    path: Path,
    px: int,
    workers: int,
) -> Iterator[Packed]:
    """Write images to `path`, an (N, px, px) uint8 `.npy` file, in the order of the N `names`.

    Yields what became of each, in the order of `images`; the row of what could not be read is left
    black. Raises `InputError` where the disk has too little space.
    """
    rows = {name: row for row, name in enumerate(names)}
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

        def pack_row(name: str, load: Load) -> Packed:
            try:
                image = load()
            except InputError as error:
                return Packed(name, 0, str(error), flat=False)
            pixels = pack(image, px=px).tobytes()
            # Written, not mapped: a map's pages count as memory in use, and a full disk kills.
            _write_at(file.fileno(), pixels, first + rows[name] * px * px)
            flat = count_greys(image) < FEWEST_GREYS
            return Packed(name, zlib.crc32(pixels), "", flat)

        # Pillow decodes and resizes without the interpreter lock, so threads use every core.
        with ThreadPoolExecutor(workers) as pool:
            submitted = (pool.submit(pack_row, *image) for image in images)
            ahead = deque(islice(submitted, 4 * workers))  # bounds the queue, and so memory
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(islice(submitted, 1))
        os.fsync(file.fileno())


def _write_at(file: int, content: bytes, offset: int) -> None:
    while content:
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written
