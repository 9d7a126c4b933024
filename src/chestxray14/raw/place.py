"""Where raw data lies: outside of DVC, which would delete, hash and copy 42 GB."""

import hashlib
import json
import os
from pathlib import Path

from chestxray14.raw.chestmnist import name_file
from chestxray14.raw.params import (
    AnyDataset,
    ChestMnistDataset,
    Folder,
    KaggleDataset,
    NihBox,
    Phantom,
    Table,
)

RAW_VARIABLE = "CHESTXRAY14_RAW"
"""Environment variable that names another folder for raw data, shared between checkouts."""


MOUNTED = Path("/kaggle/input")
"""Where a Kaggle notebook has the datasets that were added to it, in one of several layouts."""


def locate(name: str, dataset: AnyDataset) -> Path:
    """Return the folder or zip that holds the raw dataset `name`.

    Each cohort and each version of a Kaggle dataset has a place of its own, so that experiments
    can share a folder and one is never taken for another. In a Kaggle notebook the mounted copy
    of a dataset is its place, whatever its version.
    """
    folder = _raw_folder() / name
    match dataset:
        case Phantom():
            drawing = json.dumps(dataset.drawing, sort_keys=True)
            return folder / _short_hash(drawing)
        case ChestMnistDataset():
            return folder / name_file(dataset.side)
        case NihBox():
            return folder
        case KaggleDataset():
            mounted = _find_mounted(dataset.slug)
            return mounted or folder / f"{dataset.slug.replace('/', '-')}.zip"
        case Folder():
            return _checkout() / dataset.path
        case Table():
            return _checkout() / dataset.images


def locate_table(name: str) -> Path:
    """Return where a table lies that params.yaml names, if not among the images."""
    return _checkout() / name


def locate_record(path: Path) -> Path:
    """Return where the checksums of a folder's files are kept, see `raw.checksums`."""
    return _raw_folder() / "seen" / f"{_short_hash(str(path.resolve()))}.json"


def _find_mounted(slug: str) -> Path | None:
    owner, name, _ = slug.split("/")
    ways = (name, f"datasets/{owner}/{name}", f"datasets/organizations/{owner}/{name}")
    return next((MOUNTED / way for way in ways if (MOUNTED / way).is_dir()), None)


def _raw_folder() -> Path:
    shared = os.environ.get(RAW_VARIABLE)
    return Path(shared) if shared else _checkout() / "data" / "raw"


def _checkout() -> Path:
    """Return the checkout, also from one of the copies that DVC makes of it and deletes again."""
    checkout, copied, _ = Path.cwd().as_posix().partition("/.dvc/tmp/")
    return Path(checkout) if copied else Path()


def _short_hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:12]
