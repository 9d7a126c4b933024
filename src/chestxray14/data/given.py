"""Labels and parts that come with ChestMNIST, as a table like those of NIH's files."""

import numpy as np
import pandas as pd

from chestxray14.base.findings import FINDINGS
from chestxray14.raw.chestmnist import ChestMnist


def read_given(raw: ChestMnist) -> pd.DataFrame:
    """Return one row an image: the columns of `labels.read_labels`, then its part.

    Every image counts as its own patient; what else the file does not tell is empty.
    """
    matrix = np.concatenate(list(raw.read_labels().values()))
    names = [name for part in raw.names.values() for name in part]
    table = pd.DataFrame(
        {
            "image": names,
            "patient": names,
            "follow_up": np.nan,
            "age": np.nan,
            "sex": "",
            "view": "",
        }
    )
    table = table.assign(**dict(zip(FINDINGS, matrix.T, strict=True)))
    return table.assign(part=[part for part, named in raw.names.items() for _ in named])
