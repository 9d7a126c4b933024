"""Prediction files: one row an image, one probability a finding."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS

IMAGE_COLUMN = "Image Index"


def write_predictions(
    path: Path,
    names: list[str],
    probabilities: NDArray[np.floating[np.generic]],  # type: ignore[type-var]
) -> None:
    """Write probabilities (n, 14) with nine digits, enough to keep every float32 apart."""
    table = pd.DataFrame(probabilities, columns=list(FINDINGS))
    table.insert(0, IMAGE_COLUMN, names)
    table.to_csv(path, index=False, float_format="%.9g", lineterminator="\n")


def read_predictions(path: Path) -> pd.DataFrame:
    """Return the probabilities of a prediction file, indexed by image name.

    Columns may come in any order and carry the prefix `prob_`; those that are no finding are
    dropped, and findings may be missing. Raises `InputError` naming file, column and row of what
    is no probability, and of an image that occurs twice.
    """
    try:
        table = pd.read_csv(path, dtype={IMAGE_COLUMN: str})
    except FileNotFoundError:
        raise InputError(f"{path} not found; expected a prediction file") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a table: {str(error).splitlines()[0]}") from None
    table.columns = [str(column).strip().removeprefix("prob_") for column in table.columns]
    if IMAGE_COLUMN not in table:
        raise InputError(f"{path} lacks the column {IMAGE_COLUMN!r}; found {list(table.columns)}")
    found = [finding for finding in FINDINGS if finding in table]
    if not found:
        raise InputError(f"{path} has no column named after a finding such as {FINDINGS[0]}")
    twice = table[IMAGE_COLUMN].duplicated()
    if twice.any():
        row = int(np.argmax(twice))
        raise InputError(f"{path} row {row + 2}: {table[IMAGE_COLUMN][row]} occurs twice")
    for finding in found:
        if isinstance(table[finding], pd.DataFrame):
            raise InputError(f"{path} has two columns for {finding}")
        values = pd.to_numeric(table[finding], errors="coerce")
        bad = ~values.between(0, 1)
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"{path} row {row + 2}, {finding}: found {table[finding][row]}, "
                "expected a probability from 0 to 1"
            )
        table[finding] = values
    return table.set_index(IMAGE_COLUMN)[found]
