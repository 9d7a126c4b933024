"""All radiographs of a dataset in one array, with an index that says what each row shows."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chestxray14.base.errors import InputError
from chestxray14.base.findings import NO_FINDING
from chestxray14.files.outputs import read_table

INDEX_COLUMNS = ("image", "row", "crc32", "patient", "follow_up", "age", "sex", "view")
"""What an index says of an image before its findings."""


def list_findings(table: pd.DataFrame) -> tuple[str, ...]:
    """Return the findings of an index, or of labels, in their order: the columns of their own."""
    return tuple(name for name in map(str, table) if name not in (*INDEX_COLUMNS, NO_FINDING))


def read_index(path: Path) -> pd.DataFrame:
    """Return the index of a packed dataset: one row an image, `INDEX_COLUMNS`, then its findings.

    The CRC-32 of every image is in it, so the hash of this small file stands for all pixels. An
    unknown label is NaN. Where every image counts as its own patient, it is called as the image.
    """
    index = read_table(path, by="prepare", columns=INDEX_COLUMNS)
    return index.assign(patient=as_ids(index["patient"]))


def as_ids(patients: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return the names of patients, as numbers where all are such: in their order patients are drawn.

    `01` and `1` are two patients, and no numbers.
    """
    whole = patients.str.fullmatch("0|[1-9][0-9]{0,17}").eq(True)
    return patients.astype("int64") if whole.all() else patients


def have_own_patients(table: pd.DataFrame) -> bool:
    """Say whether every image counts as its own patient, who is called as the image."""
    return bool(table["patient"].astype("str").eq(table["image"]).all())


def count_patients(table: pd.DataFrame) -> int:
    """Return how many patients are known: none where every image counts as its own."""
    return 0 if have_own_patients(table) else int(table["patient"].nunique())


def find_same_images(first: Path, second: Path) -> list[str]:
    """Return the images of the packed dataset in the folder `second` that the first has too.

    Their packed pixels are the same, so both must be packed at one size. Of a hundred thousand
    images some share a CRC-32 by chance, so the pixels themselves are compared.
    """
    mine, theirs = (
        read_index(each / "index.csv")[["image", "row", "crc32"]] for each in (first, second)
    )
    images = [open_images(each / "images.npy") for each in (first, second)]
    alike = theirs.merge(mine, on="crc32", suffixes=("", "_mine"))
    same = [
        image
        for image, row, other in zip(alike["image"], alike["row"], alike["row_mine"], strict=True)
        if np.array_equal(images[1][row], images[0][other])
    ]
    return list(dict.fromkeys(same))


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
