"""Where raw data lies: outside of DVC, which would delete, hash and copy 42 GB."""

import os
from pathlib import Path

from chestxray14.params import Folder, KaggleDataset, Phantom

RAW_VARIABLE = "CHESTXRAY14_RAW"
"""Environment variable that names another folder for raw data, shared between checkouts."""


def locate(name: str, dataset: Phantom | KaggleDataset | Folder) -> Path:
    """Return the folder or zip that holds the raw dataset `name`."""
    folder = Path(os.environ.get(RAW_VARIABLE) or "data/raw") / name
    match dataset:
        case Phantom():
            return folder
        case KaggleDataset():
            return folder / f"{dataset.slug.split('/')[1]}.zip"
        case Folder():
            return Path(dataset.path)
