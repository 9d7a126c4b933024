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
    return parse_record(read_written(path, by=by), record, path=path, by=by)


def read_written(path: Path, *, by: str) -> str:
    """Return the text of a file that the stage `by` wrote."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: {reason}; the {by} stage writes it") from None


def parse_record(content: object, record: type[Record], *, path: Path | str, by: str) -> Record:
    """Return a checked record from JSON text or from a row of a CSV file."""
    try:
        if isinstance(content, str):
            return record.model_validate_json(content)
        return record.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"])) or "the whole file"
        found = "" if problem["type"] == "missing" else f", found {str(problem['input'])[:80]!r}"
        raise InputError(
            f"{path}: {key}: {problem['msg']}{found}; the {by} stage writes it"
        ) from None
