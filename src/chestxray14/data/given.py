"""Labels and parts that come with ChestMNIST, as tables like those of NIH's files."""

import numpy as np
import pandas as pd

from chestxray14.base.findings import FINDINGS
from chestxray14.raw.chestmnist import ChestMnist


def read_given(raw: ChestMnist) -> pd.DataFrame:
    """Return one row an image: the columns of `labels.read_labels`, then its part.

    What the file does not tell is empty; an unknown
    patient is a negative number that no other image has.
    """
    matrix = np.concatenate(list(raw.read_labels().values()))
    names = [(name, part) for part, names in raw.names.items() for name in names]
    table = pd.DataFrame(
        {
            "image": [name for name, _ in names],
            "patient": -1 - np.arange(len(names)),
            "follow_up": np.nan,
            "age": np.nan,
            "sex": "",
            "view": "",
        }
    )
    table = table.assign(**dict(zip(FINDINGS, matrix.T, strict=True)))
    return table.assign(part=[part for _, part in names])
