"""Where raw data lies: outside of DVC, which would delete, hash and copy 42 GB."""

import hashlib
import json
import os
from pathlib import Path

from chestxray14.base.errors import InputError
from chestxray14.raw.chestmnist import name_file
from chestxray14.raw.params import (
    AnyDataset,
    ChestMnistDataset,
    Folder,
    KaggleDataset,
    NihBox,
    Phantom,
)

RAW_VARIABLE = "CHESTXRAY14_RAW"
"""Environment variable that names another folder for raw data, shared between checkouts."""


MOUNTED = Path("/kaggle/input")
"""Where a Kaggle notebook has the datasets that were added to it, in one of several layouts."""


def locate(name: str, dataset: AnyDataset) -> Path:
    """Return the folder or zip that holds the raw dataset `name`.

    Each cohort and each version of a Kaggle dataset has a place of its own, so that experiments
    can share `CHESTXRAY14_RAW` and one is never taken for another. In a Kaggle notebook the mounted
    copy of a dataset is its place, whatever its version.

    Raises `InputError` where a download would land in one of DVC's temporary copies of the
    project, only to be deleted with it.
    """
    shared = os.environ.get(RAW_VARIABLE)
    folder = Path(shared or "data/raw") / name
    match dataset:
        case Phantom():
            drawing = json.dumps(dataset.drawing, sort_keys=True)
            return folder / hashlib.sha256(drawing.encode()).hexdigest()[:12]
        case ChestMnistDataset():
            _refuse_temporary(name, shared=shared)
            return folder / name_file(dataset.side)
        case NihBox():
            _refuse_temporary(name, shared=shared)
            return folder
        case KaggleDataset():
            if mounted := _find_mounted(dataset.slug):
                return mounted
            _refuse_temporary(name, shared=shared)
            return folder / f"{dataset.slug.replace('/', '-')}.zip"
        case Folder():
            return Path(dataset.path)


def _find_mounted(slug: str) -> Path | None:
    owner, name, _ = slug.split("/")
    ways = (name, f"datasets/{owner}/{name}", f"datasets/organizations/{owner}/{name}")
    return next((MOUNTED / way for way in ways if (MOUNTED / way).is_dir()), None)


def _refuse_temporary(name: str, *, shared: str | None) -> None:
    if not shared and ".dvc/tmp/" in Path.cwd().as_posix():
        raise InputError(
            f"this is a temporary copy of the project: set {RAW_VARIABLE} to the absolute path of "
            f"the folder that holds {name}/, or run without --temp"
        )
