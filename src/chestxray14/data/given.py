"""Labels and parts that come with ChestMNIST, as tables like those of NIH's files."""

import numpy as np
import pandas as pd

from chestxray14.raw.chestmnist import FINDINGS, ChestMnist


def read_given(raw: ChestMnist) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Return one row an image, and the names of the images of each part.

    Columns are those of `labels.read_labels`. What the file does not tell is empty; an unknown
    patient is a negative number that no other image has.
    """
    matrix = np.concatenate(list(raw.read_labels().values()))
    names = [name for part in raw.names.values() for name in part]
    table = pd.DataFrame(
        {
            "image": names,
            "patient": -1 - np.arange(len(names)),
            "follow_up": np.nan,
            "age": np.nan,
            "sex": "",
            "view": "",
        }
    )
    return table.assign(**dict(zip(FINDINGS, matrix.T, strict=True))), raw.names
