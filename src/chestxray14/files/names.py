"""Names of images and folders of files: how they are spelt, which parts they make."""

import hashlib
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path


def hash_names(names: Iterable[str]) -> str:
    """Return the sha256 of image names: sorted, one a line, each with a newline."""
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(names)).encode()).hexdigest()


def is_image(name: str) -> bool:
    """Tell whether a file is a radiograph by its ending."""
    return name.lower().endswith((".png", ".jpg", ".jpeg"))


def spell(name: str) -> str:
    """Return the one spelling of a file's name: composed letters (NFC), an image's ending in small.

    A disk may hold `ä` as one letter or as two, and `.PNG` where a table says `.png`.
    """
    name = unicodedata.normalize("NFC", name)
    stem, dot, ending = name.rpartition(".")
    return f"{stem}{dot}{ending.lower()}" if is_image(name) else name


def list_files(folder: Path) -> list[Path]:
    """Return the files in and below a folder, sorted, what is hidden passed over.

    Folders that are links are followed, and each is entered once, however many links lead there.
    """
    files: list[Path] = []
    entered: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(file for file in files if file.is_file())
