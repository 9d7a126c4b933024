"""The two loops: train one epoch, predict."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from chestxray14.augmentation import augment, normalize
from chestxray14.batches import Part, count_steps, ordered_batches, shuffled_batches
from chestxray14.errors import InputError
from chestxray14.losses import Loss
from chestxray14.progress import track
from chestxray14.recipes import SGD, Recipe
from chestxray14.reproducibility import generator
from chestxray14.schedules import learning_rate


def build_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over what is trainable; over nothing, one that does nothing."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    parameters = parameters or [nn.Parameter(torch.zeros(0))]
    chosen = recipe.optimizer
    if isinstance(chosen, SGD):
        return torch.optim.SGD(
            parameters,
            lr=chosen.lr,
            momentum=chosen.momentum,
            weight_decay=chosen.weight_decay,
            fused=True,
        )
    build = torch.optim.Adam if chosen.name == "adam" else torch.optim.AdamW
    return build(parameters, lr=chosen.lr, weight_decay=chosen.weight_decay, fused=True)


def train_one_epoch(
    network: nn.Module,
    part: Part,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    *,
    average: nn.Module,
    loss: Loss,
    epoch: int,
    val_losses: Sequence[float],
    device: torch.device,
    precision: str,
) -> float:
    """Train on every image of `part` once and return the mean loss.

    With `recipe.ema`, `average` follows the weights of `network` step by step. Every draw depends
    on (recipe.seed, epoch, step) alone. Raises `InputError` naming epoch, step and learning
    rate when the loss is not finite.
    """
    set_train_mode(network)
    total = 0.0
    batches = shuffled_batches(
        part, batch=recipe.batch, seed=recipe.seed, epoch=epoch, device=device
    )
    steps = count_steps(part, batch=recipe.batch)
    for step, (images, labels) in enumerate(
        track(batches, what=f"epoch {epoch + 1}", unit="batches", total=steps)
    ):
        rate = learning_rate(recipe, epoch=epoch, step=step, steps=steps, val_losses=val_losses)
        for group in optimizer.param_groups:
            group["lr"] = rate
        inputs = normalize(augment(images, recipe, generator(recipe.seed, epoch, step)))
        with _autocast(device, precision), _explain_memory(recipe.batch):
            logits = network(inputs)
        value = loss(logits.float(), labels)
        cost = value.item()
        if not math.isfinite(cost):
            raise InputError(
                f"the loss is {cost} in epoch {epoch + 1}, step {step + 1}, at learning rate "
                f"{rate:g}; try a lower optimizer.lr"
            )
        with _explain_memory(recipe.batch):
            value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if recipe.ema is not None:
            follow(average, network, decay=recipe.ema, step=epoch * steps + step)
        total += cost * len(labels)
    return total / len(part)


def set_train_mode(network: nn.Module) -> None:
    """Put a network in training mode, its frozen batch normalisation excepted.

    A frozen layer keeps its running statistics and normalises with them.
    """
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and not module.weight.requires_grad:
            module.eval()


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, *, decay: float, step: int) -> None:
    """Move averaged weights and statistics towards those of `network`, steps counted from 0.

    An exponential moving average whose decay rises as (1 + step) / (10 + step) up to `decay`, so
    that a short training is not held at its random start.
    """
    pairs = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    update = get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))  # type: ignore[no-untyped-call]
    update([kept for kept, _ in floats], [new for _, new in floats], 0)


@torch.inference_mode()
def predict(
    network: nn.Module,
    part: Part,
    view: Callable[[Tensor], tuple[Tensor, ...]],
    *,
    batch: int,
    device: torch.device,
    precision: str,
    what: str,
) -> NDArray[np.float32]:
    """Return the logits of every image of `part`, in its order, (n, views, findings).

    `view` turns packed images (B, P, P) into what is to be predicted, each (B, 1, px, px).
    """
    network.eval()
    logits: list[Tensor] = []
    batches: Iterator[tuple[Tensor, Tensor]] = ordered_batches(part, batch=batch, device=device)
    for images, _ in track(
        batches, what=what, unit="batches", total=count_steps(part, batch=batch)
    ):
        with _autocast(device, precision), _explain_memory(batch):
            seen = [network(normalize(grey)).float() for grey in view(images)]
        logits.append(torch.stack(seen, dim=1).cpu())
    return torch.cat(logits).numpy()


@contextmanager
def _explain_memory(batch: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise InputError(
            f"the device's memory is too small for {batch} images at once; lower the recipe's "
            "batch or input_px"
        ) from None


def _autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
