"""What one stage reads of another: absent or damaged, it is named with the stage that writes it."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from chestxray14.errors import InputError


def read_json(path: Path, *, by: str) -> Any:
    """Return a JSON file that the stage `by` wrote."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} not found; run the {by} stage") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); run the {by} stage again") from None


def read_table(path: Path, *, by: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return a CSV file with at least `columns` that the stage `by` wrote."""
    try:
        table: pd.DataFrame = pd.read_csv(path)
    except FileNotFoundError:
        raise InputError(f"{path} not found; run the {by} stage") from None
    except (ValueError, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is no table ({reason}); run the {by} stage again") from None
    if missing := [column for column in columns if column not in table.columns]:
        raise InputError(f"{path} lacks the column {missing[0]!r}; run the {by} stage again")
    return table
