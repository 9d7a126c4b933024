from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_recipe

from chestxray14.base.errors import InputError
from chestxray14.files.skipped import write_skipped
from chestxray14.files.tensors import read_tensors, write_tensors
from chestxray14.model.backbones import build_network
from chestxray14.model.recipe import Recipe
from chestxray14.model.trained import as_arrays, as_tensors, read_model, write_model


def test_a_model_file_gives_back_network_and_recipe(tmp_path: Path) -> None:
    recipe = tiny_recipe(seed=3)
    network = build_network(recipe)
    path = tmp_path / "model.safetensors"
    # Weights that would have to be downloaded are not: the file has them all.
    kept = recipe.model_dump() | {"weights": "imagenet"}
    write_model(path, network.state_dict(), Recipe.model_validate(kept), best_epoch=2)
    read, its = read_model(path)
    assert its.model_dump() == kept
    assert read_tensors(path)[1]["best_epoch"] == 2
    states = read.state_dict(), network.state_dict()
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))


def test_an_absent_file_a_damaged_one_and_another_version_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match=r"model\.safetensors not found; run the train stage"):
        read_model(path)
    path.write_bytes(b"x" * 100)
    with pytest.raises(InputError, match=r"model\.safetensors is damaged \(.+\); train it again"):
        read_model(path)
    recipe = tiny_recipe().model_dump()
    for record in ({}, {"recipe": recipe | {"key": 1}}, {"recipe": recipe}, []):
        write_tensors(path, {"x": np.zeros(1)}, record=record)
        with pytest.raises(InputError, match=r"model\.safetensors is of another version \(.+\)"):
            read_model(path)


def test_tensors_become_arrays_and_writable_tensors_again() -> None:
    tensors = {
        "seen": torch.tensor(7),
        "weight": torch.nn.Parameter(torch.rand(3, 4, 2).transpose(0, 2)),
        "channels_last": torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
    }
    arrays = as_arrays(tensors)
    again = as_tensors(arrays)
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name], tensor)
        again[name].zero_()
        np.testing.assert_array_equal(arrays[name], tensor.detach().numpy())


def test_a_recipe_that_was_skipped_has_no_network(tmp_path: Path) -> None:
    write_skipped("the dataset lacks Mass", tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"holds no network.*skipped: the dataset lacks Mass"):
        read_model(tmp_path / "model.safetensors")
