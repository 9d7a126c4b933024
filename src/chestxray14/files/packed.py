"""All radiographs of a dataset in one array, with an index that says what each row shows."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.files.outputs import read_table

INDEX_COLUMNS = ("image", "row", "crc32", "patient", "follow_up", "age", "sex", "view", *FINDINGS)


def read_index(path: Path) -> pd.DataFrame:
    """Return the index of a packed dataset, one row an image, columns `INDEX_COLUMNS`.

    The CRC-32 of every image is in it, so the hash of this small file stands for all pixels.
    """
    index = read_table(path, by="prepare", columns=INDEX_COLUMNS)
    return index.assign(patient=as_ids(index["patient"]))


def as_ids(patients: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return the names of patients, as numbers where all are such: in their order patients are drawn.

    `01` and `1` are two patients, and no numbers.
    """
    whole = patients.str.fullmatch("0|[1-9][0-9]{0,17}").eq(True)
    return patients.astype("int64") if whole.all() else patients


def open_images(path: Path) -> NDArray[np.uint8]:
    """Return the packed images, an (N, P, P) uint8 array mapped from disk, read-only."""
    try:
        images: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path} not found; run the prepare stage") from None
    except (ValueError, EOFError) as error:
        raise InputError(
            f"{path} is not a packed array ({error}); run the prepare stage again"
        ) from None
    return images


IMAGE_PX = 1024
"""The side of the picture that boxes are drawn in."""
