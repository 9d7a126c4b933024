"""NIH's own twelve archives, images_001.tar.gz to images_012.tar.gz: brought, and read as streams.

A tar.gz has no table of contents and is read once, front to back; nothing of it is unpacked to disk.
"""

import gzip
import shutil
import tarfile
from bisect import bisect_right
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePosixPath

import requests

from chestxray14.base.errors import InputError, name_some, shorten
from chestxray14.files.names import is_image
from chestxray14.raw import fetch
from chestxray14.raw.archive import LARGEST, Archive

PAGE = "https://nihcc.app.box.com/v/ChestXray-NIHCC"
"""The folder that NIH shares; of its files the archives alone have addresses without a browser."""

ADDRESS = "https://nihcc.box.com/shared/static"

FILES = (
    *("vfk49d74nhbxq3nqjg0900w5nvkorp5c", "i28rlmbvmfjbl8p2n3ril0pptcmcu9d1"),
    *("f1t00wrtdk94satdfb9olcolqx20z2jp", "0aowwzs5lhjrceb3qp67ahp0rd1l1etg"),
    *("v5e3goj22zr6h8tzualxfsqlqaygfbsn", "asi7ikud9jwnkrnkj99jnpfkjdes7l6l"),
    *("jn1b4mw4n6lnh74ovmcjb8y48h8xj07n", "tvpxmn7qyrgl0w8wfh9kqfjskv6nmm1j"),
    *("upyy3ml7qdumlgk2rfcvlb9k6gvqq2pj", "l6nilvfa9cg3s28tqv1qc1olm3gnz54p"),
    *("hhq8fkdgvcari67vfhs7ppg2w6ni4jze", "ioqwiy20ihqwyr8pf4c24eazhh281pbu"),
)
"""What the addresses end with, less `.gz`: those of NIH's batch_download_zips.py."""

FIRST = (
    *("00000001_000.png", "00001336_000.png", "00003923_014.png", "00006585_007.png"),
    *("00009232_004.png", "00011558_008.png", "00013774_026.png", "00016051_010.png"),
    *("00018387_035.png", "00020945_050.png", "00024718_000.png", "00028173_003.png"),
)
"""The first image of each archive, by name; they are in the order of names."""

NUMBERS = range(1, len(FILES) + 1)


def name_archive(number: int) -> str:
    """Return the file name of the archive, counted from 1."""
    return f"images_{number:03d}.tar.gz"


def find_archive(image: str) -> int:
    """Return the number of the archive that NIH has an image in, by the image's name."""
    return max(1, bisect_right(FIRST, image))


@dataclass(frozen=True)
class Tarballs:
    """The archives of a folder, by number the bytes of each, and the tables that go with them.

    One that was packed and deleted is among them: a file that ends in `.packed` has its bytes.
    """

    path: Path
    tables: Archive
    sizes: dict[int, int]

    def __contains__(self, image: str) -> bool:
        return find_archive(image) in self.sizes or image in self.tables

    def describe(self, *, tables: Collection[str]) -> dict[str, object]:
        """Return what identifies the content, the same on every machine and at every path.

        The hash covers name and size of each archive, and the rest as `Archive.describe` has it.
        """
        described = self.tables.describe(tables=tables)
        digest = sha256(str(described["sha256"]).encode())
        for number, size in self.sizes.items():
            digest.update(f"{name_archive(number)}\t{size}\n".encode())
        return described | {"archives": list(self.sizes), "sha256": digest.hexdigest()}

    def read_images(
        self, number: int, *, expected: Collection[str]
    ) -> Iterator[tuple[str, bytes]]:
        """Yield name and bytes of each image of an archive, in its own order.

        Raises `InputError` for one that is cut, damaged, deleted or leads out, and at its end where
        it lacks one of the `expected` images.
        """
        path = self.path / name_archive(number)
        missing = set(expected)
        for name, content in _read_tar(path):
            missing.discard(name)
            yield name, content
        if missing:
            raise InputError(
                f"{path} has {len(expected) - len(missing):,} of the {len(expected):,} images that the "
                f"label file lists for it, it lacks {name_some(sorted(missing))}; remove it and bring "
                "it again"
            )

    def delete(self) -> None:
        """Remove the archives, each for a note of its size."""
        for number, size in self.sizes.items():
            path = self.path / name_archive(number)
            _note(path).write_text(str(size))
            path.unlink(missing_ok=True)


def open_tarballs(folder: Path, tables: Archive, *, numbers: Collection[int]) -> Tarballs:
    """Return those of the archives `numbers` that are in a folder, or were until they were packed."""
    sizes = {}
    for number in numbers:
        path = folder / name_archive(number)
        if path.is_file():
            sizes[number] = path.stat().st_size
        elif (note := _note(path)).is_file() and note.read_text().isdecimal():
            sizes[number] = int(note.read_text())
    return Tarballs(folder, tables=tables, sizes=sizes)


def download_archives(folder: Path, *, numbers: Collection[int]) -> None:
    """Bring archives to a folder, but for those that are there or were packed and deleted.

    Raises `InputError` as `fetch.fetch_file` does, and where they do not fit on the disk together.
    """
    missing = {
        path: f"{ADDRESS}/{FILES[number - 1]}.gz"
        for number in numbers
        if not (path := folder / name_archive(number)).exists() and not _note(path).exists()
    }
    folder.mkdir(parents=True, exist_ok=True)
    _check_space(folder, missing)
    for path, url in missing.items():
        locate = partial(fetch.look_at, url, name=path.name)
        fetch.fetch_file(path, name=path.name, kind="gzip", locate=locate)


def _check_space(folder: Path, missing: dict[Path, str]) -> None:
    needed = -sum(part.stat().st_size for part in folder.glob("*.tar.gz.part"))
    # Where a server does not answer, the download itself asks again, and tells.
    with suppress(requests.RequestException):
        needed += sum(
            fetch.look_at(url, fetch.TIMEOUT, name=path.name).length
            for path, url in missing.items()
        )
        if needed > (free := shutil.disk_usage(folder).free):
            raise InputError(
                f"not enough disk space in {folder}: {needed / 1e9:,.2f} GB more needed for "
                f"{len(missing)} archives, {free / 1e9:,.2f} GB free"
            )


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.packed")


def _read_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    if not path.exists() and _note(path).exists():
        raise InputError(
            f"{path} was packed and deleted, and is needed again: remove {_note(path)} and its like, "
            "and run `python src/stages/download.py`"
        )
    try:
        with gzip.open(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                inside = PurePosixPath(member.name)
                if inside.is_absolute() or ".." in inside.parts:
                    raise InputError(f"{path} holds {member.name!r}, a path that leads out of it")
                if not is_image(inside.name) or inside.name.startswith("."):
                    continue
                if member.size > LARGEST:
                    raise InputError(
                        f"{member.name!r} in {path} has {member.size:,} bytes, more than the "
                        f"{LARGEST:,} that a radiograph may have"
                    )
                file = archive.extractfile(member) if member.isfile() else None
                if file:
                    yield inside.name, file.read()
            while unpacked.read(fetch.MIB):
                pass  # to the end, where the gzip has its checksum
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"{path} is damaged or cut short ({shorten(error)}); remove it and bring it again"
        ) from None
