"""A recipe, a network and a few made-up images that train in no time."""

from typing import cast

import numpy as np
import torch
from conftest import ROOT, make_index
from torch import nn

from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import load_block
from chestxray14.model.backbones import build_network
from chestxray14.model.batches import Part
from chestxray14.model.recipe import Recipe, WholeRecipe

CPU = torch.device("cpu")
RECIPES = {
    name: recipe.for_dataset(FINDINGS)
    for name, recipe in load_block(
        "recipes", dict[str, WholeRecipe], path=ROOT / "params.yaml"
    ).items()
}


def tiny_recipe(name: str = "densenet121_step", **changes: object) -> Recipe:
    """Return a recipe of params.yaml for 32 pixels and random weights, four images a step."""
    small = {"input_px": 32, "resize_px": 32, "batch": 4, "weights": "random"}
    # Through the file's own form, so that what does not fit together is refused.
    recipe = Recipe.model_validate(RECIPES[name].trained.model_dump() | small | changes)
    return recipe.for_dataset(FINDINGS)


def plain(name: str = "densenet121_step", **changes: float) -> dict[str, float]:
    """Return an augmentation that does nothing but `changes`."""
    nothing = dict.fromkeys(RECIPES[name].augmentation.model_dump(), 0.0)
    return nothing | {"crop_area": 1.0, "crop_ratio": 1.0} | changes


def tiny_network(logits: int = 14) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, logits),
    )  # fmt: skip


def tiny_part(images: int = 10, *, recipe: Recipe = RECIPES["densenet121_step"]) -> Part:
    rng = np.random.default_rng(0)
    index = make_index(images, studies=1)
    return Part(
        images=rng.integers(0, 256, (images, 32, 32), dtype=np.uint8),
        rows=np.arange(images),
        names=index["image"].tolist(),
        labels=torch.tensor(index[list(recipe.findings)].to_numpy(), dtype=torch.float32),
    )


def snapshot(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def unsettled(recipe: Recipe) -> nn.Sequential:
    """Return a recipe's network whose statistics and logits are not those of a fresh start."""
    network = cast(nn.Sequential, build_network(recipe))
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (module.running_mean, module.weight.data, module.bias.data):
                assert tensor is not None
                tensor += 0.1 * torch.randn(tensor.shape, generator=generator)
    return network.eval()
