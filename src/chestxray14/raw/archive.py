"""A raw dataset, be it a zip or a folder, read by basename."""

import hashlib
import threading
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from chestxray14.base.errors import InputError, name_some
from chestxray14.files.names import ends_as_dicom, is_image, list_files, spell
from chestxray14.raw.checksums import sum_files
from chestxray14.raw.kinds import describe_content, name_kind

LARGEST = 256 * 2**20
"""Bytes above which a file is refused before it is unpacked; no radiograph or table comes near."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The compressions of a zip that zipfile can unpack in bounded memory."""


@dataclass(frozen=True)
class Member:
    """One file: its path inside, how many bytes it has, and their CRC-32.

    `crc` is None of a folder's file that cannot be read.
    """

    path: str
    size: int
    crc: int | None


@dataclass(frozen=True)
class Archive:
    """Know the radiographs, tables and lists of a zip or folder by basename, or by path.

    Folders carry no meaning in ChestX-ray14. Nothing is ever unpacked to a file, so a path inside
    that leads elsewhere (`../../x.png`) leads nowhere. Names are spelt as `files.names.spell`
    does. `ambiguous` are tables of one name and different content, which are not read, and
    `others` the paths of files that are no part of a dataset.
    """

    path: Path
    members: dict[str, Member]
    ambiguous: dict[str, str]
    others: tuple[str, ...]
    _zip: zipfile.ZipFile | None = field(repr=False, compare=False, default=None)
    _lock: threading.Lock = field(repr=False, compare=False, default_factory=threading.Lock)

    def __contains__(self, name: str) -> bool:
        return spell(name) in self.members

    def read(self, name: str) -> bytes:
        """Return the bytes of one file; safe to call from several threads.

        Raises `InputError` when it is absent, cannot be read, is larger than `LARGEST`, or
        differs from a zip's CRC-32.
        """
        if (key := spell(name)) not in self.members:
            raise InputError(f"{name} is not in {self.path}")
        if key in self.ambiguous:
            raise InputError(self.ambiguous[key])
        member = self.members[key]
        if member.size > LARGEST:
            raise InputError(
                f"{member.path!r} in {self.path} has {member.size:,} bytes unpacked, more than the "
                f"{LARGEST:,} that a radiograph or table may have"
            )
        # Unpacks no more than asked for, however much the compressed bytes would give.
        return self._read(member, most=member.size + 1)

    def read_line(self, name: str) -> str:
        """Return the first line of a file, of which no more than 4096 bytes are read."""
        content = self._read(self.members[spell(name)], most=4096)
        return content.decode("utf-8-sig", errors="replace").partition("\n")[0].strip()

    def _read(self, member: Member, *, most: int) -> bytes:
        try:
            if self._zip is None:
                with (self.path / member.path).open("rb") as file:
                    return file.read(most)
            return self._unpack(self._zip, member, most=most)
        except MemoryError:
            raise
        except Exception as error:
            raise InputError(f"{member.path!r} in {self.path} cannot be read: {error}") from None

    def call(self, names: Iterable[str]) -> "Archive":
        """Return this archive with its files called as a table calls them, those of others as here.

        A table may give the path, be it from the folder above, the bare name, or the name without
        its ending. Raises `InputError` for a name that several files have, and a file that has
        two names: it would be two images, maybe of two patients.
        """
        meant: dict[str, list[str]] = defaultdict(list)
        for key, member in self.members.items():
            inside = PurePosixPath(member.path)
            forms = (key, inside, PurePosixPath(self.path.name, inside), inside.name, inside.stem)
            for form in dict.fromkeys(spell(str(form)) for form in forms):
                meant[form].append(key)
        members = dict(self.members)
        called: dict[str, str] = {}
        for name in map(spell, names):
            keys = [name] if name in self.members else meant.get(name, [])
            if len(keys) > 1:
                raise InputError(
                    f"{self.path} holds several files that {name!r} may be: {name_some(keys)}; "
                    "expected a path"
                )
            for key in keys:
                if (first := called.setdefault(key, name)) != name:
                    raise InputError(
                        f"{key!r} in {self.path} is called {first!r} and {name!r}, expected one name"
                    )
                members.pop(key, None)
                members[name] = self.members[key]
        return replace(self, members=members)

    def _unpack(self, archive: zipfile.ZipFile, member: Member, *, most: int) -> bytes:
        method = archive.getinfo(member.path).compress_type
        if method not in METHODS:
            raise zipfile.BadZipFile(f"compression method {method}, expected one of {METHODS}")
        # zipfile lets several threads read at once, but counts its open members unguarded.
        with self._lock:
            file = archive.open(member.path)
        try:
            return file.read(most)
        finally:
            with self._lock:
                file.close()

    @property
    def images(self) -> list[str]:
        """The names of the radiographs."""
        return [name for name in self.members if not _is_table(name)]

    @property
    def tables(self) -> list[str]:
        """The names of the other files, CSV and text."""
        return [name for name in self.members if _is_table(name)]

    def describe(self, *, tables: Collection[str]) -> dict[str, object]:
        """Return what identifies images and `tables`, the same on every machine and at every path.

        The hash covers each file's name, size and CRC-32, so that a zip is described as the
        folder it was made of. Raises `InputError` for one of `tables` that is ambiguous.
        """
        images = self.images
        if doubtful := [name for name in map(spell, tables) if name in self.ambiguous]:
            raise InputError(self.ambiguous[doubtful[0]])
        digest = hashlib.sha256()
        for name in sorted({*images, *map(spell, tables)}):
            member = self.members[name]
            line = f"{name}\t{member.size}\t{member.crc}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return {
            "images": len(images),
            "image_bytes": sum(self.members[name].size for name in images),
            "tables": sorted(tables),
            "sha256": digest.hexdigest(),
        }

    def describe_content(self) -> str:
        """Return what is in it in a few words, for an error line."""
        return describe_content(
            images=self.images,
            tables=sorted(self.tables),
            others=self.others,
            folder=self.path if self._zip is None else None,
        )


def open_archive(path: Path, *, by_path: bool = False, record: Path | None = None) -> Archive:
    """Return the zip or folder at `path`, its files known by basename, or by their path inside.

    A basename that occurs twice with equal content counts once (Kaggle's `sample` holds its tree
    twice). Hidden files are passed over; DICOM files are known by path alone. `record` spares reading all of a folder another time, see
    `raw.checksums`. Raises `InputError` for a missing path, a broken zip, or two different images
    of one name.
    """
    if path.is_dir():
        opened, found = None, _in_folder(path, record=record, dicom=by_path)
    elif path.is_file():
        opened = _open_zip(path)
        found = _in_zip(opened)
    else:
        raise InputError(
            f"{path} not found (looked at {path.resolve()}): expected a folder or a zip in the "
            "Kaggle layout; a relative path starts at the root of the project"
        )
    members: dict[str, Member] = {}
    ambiguous: dict[str, str] = {}
    others: list[str] = []
    for member in found:
        inside = PurePosixPath(member.path.replace("\\", "/"))  # as some Windows tools write it
        if _is_hidden(inside):
            continue
        if not _belongs(inside.name, dicom=by_path):
            others.append(member.path)
            continue
        name = spell(str(inside) if by_path else inside.name)
        first = members.setdefault(name, member)
        if (first.size, first.crc) != (member.size, member.crc):
            ambiguous[name] = (
                f"{path} holds two different files named {name!r}: {first.path!r} and "
                f"{member.path!r}"
            )
            if is_image(name):
                raise InputError(ambiguous[name])
    return Archive(
        path=path, members=members, ambiguous=ambiguous, others=tuple(others), _zip=opened
    )


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (MemoryError, PermissionError):
        raise
    except Exception as error:
        if kind := name_kind(path):
            raise InputError(
                f"{path} is {kind}, expected a folder or a zip; unpack or move it, and name the "
                "folder that holds the images"
            ) from None
        raise InputError(
            f"{path} is not a whole zip file ({error}): remove it and bring it again"
        ) from None


def _in_zip(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        # A folder's; `is_dir` fails on a name without a letter.
        if not info.filename.endswith("/"):
            yield Member(path=info.filename, size=info.file_size, crc=info.CRC)


def _in_folder(path: Path, *, record: Path | None, dicom: bool) -> Iterator[Member]:
    files = {file.relative_to(path).as_posix(): file for file in list_files(path)}
    ours = {inside: file for inside, file in files.items() if _belongs(file.name, dicom=dicom)}
    sums = sum_files(ours, record=record)
    for inside, file in files.items():
        yield Member(path=inside, size=file.stat().st_size, crc=sums.get(inside))


def _is_hidden(inside: PurePosixPath) -> bool:
    return any(part.startswith(".") and part != ".." for part in inside.parts)


def _belongs(name: str, *, dicom: bool) -> bool:
    # NIH's own download leaves tar files of many GB and PDFs beside the images.
    return is_image(name) or _is_table(name) or (dicom and ends_as_dicom(name))


def _is_table(name: str) -> bool:
    return name.lower().endswith((".csv", ".txt"))
