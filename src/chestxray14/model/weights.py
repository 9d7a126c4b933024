"""Weights in files: checked by hash, read as tensors alone, matched under whatever prefix."""

import hashlib
import http.client
import io
import logging
import pickle
import re
import sys
import tarfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from chestxray14.base.draws import hash_file
from chestxray14.base.errors import InputError, name_some, shorten
from chestxray14.model.recipe import WeightsFile

log = logging.getLogger(__name__)


def read_weights(file: WeightsFile) -> dict[str, Tensor]:
    """Return all tensors of a file, safetensors or torch's own format, by their whole names.

    Of torch's format the tensors are read and no code is run. A tensor in a dict in a dict, as in
    training checkpoints, has both keys in its name, with a dot between. Raises `InputError` when
    the file is absent, has another sha256 than params.yaml says, or holds no tensors by name.
    """
    path = Path(file.path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"weights.path: {path}: {error.strerror}") from None
    if (found := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise InputError(f"weights.sha256: {path} has {found}, params.yaml says {file.sha256}")
    return _read_tensors(content, f"weights.path: {path}")


def read_published(url: str) -> dict[str, Tensor]:
    """Return the tensors of published weights in torch's cache, downloaded where they are absent.

    Raises `InputError` when they cannot be downloaded or read, or are not what their name says.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    way_out = f"bring {url} to {path.parent}, or set the dataset's limits.weights to random"
    anew = "delete it, and it is downloaded again; without a network"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            log.info("downloading %s to %s", url, path.parent)
            torch.hub.download_url_to_file(
                url, str(path), _named_digits(path), progress=sys.stderr.isatty()
            )
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise InputError(
            f"ImageNet weights cannot be downloaded ({shorten(error)}); {way_out}"
        ) from None
    try:
        check_name(path)
        return _read_tensors(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; {anew} {way_out}") from None
    except InputError as error:
        raise InputError(f"{error}; {anew} {way_out}") from None


def check_name(path: Path) -> None:
    """Hold a file against the sha256 that its name begins to tell, in all digits that it has.

    Where the name tells none, as torch's `resnet50-0676ba61.pth` does, that is said. Raises
    `InputError` when the file is another, and `OSError` when it cannot be read.
    """
    digits = _named_digits(path)
    if not digits:
        log.warning("%s: no hash in its name, so that its content is not checked", path.name)
    elif not (found := hash_file(path)).startswith(digits):
        with path.open("rb") as file:
            known = _recognize(file.read(_HEAD)) or f"has {path.stat().st_size:,} bytes"
        raise InputError(
            f"{path} {known}, not the content of its name: its sha256 begins with "
            f"{found[: len(digits)]}, expected {digits}"
        )


def match_weights(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], *, source: str
) -> dict[str, Tensor]:
    """Return the tensors that fit a network's `own`, by its names, and log what matched.

    A network that is part of another has one prefix before all its names. torchvision's first
    names are known, and the counters of batch normalisation, which old files lack, may be absent.
    Raises `InputError` that begins with `source` when no part fits, or several with other values.
    """
    tensors = {_rename(name): tensor for name, tensor in tensors.items()}
    first = next(iter(own))
    prefixes = [n.removesuffix(first) for n in tensors if f".{n}".endswith(f".{first}")] or [""]
    unfit = {prefix: _list_unfit(tensors, own, prefix=prefix) for prefix in prefixes}
    prefix = min(prefixes, key=lambda prefix: len(unfit[prefix]))
    if lacking := unfit[prefix]:
        found = tensors.get(prefix + lacking[0])
        problem = f"is {_shape(found)}, expected" if found is not None else "is missing, expected"
        raise InputError(
            f"{source} does not fit the network: {prefix}{lacking[0]} {problem} "
            f"{_shape(own[lacking[0]])}, as {len(lacking)} of {len(own)} tensors"
        )
    matched = {name: tensors[prefix + name] for name in own if prefix + name in tensors}
    for other in prefixes:
        if other == prefix or unfit[other]:
            continue
        if not all(
            torch.equal(tensors[other + name].float(), tensor.float())
            for name, tensor in matched.items()
            if other + name in tensors
        ):
            raise InputError(
                f"{source} holds several networks that fit: {prefix}{first} and {other}{first}; "
                "save one of them alone"
            )
    unused = [name for name in tensors if name.removeprefix(prefix) not in matched]
    log.info(
        "%s: %d of %d tensors matched%s%s",
        *(source, len(matched), len(tensors), f" below {prefix[:-1]}" if prefix else ""),
        f"; not used: {name_some(unused)}" if unused else "",
    )
    return matched


def _rename(name: str) -> str:
    """Return the name torchvision has today: its first DenseNets called `norm1` `norm.1`."""
    return re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", name)


def _list_unfit(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], *, prefix: str
) -> list[str]:
    """Return the own names that are absent below a prefix, or of another shape."""
    return [
        name
        for name, tensor in own.items()
        if (
            tensors[prefix + name].shape != tensor.shape
            if prefix + name in tensors
            else not name.endswith(".num_batches_tracked")
        )
    ]


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _named_digits(path: Path) -> str:
    """Return the first digits of a sha256 that a name ends in, as torch's do, or ""."""
    found = re.search(r"-([0-9a-f]{8,64})\.", path.name)
    return found[1] if found else ""


_HEAD = 2**20

_FORMATS = (
    (rb"\s*<", "is a web page"),
    (rb"version https://git-lfs", "is a pointer of Git LFS (bring the file by `git lfs pull`)"),
    (rb"\x89HDF\r\n", "is HDF5, as Keras writes, whose networks are others"),
    (rb"\x1f\x8b|BZh|7z\xbc|\xfd7zXZ|Rar!", "is a packed file: unpack it"),
)


def _recognize(head: bytes) -> str:
    """Return what a file is that is no weights, by its first bytes, or ""."""
    if not head:
        return "is empty"
    return next((words for pattern, words in _FORMATS if re.match(pattern, head)), "")


def _read_tensors(content: bytes, source: str) -> dict[str, Tensor]:
    """Return the tensors of a file's content by name; raise `InputError` where it holds none."""
    # Safetensors is JSON after the length of that.
    safe = content[8:9] == b"{" and int.from_bytes(content[:8], "little") < _HEAD * 100
    if not safe and (known := _recognize(content[:_HEAD])):
        raise InputError(f"{source} {known}; expected a state dict of tensors")
    try:
        if safe:
            return safetensors.torch.load(content)
        if tarfile.is_tarfile(io.BytesIO(content)):
            raise pickle.UnpicklingError("the tar format of torch's first versions")
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        tensors = dict(_flatten(state))
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(f"{source} {_explain(error)}") from None
    if not tensors:
        raise InputError(f"{source} holds no tensors by name; expected a state dict")
    return tensors


def _flatten(state: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor in dicts in dicts with its keys, a dot between."""
    if isinstance(state, Mapping):
        for key, value in state.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(state, Tensor):
        yield prefix, state


def _explain(error: Exception) -> str:
    """Say why torch read no tensors, and the way out where the file may be whole."""
    named = re.search(r"GLOBAL (\S+)|(TorchScript) archive|(the tar format .*)", str(error))
    if not named:
        return f"holds no state dict of tensors alone ({shorten(error)})"
    what = next(filter(None, named.groups()))
    return (
        f"is not read, as it could run code ({what}); if you trust it, load it by "
        "torch.load(..., weights_only=False) where it was made, and torch.save its state_dict alone"
    )
