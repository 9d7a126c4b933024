"""A trained network, as the train stage keeps it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from chestxray14.base.errors import InputError
from chestxray14.files.skipped import read_skipped
from chestxray14.files.tensors import read_tensors, write_tensors
from chestxray14.model.backbones import build_network
from chestxray14.model.recipe import Recipe


def as_arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Return tensors as the arrays that a file holds."""
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}


def as_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return arrays of a file as tensors that may be written to."""
    return {name: torch.tensor(array) for name, array in arrays.items()}


def write_model(
    path: Path, weights: Mapping[str, Tensor], recipe: Recipe, *, best_epoch: int
) -> None:
    """Write a network's weights with the recipe it was trained by, limits applied."""
    record = {"recipe": recipe.model_dump(), "best_epoch": best_epoch}
    write_tensors(path, as_arrays(weights), record=record)


def read_model(path: Path) -> tuple[nn.Module, Recipe]:
    """Return the network of a model file, on the CPU, and the recipe it was trained by.

    Raises `InputError` when the file is absent, damaged or of another version.
    """
    if not path.exists():
        raise InputError(f"{path} not found; run the train stage")
    if reason := read_skipped(path):
        raise InputError(f"{path} holds no network, the recipe was skipped: {reason}")
    try:
        arrays, record = read_tensors(path)
    except InputError as error:
        raise InputError(f"{error}; train it again") from None
    try:
        recipe = Recipe.model_validate(record["recipe"])
        network = build_network(recipe.model_copy(update={"weights": "random"}))
        network.load_state_dict(as_tensors(arrays))
    except (ValidationError, RuntimeError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is of another version ({reason}); train it again") from None
    return network, recipe
