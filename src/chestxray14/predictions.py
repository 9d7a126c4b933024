"""Prediction files: one row an image, one probability a finding."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chestxray14.cells import read_cells
from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.outputs import write_text

IMAGE_COLUMN = "Image Index"


def write_predictions(
    path: Path,
    names: list[str],
    probabilities: NDArray[np.floating[Any]],
    *,
    findings: Sequence[str],
) -> None:
    """Write probabilities (n, findings) with nine digits: every float32 stays itself."""
    table = pd.DataFrame(probabilities, columns=list(findings))
    table.insert(0, IMAGE_COLUMN, names)
    write_text(path, table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def read_predictions(path: Path) -> pd.DataFrame:
    """Return the probabilities of a prediction file, indexed by image name.

    Columns may come in any order and carry the prefix `prob_`; those that are no finding are
    dropped, and findings may be missing. Raises `InputError` naming file, column and row of what
    is no probability, and of an image that occurs twice.
    """
    try:
        table = read_cells(path.read_bytes(), name=str(path))
    except FileNotFoundError:
        raise InputError(f"{path} not found; expected a prediction file") from None
    names = [
        bare if (bare := column.removeprefix("prob_")) in FINDINGS else column
        for column in table.columns
    ]
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise InputError(f"{path} has two columns for {twice[0]}")
    table.columns = pd.Index(names)
    if IMAGE_COLUMN not in table:
        raise InputError(f"{path} lacks the column {IMAGE_COLUMN!r}; found {names}")
    found = [finding for finding in FINDINGS if finding in names]
    if not found:
        raise InputError(f"{path} has no column named after a finding such as {FINDINGS[0]}")
    images = table[IMAGE_COLUMN]
    for bad, what in ((images == "", "no image name"), (images.duplicated(), "a repeated image")):
        if bad.any():
            raise InputError(f"{path} row {int(np.argmax(bad)) + 2}: {what}")
    values = {finding: pd.to_numeric(table[finding], errors="coerce") for finding in found}
    for finding in found:
        bad = ~values[finding].between(0, 1)
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"{path} row {row + 2}, {finding}: found {table[finding].iloc[row]!r}, "
                "expected a probability from 0 to 1"
            )
    return pd.DataFrame(values).set_index(images)
