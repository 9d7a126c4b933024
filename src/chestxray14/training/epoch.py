"""One epoch of training: a step for each batch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from chestxray14.base.draws import generator
from chestxray14.base.errors import InputError
from chestxray14.base.progress import track
from chestxray14.model.batches import Part, batch_sizes, shuffled_batches
from chestxray14.model.device import memory_for
from chestxray14.model.predicting import autocast, channels_last
from chestxray14.model.recipe import SGD, Recipe
from chestxray14.model.views import augment, normalize
from chestxray14.training import distributed
from chestxray14.training.losses import Loss
from chestxray14.training.schedules import learning_rate

CHECK_EVERY = {"cuda": 50}
"""Steps between two looks at the loss where each look waits for the device, else 1."""


@dataclass(frozen=True)
class Training:
    """What stays the same from the first step of a training to its last.

    `average` is the network whose weights are averaged over the steps: it is validated and kept.
    Where none are averaged it is `network` itself. `unknown` says that some labels are.
    """

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    loss: Loss
    device: torch.device
    precision: str
    unknown: bool = False


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
    training: Training, part: Part, *, epoch: int, val_losses: Sequence[float]
) -> float:
    """Train on every image of `part` once and return the mean loss.

    With the recipe's `ema`, the average follows the network step by step. Every draw depends on
    (recipe.seed, epoch, step) alone. Of several processes each takes its share of a batch; the
    network then averages gradients over them. Raises `InputError` naming epoch, step and
    learning rate when the loss is not finite, or when memory is too small for a batch.
    """
    network, recipe, device = training.network, training.recipe, training.device
    set_train_mode(network)
    sizes = batch_sizes(part, batch=recipe.batch)
    steps = len(sizes)
    rate = partial(learning_rate, recipe, epoch=epoch, steps=steps, val_losses=val_losses)
    check_every = CHECK_EVERY.get(device.type, 1)
    losses = torch.zeros(steps, device=device)
    averaged = pair_floats(training.average, network)
    batches = shuffled_batches(
        part,
        batch=recipe.batch,
        seed=recipe.seed,
        epoch=epoch,
        device=device,
        share=distributed.own_share,
    )
    for step, (images, labels) in enumerate(
        track(batches, what=f"epoch {epoch + 1}", unit="batches", total=steps)
    ):
        for group in training.optimizer.param_groups:
            group["lr"] = rate(step=step)
        with memory_for(len(images)):
            rng = generator("augmentation", recipe.seed, epoch, step)
            losses[step] = _descend(training, images, labels, rng=rng, whole=sizes[step])
            training.optimizer.step()
        training.optimizer.zero_grad(set_to_none=True)
        if recipe.ema is not None:
            follow(*averaged, decay=recipe.ema, step=epoch * steps + step)
        if (step + 1) % check_every == 0 or step + 1 == steps:
            _require_finite(distributed.total(losses), epoch=epoch, rate=rate)
    means = distributed.total(losses).tolist()
    return math.fsum(mean * size for mean, size in zip(means, sizes, strict=True)) / len(part)


def _descend(
    training: Training, images: Tensor, labels: Tensor, *, rng: np.random.Generator, whole: int
) -> Tensor:
    """Add the gradient of the images' mean loss, and return that loss.

    Of a batch of `whole` images these may be one process's share: the loss is then what they
    add to the mean over the batch.
    """
    if images.is_floating_point():
        inputs = channels_last(images)
    else:
        share = distributed.own_share(whole)
        inputs = normalize(augment(images, training.recipe, rng, whole=whole, share=share))
    with autocast(training.device, training.precision):
        logits = training.network(inputs)
    weight: float | Tensor = len(images) / whole
    if training.unknown and distributed.count() > 1:
        known = (~labels.isnan()).sum().float()
        weight = known / distributed.total(known).clamp(min=1)
    value = weight * training.loss(logits.float(), labels)
    # DistributedDataParallel takes the mean of the processes' gradients; here their sum is wanted.
    (value * distributed.count()).backward()  # type: ignore[no-untyped-call]
    return value.detach()


def _require_finite(losses: Tensor, *, epoch: int, rate: Callable[..., float]) -> None:
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        step = int(bad[0])
        raise InputError(
            f"the loss is {losses[step].item()} in epoch {epoch + 1}, step {step + 1}, at learning "
            f"rate {rate(step=step):g}; try a lower optimizer.lr"
        )


def set_train_mode(network: nn.Module) -> None:
    """Put a network in training mode, its frozen batch normalisation excepted.

    A frozen layer keeps its running statistics and normalises with them.
    """
    network.train()
    for module in network.modules():
        if isinstance(module, _BatchNorm) and not module.weight.requires_grad:
            module.eval()


def pair_floats(average: nn.Module, network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights and running statistics of both, in one order.

    They share the networks' memory, and so hold what later steps make of them.
    """
    pairs = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    return [kept for kept, _ in floats], [new for _, new in floats]


@torch.no_grad()
def follow(average: list[Tensor], current: list[Tensor], *, decay: float, step: int) -> None:
    """Move averaged weights and statistics towards the current ones, steps counted from 0.

    An exponential moving average whose decay rises as (1 + step) / (10 + step) up to `decay`, so
    that a short training is not held at its random start.
    """
    update = get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))  # type: ignore[no-untyped-call]
    update(average, current, 0)
