"""Where raw data lies: outside of DVC, which would delete, hash and copy 42 GB."""

import hashlib
import json
import os
from pathlib import Path

from chestxray14.base.errors import InputError
from chestxray14.raw.params import AnyDataset, Folder, KaggleDataset, Phantom, Table

RAW_VARIABLE = "CHESTXRAY14_RAW"
"""Environment variable that names another folder for raw data, shared between checkouts."""


def locate(name: str, dataset: AnyDataset) -> Path:
    """Return the folder or zip that holds the raw dataset `name`.

    Each cohort and each version of a Kaggle dataset has a place of its own, so that experiments
    can share `CHESTXRAY14_RAW` and one is never taken for another.

    Raises `InputError` where Kaggle's 42 GB would land in one of DVC's temporary copies of the
    project, only to be deleted with it.
    """
    shared = os.environ.get(RAW_VARIABLE)
    folder = Path(shared or "data/raw") / name
    match dataset:
        case Phantom():
            drawing = json.dumps(dataset.drawing, sort_keys=True)
            return folder / hashlib.sha256(drawing.encode()).hexdigest()[:12]
        case KaggleDataset():
            if not shared and ".dvc/tmp/" in Path.cwd().as_posix():
                raise InputError(
                    f"this is a temporary copy of the project: set {RAW_VARIABLE} to the "
                    f"absolute path of the folder that holds {name}/, or run without --temp"
                )
            return folder / f"{dataset.slug.replace('/', '-')}.zip"
        case Folder():
            return Path(dataset.path)
        case Table():
            return Path(dataset.images)
