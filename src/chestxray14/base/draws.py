"""Random draws that depend on their key alone, and hashes of what a run depends on."""

import hashlib
import zlib
from pathlib import Path

import numpy as np


def generator(purpose: str, *key: int) -> np.random.Generator:
    """Return a generator that depends on what it is for and its key alone, as (seed, epoch, step).

    No draw depends on an earlier one, so a run that goes on after a kill draws what the
    undisturbed run would have drawn; and no two purposes share a stream, nor two keys, be one the
    other with a zero behind it.
    """
    # SeedSequence takes (1,) and (1, 0) for the same: their lengths tell them apart.
    return np.random.default_rng((zlib.crc32(purpose.encode()), len(key), *key))


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
