"""Named arrays and a record in one safetensors file that notices a single wrong bit."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from chestxray14.base.errors import InputError
from chestxray14.files.outputs import write_bytes


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], *, record: object) -> None:
    """Write arrays and a JSON record as one safetensors file, replaced in one step."""
    kept = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    # One key alone: safetensors writes several in an order that differs from run to run.
    checked = json.dumps({"record": record, "sha256": _hash(kept, record)}, sort_keys=True)
    write_bytes(path, safetensors.numpy.save(kept, metadata={"checked": checked}))


def read_tensors(path: Path) -> tuple[dict[str, NDArray[Any]], Any]:
    """Return what `write_tensors` wrote.

    Raises `InputError` when the file is damaged, be it by a single bit.
    """
    content = path.read_bytes()
    try:
        tensors = safetensors.numpy.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        checked = json.loads(header["__metadata__"]["checked"])
        record, expected = checked["record"], checked["sha256"]
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error})") from None
    if _hash(tensors, record) != expected:
        raise InputError(f"{path} is damaged (its content has another sha256)")
    return tensors, record


def _hash(tensors: Mapping[str, NDArray[Any]], record: object) -> str:
    digest = sha256(json.dumps(record, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
