"""ChestMNIST (MedMNIST v3): the radiographs and labels of ChestX-ray14 in one small npz.

An npz is a zip of arrays, `train_images` (N, S, S) and `train_labels` (N, 14), and the same of val and
test; labels are in the order of Wang et al. 2017. Its arrays are read as streams of bytes: nothing is unpickled, and of the pixels no more than
one image is in memory. It tells nothing of patients.
"""

import hashlib
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from chestxray14.base.draws import generator
from chestxray14.base.errors import InputError, shorten
from chestxray14.base.findings import FINDINGS
from chestxray14.raw.fetch import fetch_file, look_at

ADDRESS = "https://zenodo.org/records/10519652/files"

MD5 = {
    64: "9de6cd0b934ebb5b7426cfba5efbae16",
    128: "db107e5590b27930b62dbaf558aebee3",
    224: "45bd33e6f06c3e8cdb481c74a89152aa",
}
"""By the side of its images, in pixels: the md5 of the file, from `medmnist` 3.0.2's info.py."""

IMAGES = {"train": 78_468, "val": 11_219, "test": 22_433}
"""Images of each part, from the same file."""


CREDITS = (
    "ChestMNIST is licensed CC BY 4.0. Cite Yang et al., MedMNIST v2, Scientific Data 10, 41 (2023), and "
    "Wang et al., ChestX-ray8, CVPR 2017."
)


def name_file(side: int) -> str:
    """Return the name of the file with images of `side` pixels."""
    return f"chestmnist_{side}.npz"


def download_chestmnist(path: Path, *, side: int) -> None:
    """Bring the file to `path`, or check the one that is there.

    Raises `InputError` as `fetch.fetch_file` does, and for a file that is another.
    """
    url = f"{ADDRESS}/{name_file(side)}?download=1"
    if not path.exists():
        locate = partial(look_at, url, name=path.name, md5=MD5[side])
        fetch_file(path, name=path.name, kind="zip", locate=locate)
        open_chestmnist(path, side=side)
        return
    open_chestmnist(path, side=side)
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    if md5 != MD5[side]:
        raise InputError(
            f"{path}: md5 is {md5}, expected {MD5[side]}; remove it and run the same command again"
        )


@dataclass(frozen=True)
class ChestMnist:
    """The file at `path`, and of each part the rows that are taken from it, ascending."""

    path: Path
    side: int
    rows: dict[str, NDArray[np.int64]]

    @property
    def names(self) -> dict[str, list[str]]:
        """A name for each image that is taken, by part; the file has none."""
        return {part: [f"{part}_{row:05d}" for row in rows] for part, rows in self.rows.items()}

    def describe(self) -> dict[str, object]:
        """Return what identifies the content, the same on every machine and at every path.

        The hash covers the CRC-32 that the zip keeps of each array, and the rows that are taken.
        """
        digest = hashlib.sha256()
        with _open(self.path) as archive:
            for info in sorted(archive.infolist(), key=lambda info: info.filename):
                digest.update(f"{info.filename}\t{info.file_size}\t{info.CRC}\n".encode())
        for part, rows in self.rows.items():
            digest.update(f"{part}\t{rows.tolist()}\n".encode())
        count = sum(map(len, self.rows.values()))
        return {
            "images": count,
            "image_bytes": count * self.side**2,
            "tables": [],
            "sha256": digest.hexdigest(),
        }

    def read_labels(self) -> dict[str, NDArray[np.uint8]]:
        """Return the labels of the images that are taken, by part, each (n, 14), zeros and ones."""
        taken = {}
        for part, rows in self.rows.items():
            with _open_array(self.path, f"{part}_labels") as (file, shape, dtype):
                content = _read(file, math.prod(shape) * dtype.itemsize, path=self.path)
            labels = np.frombuffer(content, dtype).reshape(shape)
            if odd := sorted(set(np.unique(labels).tolist()) - {0, 1}):
                raise InputError(
                    f"{self.path}: {part}_labels holds {odd[0]}, expected zeros and ones"
                )
            taken[part] = labels[rows].astype(np.uint8)
        return taken

    def read_images(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Yield name and pixels (side, side) of each image that is taken, in the order of `names`.

        Raises `InputError` where an array is cut or differs from the zip's CRC-32.
        """
        for part, rows in self.rows.items():
            wanted = dict(zip(rows.tolist(), self.names[part], strict=True))
            with _open_array(self.path, f"{part}_images") as (file, shape, _):
                # To the end also where few rows are taken: the CRC-32 is checked there.
                for row in range(shape[0]):
                    content = _read(file, self.side**2, path=self.path)
                    if row in wanted:
                        pixels = np.frombuffer(content, np.uint8).reshape(self.side, self.side)
                        yield wanted[row], pixels
                _read(file, 0, path=self.path)


def open_chestmnist(
    path: Path, *, side: int, images: int | None = None, seed: int = 0
) -> ChestMnist:
    """Return the file at `path`, or so many of its images, drawn at random by `seed`.

    With one seed the fewer images are among the more. Raises `InputError` for a file that is no
    ChestMNIST of this side: an array that is missing, has another shape or holds no bytes.
    """
    for part, count in IMAGES.items():
        expected = (
            ("images", (count, side, side), (np.uint8,)),
            ("labels", (count, len(FINDINGS)), (np.uint8, np.int8, np.int64)),
        )
        for array, shape, dtypes in expected:
            with _open_array(path, f"{part}_{array}") as (_, found, dtype):
                if found != shape or dtype not in dtypes:
                    raise InputError(
                        f"{path}: {part}_{array} is {dtype} of shape {found}, expected "
                        f"{np.dtype(dtypes[0])} of {shape}; this is another version of the file"
                    )
    total = sum(IMAGES.values())
    drawn = np.sort(generator("chestmnist", seed).permutation(total)[:images])
    first = np.cumsum([0, *IMAGES.values()])
    rows = {
        part: drawn[(drawn >= start) & (drawn < end)] - start
        for part, start, end in zip(IMAGES, first, first[1:], strict=False)
    }
    return ChestMnist(path, side=side, rows=rows)


@contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    if not path.is_file():
        raise InputError(f"{path} not found; run `python src/stages/download.py`")
    try:
        archive = zipfile.ZipFile(path)
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(f"{path} is not a whole npz ({shorten(error)})") from None
    with archive:
        yield archive


@contextmanager
def _open_array(
    path: Path, name: str
) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[np.generic]]]:
    """Yield an array's bytes as a stream, its shape and its type; rows come one after another."""
    with _open(path) as archive:
        if f"{name}.npy" not in archive.namelist():
            raise InputError(
                f"{path} lacks {name}, found {sorted(archive.namelist())}; this is another version "
                "of the file"
            )
        try:
            file = archive.open(f"{name}.npy")
            version = np.lib.format.read_magic(file)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, by_columns, dtype = read(file)
        except MemoryError:
            raise
        except Exception as error:
            raise InputError(f"{path}: {name} is no array ({shorten(error)})") from None
        if by_columns:
            raise InputError(f"{path}: {name} is stored by columns, expected rows")
        with file:
            yield file, shape, dtype


def _read(file: IO[bytes], count: int, *, path: Path) -> bytes:
    """Return the next `count` bytes; for 0, check that there are none."""
    try:
        content = file.read(count or 1)
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(
            f"{path} is damaged ({shorten(error)}); remove it and bring it again"
        ) from None
    if len(content) != count:
        raise InputError(f"{path} is damaged: an array has not the length it says")
    return content
