from pathlib import Path

import pytest
import torch
from tiny import snapshot, tiny_recipe

from chestxray14.base.errors import InputError
from chestxray14.files.tensors import write_tensors
from chestxray14.model.backbones import build_network
from chestxray14.model.trained import read_model


def test_a_model_file_gives_back_network_and_recipe(tmp_path: Path) -> None:
    recipe = tiny_recipe(seed=3)
    network = build_network(recipe)
    path = tmp_path / "model.safetensors"
    # Weights that would have to be downloaded are not: the file has them all.
    kept = recipe.model_dump() | {"weights": "imagenet"}
    write_tensors(path, snapshot(network), record={"recipe": kept})
    read, its = read_model(path)
    assert its.model_dump() == kept
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
        write_tensors(path, {"x": torch.zeros(1)}, record=record)
        with pytest.raises(InputError, match=r"model\.safetensors is of another version \(.+\)"):
            read_model(path)
