"""Files that a stage wrote, read back as checked records."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from chestxray14.base.errors import InputError

Record = TypeVar("Record", bound=BaseModel)


def read_record(path: Path, record: type[Record], *, by: str) -> Record:
    """Return a JSON file that the stage `by` wrote.

    Raises `InputError` naming the file, and the first key that is wrong.
    """
    text = _read(path, by=by)
    try:
        return record.model_validate_json(text)
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error)}; the {by} stage writes it") from None


def _read(path: Path, *, by: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: {reason}; the {by} stage writes it") from None


def _explain(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(map(str, problem["loc"])) or "the whole file"
    found = "" if problem["type"] == "missing" else f", found {str(problem['input'])[:80]!r}"
    return f"{key}: {problem['msg']}{found}"
