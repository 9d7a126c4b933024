"""What names of images say: which parts they make, which files are images."""

import hashlib
from collections.abc import Iterable


def hash_names(names: Iterable[str]) -> str:
    """Return the sha256 of image names: sorted, one a line, each with a newline."""
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(names)).encode()).hexdigest()


def is_image(name: str) -> bool:
    """Tell whether a file is a radiograph by its ending."""
    return name.lower().endswith((".png", ".jpg", ".jpeg"))
