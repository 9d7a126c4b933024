"""Weights in a local file, pinned by content and read as tensors alone."""

import hashlib
import io
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from chestxray14.base.errors import InputError, shorten
from chestxray14.model.recipe import WeightsFile


def read_weights(file: WeightsFile) -> dict[str, Tensor]:
    """Return the state dict of a file, safetensors or torch's own format.

    Of torch's format the tensors are read and no code is run; a state dict below the key
    `state_dict`, as in training checkpoints, is found. Raises `InputError` when the file is absent,
    has another sha256 than params.yaml says, or holds no state dict.
    """
    path = Path(file.path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"weights.path: {path}: {error.strerror}") from None
    if (found := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise InputError(f"weights.sha256: {path} has {found}, params.yaml says {file.sha256}")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load(content)
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        return {name: torch.as_tensor(tensor) for name, tensor in state.items()}
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(
            f"weights.path: {path} holds no state dict of tensors alone ({shorten(error)})"
        ) from None
