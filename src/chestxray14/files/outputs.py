"""What stages write for one another, and how they read it.

A file is replaced in one step: DVC may have hard-linked the one that is there to its cache, and
writing into that would change the cache.
"""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel

from chestxray14.base.errors import InputError


def read_table(path: Path, *, by: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return a CSV file with at least `columns` that the stage `by` wrote.

    An image's or a patient's name stays text, be it `123` or `NA`; elsewhere an empty cell is NaN.
    """
    try:
        table: pd.DataFrame = pd.read_csv(
            path, dtype={"image": "str", "patient": "str"}, keep_default_na=False, na_values=[""]
        )
    except FileNotFoundError:
        raise InputError(f"{path} not found; run the {by} stage") from None
    except (ValueError, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is no table ({reason}); run the {by} stage again") from None
    if missing := [column for column in columns if column not in table.columns]:
        raise InputError(f"{path} lacks the column {missing[0]!r}; run the {by} stage again")
    return table


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an `.npy` file as `write_bytes` does."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_bytes(path, content.getvalue())


def write_record(path: Path, record: BaseModel) -> None:
    """Write a record as JSON, as `write_bytes` does, without what is None."""
    write_text(path, record.model_dump_json(indent=1, exclude_none=True) + "\n")


def write_json(path: Path, content: object) -> None:
    """Write indented JSON as `write_bytes` does; NaN and infinity are no JSON."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
