"""A raw dataset, be it a zip or a folder, read by basename."""

import filecmp
import hashlib
import threading
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from chestxray14.base.errors import InputError, name_some
from chestxray14.files.names import is_image

LARGEST = 256 * 2**20
"""Bytes above which a file is refused before it is unpacked; no radiograph or table comes near."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The compressions of a zip that zipfile can unpack in bounded memory."""


@dataclass(frozen=True)
class Member:
    """One file: its path inside, its bytes, and the CRC-32 that a zip keeps of them.

    In a folder, where only reading everything would tell, `crc` is None.
    """

    path: str
    size: int
    crc: int | None


@dataclass(frozen=True)
class Archive:
    """Know the radiographs, tables and lists of a zip or folder by basename, or by path.

    Folders carry no meaning in ChestX-ray14. Nothing is ever unpacked to a file, so a path inside
    that leads elsewhere (`../../x.png`) leads nowhere.
    """

    path: Path
    members: dict[str, Member]
    _zip: zipfile.ZipFile | None = field(repr=False, compare=False, default=None)
    _lock: threading.Lock = field(repr=False, compare=False, default_factory=threading.Lock)

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def read(self, name: str) -> bytes:
        """Return the bytes of one file; safe to call from several threads.

        Raises `InputError` when it is absent, cannot be read, is larger than `LARGEST`, or
        differs from a zip's CRC-32.
        """
        if name not in self.members:
            raise InputError(f"{name} is not in {self.path}")
        member = self.members[name]
        if member.size > LARGEST:
            raise InputError(
                f"{member.path!r} in {self.path} has {member.size:,} bytes unpacked, more than the "
                f"{LARGEST:,} that a radiograph or table may have"
            )
        try:
            if self._zip is None:
                return (self.path / member.path).read_bytes()
            return self._unpack(self._zip, member)
        except MemoryError:
            raise
        except Exception as error:
            raise InputError(f"{member.path!r} in {self.path} cannot be read: {error}") from None

    def read_table(self, name: str) -> bytes:
        """Return the bytes of a table: a file of this path, or else one of this archive."""
        if (path := Path(name)).is_file():
            return path.read_bytes()
        if name not in (named := self.call([name])):
            raise InputError(f"the table {name} is neither here nor in {self.path}")
        return named.read(name)

    def call(self, names: Iterable[str]) -> "Archive":
        """Return this archive with its files called as a table calls them, those of others as here.

        A table may give the path, be it from the folder above, the bare name, or the name without
        its ending. Raises `InputError` for a name that several files have.
        """
        meant: dict[str, list[str]] = defaultdict(list)
        for key, member in self.members.items():
            inside = PurePosixPath(member.path)
            forms = (key, inside, PurePosixPath(self.path.name, inside), inside.name, inside.stem)
            for form in dict.fromkeys(map(str, forms)):
                meant[form].append(key)
        members = dict(self.members)
        for name in names:
            keys = [name] if name in self.members else meant.get(name, [])
            if len(keys) > 1:
                raise InputError(
                    f"{self.path} holds several files that {name!r} may be: {name_some(keys)}; "
                    "expected a path"
                )
            for key in keys:
                members.pop(key, None)
                members[name] = self.members[key]
        return replace(self, members=members)

    def _unpack(self, archive: zipfile.ZipFile, member: Member) -> bytes:
        method = archive.getinfo(member.path).compress_type
        if method not in METHODS:
            raise zipfile.BadZipFile(f"compression method {method}, expected one of {METHODS}")
        # zipfile lets several threads read at once, but counts its open members unguarded.
        with self._lock:
            file = archive.open(member.path)
        try:
            # Unpacks no more than asked for, however much the compressed bytes would give.
            return file.read(member.size + 1)
        finally:
            with self._lock:
                file.close()

    def describe(self) -> dict[str, object]:
        """Return what identifies the content, the same on every machine and at every path.

        The hash covers each file's name and size, its CRC-32 where a zip has one, and the bytes
        of every file that is not an image.
        """
        digest = hashlib.sha256()
        for name, member in sorted(self.members.items()):
            content = "" if is_image(name) else hashlib.sha256(self.read(name)).hexdigest()
            crc = "" if member.crc is None else member.crc
            digest.update(
                f"{name}\t{member.size}\t{crc}\t{content}\n".encode(errors="surrogateescape")
            )
        images = [name for name in self.members if is_image(name)]
        return {
            "kind": "folder" if self._zip is None else "zip",
            "images": len(images),
            "image_bytes": sum(self.members[name].size for name in images),
            "other_files": sorted(set(self.members) - set(images)),
            "sha256": digest.hexdigest(),
        }


def open_archive(path: Path, *, by_path: bool = False) -> Archive:
    """Return the zip or folder at `path`, its files known by basename, or by their path inside.

    A basename that occurs twice with equal content counts once (Kaggle's `sample` holds its tree
    twice). Hidden files are passed over. Raises `InputError` for a missing path, a broken zip, or
    two different files of one name.
    """
    if path.is_dir():
        opened, found = None, _in_folder(path)
    elif path.is_file():
        opened = _open_zip(path)
        found = _in_zip(opened)
    else:
        raise InputError(
            f"{path} not found (looked at {path.resolve()}): expected a folder or a zip in the "
            "Kaggle layout; a relative path starts at the root of the project"
        )
    members: dict[str, Member] = {}
    for member in found:
        inside = PurePosixPath(member.path.replace("\\", "/"))  # as some Windows tools write it
        if _is_hidden(inside) or not _belongs(inside.name):
            continue
        first = members.setdefault(str(inside) if by_path else inside.name, member)
        if first is not member and not _equal(first, member, folder=path):
            raise InputError(
                f"{path} holds two different files named {inside.name!r}: {first.path!r} and "
                f"{member.path!r}"
            )
    return Archive(path=path, members=members, _zip=opened)


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(
            f"{path} is not a whole zip file ({error}): remove it and bring it again"
        ) from None


def _in_zip(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        # A folder's; `is_dir` fails on a name without a letter.
        if not info.filename.endswith("/"):
            yield Member(path=info.filename, size=info.file_size, crc=info.CRC)


def _in_folder(path: Path) -> Iterator[Member]:
    for file in sorted(path.rglob("*")):
        if file.is_file():
            inside = file.relative_to(path).as_posix()
            yield Member(path=inside, size=file.stat().st_size, crc=None)


def _is_hidden(inside: PurePosixPath) -> bool:
    return any(part.startswith(".") and part != ".." for part in inside.parts)


def _belongs(name: str) -> bool:
    # NIH's own download leaves tar files of many GB and PDFs beside the images.
    return is_image(name) or name.endswith((".csv", "_list.txt"))


def _equal(first: Member, second: Member, *, folder: Path) -> bool:
    """Tell whether two files have the same bytes; a zip's CRC-32 stands for them."""
    if (first.size, first.crc) != (second.size, second.crc):
        return False
    if first.crc is not None:
        return True
    return filecmp.cmp(folder / first.path, folder / second.path, shallow=False)
