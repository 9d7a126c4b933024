"""An epoch on a GPU, by type, shape and place, where there is none."""

import numpy as np
import pytest
import torch
from fake_gpu import CUDA, gpu, on_gpu
from tiny import tiny_part, tiny_recipe
from torch import Tensor, nn

from chestxray14.model.backbones import build_network
from chestxray14.model.batches import copy_to
from chestxray14.training import epoch as module
from chestxray14.training.epoch import Training, build_optimizer, build_scaler, train_one_epoch
from chestxray14.training.losses import build_loss

__all__ = ["gpu"]

SOME = ["densenet121_step", "custom_densenet121", "chexnet_head", "resnet50_frozen", "best"]
"""Recipes that differ in trunk, head, loss, optimizer, and what is trained."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_an_epoch_stays_on_the_gpu(
    name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    recipe = tiny_recipe(name, ema=0.9)
    network, average = build_network(recipe), build_network(recipe)
    part = tiny_part(10, recipe=recipe)
    request.getfixturevalue("gpu")
    network, average = network.to(CUDA), average.to(CUDA)
    logits: list[Tensor] = []
    network.register_forward_hook(lambda _, __, output: logits.append(output))
    monkeypatch.setattr(Tensor, "backward", lambda loss: give_gradients(network, loss))
    # No number comes back from a fake tensor.
    monkeypatch.setattr(module, "_require_finite", lambda *_, **__: None)
    monkeypatch.setattr(module.distributed, "total", lambda losses: np.zeros(losses.shape))

    training = Training(
        network=network,
        average=average,
        optimizer=build_optimizer(network, recipe),
        scaler=build_scaler(CUDA, "bf16"),
        recipe=recipe,
        loss=build_loss(recipe.loss, part.labels),
        device=CUDA,
        precision="bf16",
    )
    train_one_epoch(training, copy_to(part, CUDA), epoch=0, val_losses=[])
    assert [len(batch) for batch in logits] == [4, 3, 3]
    for batch in logits:
        on_gpu(batch)
        # Ranked in full precision, whatever the layers before compute in.
        assert batch.dtype == torch.float32
        assert batch.shape[1] == len(recipe.findings)


def give_gradients(network: nn.Module, loss: Tensor) -> None:
    on_gpu(loss)
    assert (loss.shape, loss.dtype) == ((), torch.float32)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
