"""The keys of params.yaml: read as strictly as DVC reads them, checked block by block.

Each room has the schema of its own blocks; a stage loads those alone, so that a new key of one room
is no change to another.
"""

import copy
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from chestxray14.base.errors import InputError

T = TypeVar("T")

PARAMS_FILE = Path("params.yaml")


class Record(BaseModel):
    """A block of params.yaml: strict, frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Share = Annotated[float, Field(gt=0, lt=1)]
Pixels = Annotated[int, Field(ge=32, le=4096)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


Views = Literal["centre", "flip", "ten_crop"]
"""What a network sees of a test image, fewest views first."""


class Limits(Record):
    """What a dataset caps, so that a demo finishes on a laptop; null caps nothing."""

    input_px: Pixels | None
    epochs: Annotated[int, Field(ge=1)] | None
    weights: Literal["random"] | None
    views: Views | None


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
"""A key that names a dataset, a split, a recipe: it becomes a file name and a stage's."""

FileName = Annotated[str, Field(pattern=r"^[^\x00]+$")]
"""A path; a NUL, which YAML can write, is no part of one."""


class _Loader(yaml.SafeLoader):
    """PyYAML as strict as DVC: floats of YAML 1.2 (`1e-4`, `5e-05`) and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping, or refuse a key that occurs twice."""
        keys = [key.value for key, _ in node.value]
        for i, (key, _) in enumerate(node.value):
            if key.value in keys[:i]:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value} occurs twice", problem_mark=key.start_mark
                )
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


@lru_cache(maxsize=1)
def _parse(text: str) -> Any:
    # A stage asks for block after block, and parsing takes longer than all the rest of it.
    return yaml.load(text, Loader=_Loader)


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file as DVC reads it.

    Raises `InputError` naming the file and line when it cannot be read.
    """
    try:
        return copy.deepcopy(_parse(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path} not found; run from the root of the project") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{where}: {reason}") from None
    except ValueError as error:  # a date that is none
        raise InputError(f"{path}: {error}") from None
    except (AttributeError, LookupError):  # what PyYAML meets in `!!int ""` and `!!timestamp x`
        raise InputError(f"{path}: a value is not what its `!!` tag says") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply") from None


def load_block(key: str, schema: type[T] | TypeAdapter[T], *, path: Path = PARAMS_FILE) -> T:
    """Return one block of params.yaml, checked; `key` leads there, as `datasets.phantom.limits`.

    Raises `InputError` naming the first wrong key, the value found and what was expected.
    """
    content = read_yaml(path)
    block, place = content, tuple(key.split("."))
    for i, part in enumerate(place):
        if not isinstance(block, dict) or part not in block:
            raise InputError(f"{path}: missing key {'.'.join(place[: i + 1])}")
        block = block[part]
    return _check(block, schema, path=path, content=content, place=place)


def load_file(schema: type[T], *, path: Path = PARAMS_FILE) -> T:
    """Return the whole of params.yaml, checked as `load_block` checks a block."""
    content = read_yaml(path)
    return _check(content, schema, path=path, content=content, place=())


def list_names(key: str, *, path: Path = PARAMS_FILE) -> list[str]:
    """Return the names that a block such as `recipes` has, in order; none where it is no block."""
    content = read_yaml(path)
    block = content.get(key) if isinstance(content, dict) else None
    return [str(name) for name in block] if isinstance(block, dict) else []


def _check(
    block: Any,
    schema: type[T] | TypeAdapter[T],
    *,
    path: Path,
    content: Any,
    place: tuple[str, ...],
) -> T:
    adapter: TypeAdapter[T] = schema if isinstance(schema, TypeAdapter) else TypeAdapter(schema)
    try:
        # strict even where the schema is no record of ours, as `str`
        return adapter.validate_python(block, strict=True)
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error, content, place=place)}") from None


def _explain(error: ValidationError, content: Any, *, place: tuple[str, ...] = ()) -> str:
    """Say in one line which key of a file's content is wrong and how; `place` leads to the block."""
    # A misspelt key is both unknown and missing; the unknown one is what the user wrote.
    problem = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    loc = (*place, *problem["loc"])
    key = ".".join(_walk(loc, content, missing=problem["type"] == "missing"))
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}"
    if problem["type"] == "missing":
        return f"missing key {key}"
    message = problem["msg"].removeprefix("Value error, ")
    if not key or problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key}: found {problem['input']!r:.200}; {message[0].lower()}{message[1:]}"


def _walk(place: tuple[int | str, ...], content: Any, *, missing: bool) -> list[str]:
    """Return the keys that lead to a place in the file: pydantic also names a union's member.

    A member may be called as a key is; of both ways the one counts that finds more keys.
    """
    if not place:
        return []
    part, rest = place[0], place[1:]
    there = part in content if isinstance(content, dict) else isinstance(content, list)
    if missing and not rest:
        return [str(part)] if isinstance(content, dict) and not there else []
    passed = _walk(rest, content, missing=missing)
    if not there:
        return passed
    taken = [str(part), *_walk(rest, content[part], missing=missing)]
    return passed if len(passed) > len(taken) or len(passed) == len(taken) == 1 else taken
