"""What a file or folder holds that is no dataset, in a few words for an error line."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from chestxray14.base.errors import name_some

_BEGINNINGS = {
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x89PNG": "one PNG",
    b"\xff\xd8\xff": "one JPEG",
    b"%PDF": "a PDF",
    b"PAR1": "a Parquet file",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"<": "an HTML or XML page",
}
_LATER = {128: (b"DICM", "one DICOM file"), 257: (b"ustar", "a tar archive")}

_PACKED = (".gz", ".tgz", ".tar", ".zip", ".7z", ".rar", ".bz2", ".xz")


def name_kind(path: Path) -> str | None:
    """Return what a file is by its first bytes, such as `a gzip file`; None where that is not known."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError:
        return None
    for place, (letters, kind) in _LATER.items():
        if head[place:].startswith(letters):
            return kind
    return next((kind for letters, kind in _BEGINNINGS.items() if head.startswith(letters)), None)


def describe_content(
    *, images: Sequence[str], tables: Sequence[str], others: Sequence[str], folder: Path | None
) -> str:
    """Return what a dataset holds: how many images, which tables, other files by their endings.

    `folder` is where `others` lie, None in a zip; files without an ending are looked into there.
    """
    counts = Counter(PurePosixPath(other).suffix.lower() for other in others)
    found = [f"{len(images):,} images ({name_some(images, most=1)})"] if images else []
    found += [name_some(tables, most=6)] if tables else []
    for ending, count in counts.most_common(4):
        first = next(other for other in others if PurePosixPath(other).suffix.lower() == ending)
        kind = name_kind(folder / first) if folder else None
        named = f"{ending} files" if ending else "files without an ending"
        found.append(
            f"{count:,} {named} ({PurePosixPath(first).name}{f', {kind}' if kind else ''})"
        )
    packed = set(_PACKED).intersection(counts)
    return (", ".join(found) or "nothing") + ("; unpack what is packed" if packed else "")
