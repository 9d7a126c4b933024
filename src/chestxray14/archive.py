"""A raw dataset, be it a zip or a folder, read by basename."""

import filecmp
import hashlib
import threading
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from chestxray14.errors import InputError

DAMAGED = (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError)
"""What zipfile raises for a zip that is broken, of an unknown kind, or encrypted."""


@dataclass(frozen=True)
class Archive:
    """Name the radiographs, tables and lists of a zip or folder by basename.

    Folders carry no meaning in ChestX-ray14.

    `members` maps a basename to its path inside, `sizes` to its bytes, and `checksums` to the
    CRC-32 that a zip keeps of it (absent in a folder, where only reading everything would tell).
    """

    path: Path
    members: dict[str, str]
    sizes: dict[str, int]
    checksums: dict[str, int]
    _zip: zipfile.ZipFile | None = field(repr=False, compare=False, default=None)
    _lock: threading.Lock = field(repr=False, compare=False, default_factory=threading.Lock)

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def read(self, name: str) -> bytes:
        """Return the bytes of one file; safe to call from several threads.

        Raises `InputError` when it is absent, cannot be read, or differs from a zip's CRC-32.
        """
        if name not in self.members:
            raise InputError(f"{name} is not in {self.path}")
        member = self.members[name]
        try:
            if self._zip is None:
                return (self.path / member).read_bytes()
            with self._lock:
                return self._zip.read(member)
        except (*DAMAGED, zlib.error, EOFError) as error:
            raise InputError(f"{member} in {self.path} cannot be read: {error}") from None

    def describe(self) -> dict[str, object]:
        """Return what identifies the content, the same on every machine and at every path.

        The hash covers each file's name and size, its CRC-32 where a zip has one, and the bytes
        of every file that is not an image.
        """
        digest = hashlib.sha256()
        for name in sorted(self.members):
            content = "" if is_image(name) else hashlib.sha256(self.read(name)).hexdigest()
            crc = self.checksums.get(name, "")
            digest.update(
                f"{name}\t{self.sizes[name]}\t{crc}\t{content}\n".encode(errors="surrogateescape")
            )
        images = [name for name in self.members if is_image(name)]
        return {
            "kind": "folder" if self._zip is None else "zip",
            "images": len(images),
            "image_bytes": sum(self.sizes[name] for name in images),
            "other_files": sorted(set(self.members) - set(images)),
            "sha256": digest.hexdigest(),
        }


def is_image(name: str) -> bool:
    """Tell whether a file is a radiograph by its ending."""
    return name.lower().endswith((".png", ".jpg", ".jpeg"))


def _belongs(name: str) -> bool:
    # NIH's own download leaves tar files of many GB and PDFs beside the images.
    return is_image(name) or name.endswith((".csv", "_list.txt"))


def open_archive(path: Path) -> Archive:
    """Return the zip or folder at `path`, its files known by basename.

    A basename that occurs twice with equal content counts once (Kaggle's `sample` holds its tree
    twice). Raises `InputError` for a missing path, a broken zip, or two different files of one name.
    """
    if path.is_dir():
        return _open_folder(path)
    if path.is_file():
        return _open_zip(path)
    raise InputError(
        f"{path} not found (looked at {path.resolve()}): expected a folder or a zip in the Kaggle "
        "layout; a relative path starts at the root of the project"
    )


def _open_folder(path: Path) -> Archive:
    members: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for file in sorted(path.rglob("*")):
        member = file.relative_to(path)
        if not file.is_file() or any(part.startswith(".") for part in member.parts):
            continue
        name = file.name
        if not _belongs(name):
            continue
        size = file.stat().st_size
        if name in members:
            if size == sizes[name] and filecmp.cmp(file, path / members[name], shallow=False):
                continue
            raise InputError(
                f"{path} holds two different files named {name}: {members[name]} and {member}"
            )
        members[name], sizes[name] = member.as_posix(), size
    return Archive(path=path, members=members, sizes=sizes, checksums={})


def _open_zip(path: Path) -> Archive:
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGED as error:
        raise InputError(f"{path} is not a whole zip file: {error}") from None
    members: dict[str, str] = {}
    sizes: dict[str, int] = {}
    checksums: dict[str, int] = {}
    for info in archive.infolist():
        if info.is_dir():
            continue
        name = PurePosixPath(info.filename).name
        if not _belongs(name):
            continue
        if name in members:
            if (info.file_size, info.CRC) == (sizes[name], checksums[name]):
                continue
            raise InputError(
                f"{path} holds two different files named {name}: {members[name]} and "
                f"{info.filename}"
            )
        members[name], sizes[name], checksums[name] = info.filename, info.file_size, info.CRC
    return Archive(path=path, members=members, sizes=sizes, checksums=checksums, _zip=archive)
