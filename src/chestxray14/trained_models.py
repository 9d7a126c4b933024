"""A trained network, as the train stage keeps it."""

from pathlib import Path

from pydantic import ValidationError
from torch import nn

from chestxray14.backbones import build_network
from chestxray14.checkpoint import read_tensors
from chestxray14.errors import InputError
from chestxray14.recipes import Recipe


def read_model(path: Path) -> tuple[nn.Module, Recipe]:
    """Return the network of a model file, on the CPU, and the recipe it was trained by.

    Raises `InputError` when the file is absent, damaged or of another version.
    """
    if not path.exists():
        raise InputError(f"{path} not found; run the train stage")
    try:
        tensors, record = read_tensors(path)
    except InputError as error:
        raise InputError(f"{error}; train it again") from None
    try:
        recipe = Recipe.model_validate(record["recipe"])
        network = build_network(recipe.model_copy(update={"weights": "random"}))
        network.load_state_dict(tensors)
    except (ValidationError, RuntimeError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is of another version ({reason}); train it again") from None
    return network, recipe
