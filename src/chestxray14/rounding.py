"""Records as files have them: numbers short enough to read."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from chestxray14.scores import DIGITS

Record = TypeVar("Record", bound=BaseModel)


def round_record(record: Record) -> Record:
    """Return a record with its floats rounded to `DIGITS` decimals, but for thresholds.

    A rounded threshold could call the very image it was chosen at.
    """
    return type(record).model_validate(_round(record.model_dump()))


def _round(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {k: v if k == "thresholds" else _round(v) for k, v in content.items()}
    return round(content, DIGITS) if isinstance(content, float) else content
