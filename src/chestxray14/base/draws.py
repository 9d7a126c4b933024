"""Random draws that depend on their key alone, and hashes of what a run depends on."""

import hashlib
from pathlib import Path

import numpy as np


def generator(*key: int) -> np.random.Generator:
    """Return a generator that depends on its key alone, such as (seed, epoch, step).

    No draw depends on an earlier one, so a run that goes on after a kill draws what the
    undisturbed run would have drawn.
    """
    return np.random.default_rng(key)


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
