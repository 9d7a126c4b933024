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

SMALLEST_SCALE = 2.0**-24
"""The smallest number of fp16. A gradient that is still not finite at this scale never will be."""


@dataclass(frozen=True)
class Training:
    """What stays the same from the first step of a training to its last.

    `average` is the network whose weights are averaged over the steps: it is validated and kept.
    Where none are averaged it is `network` itself. `scaler` does something in fp16 alone. A batch
    is computed in pieces of `images_at_once`, in one where that is None.
    """

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    recipe: Recipe
    loss: Loss
    device: torch.device
    precision: str
    images_at_once: int | None = None


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


def build_scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """Return what scales the loss so that fp16 can hold its gradient; elsewhere it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def train_one_epoch(
    training: Training, part: Part, *, epoch: int, val_losses: Sequence[float]
) -> tuple[float, int]:
    """Train on every image of `part` once; return the mean loss and the steps that were skipped.

    With the recipe's `ema`, the average follows the network step by step. Every draw depends on
    (recipe.seed, epoch, step) alone. Of several processes each takes its share of a batch; the
    network then averages gradients over them. In fp16 a step whose gradient is not finite is
    skipped and leaves nothing behind. Raises `InputError` naming epoch, step and learning rate when
    a loss is not finite, in fp16 when none is, or when memory is too small for a batch.
    """
    network, recipe, device = training.network, training.recipe, training.device
    set_train_mode(network)
    sizes = batch_sizes(part, batch=recipe.batch)
    steps = len(sizes)
    rate = partial(learning_rate, recipe, epoch=epoch, steps=steps, val_losses=val_losses)
    check_every = CHECK_EVERY.get(device.type, 1)
    losses = torch.zeros(steps, device=device)
    averaged = pair_floats(training.average, network)
    skips = training.scaler.is_enabled()
    statistics = [each for each in network.buffers() if skips and each.is_floating_point()]
    skipped = 0
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
        before = [each.clone() for each in statistics]
        pieces = count_pieces(sizes[step], at_once=training.images_at_once)
        with memory_for(-(-len(images) // pieces)):
            rng = generator("augmentation", recipe.seed, epoch, step)
            losses[step] = _descend(
                training, images, labels, rng=rng, whole=sizes[step], pieces=pieces
            )
            stepped = _step(training)
        training.optimizer.zero_grad(set_to_none=True)
        if not stepped:
            skipped += 1
            for each, kept in zip(statistics, before, strict=True):
                each.copy_(kept)
            _require_scale(training.scaler, epoch=epoch, step=step, rate=rate)
        if recipe.ema is not None:
            follow(*averaged, decay=recipe.ema, step=epoch * steps + step)
        if (step + 1) % check_every == 0 or step + 1 == steps:
            _require_finite(
                distributed.total(losses), epoch=epoch, rate=rate, most=steps - 1 if skips else 0
            )
    means = zip(distributed.total(losses).tolist(), sizes, strict=True)
    finite = [(mean, size) for mean, size in means if math.isfinite(mean)]
    images_seen = sum(size for _, size in finite)
    return math.fsum(mean * size for mean, size in finite) / images_seen, skipped


def count_pieces(images: int, *, at_once: int | None) -> int:
    """Return in how many pieces each process takes its share of a batch, the same for all.

    Never so many that a piece is a single image, which batch normalisation cannot take.
    """
    if at_once is None:
        return 1
    least, most = images // distributed.count(), -(-images // distributed.count())
    return max(1, min(-(-most // at_once), least // 2))


def _descend(
    training: Training,
    images: Tensor,
    labels: Tensor,
    *,
    rng: np.random.Generator,
    whole: int,
    pieces: int,
) -> Tensor:
    """Add the gradient of the images' mean loss, piece by piece, and return that loss.

    Of a batch of `whole` images these may be one process's share: the loss is then what they
    add to the mean over the batch.
    """
    if images.is_floating_point():
        inputs = channels_last(images)
    else:
        share = distributed.own_share(whole)
        inputs = normalize(augment(images, training.recipe, rng, whole=whole, share=share))
    total = torch.zeros((), device=training.device)
    parts = zip(inputs.tensor_split(pieces), labels.tensor_split(pieces), strict=True)
    for piece, (seen, wanted) in enumerate(parts, start=1):
        with distributed.leave_to_last(training.network, last=piece == pieces):
            with autocast(training.device, training.precision):
                logits = training.network(seen)
            value = len(seen) / whole * training.loss(logits.float(), wanted)
            # DistributedDataParallel takes the mean of the processes' gradients; wanted is the sum.
            training.scaler.scale(value * distributed.count()).backward()  # type: ignore[no-untyped-call]
        total += value.detach()
    return total


def _step(training: Training) -> bool:
    """Take a step and return True, or return False where fp16 could not hold the gradient."""
    scaler = training.scaler
    before = scaler.get_scale()
    scaler.step(training.optimizer)
    scaler.update()
    return scaler.get_scale() >= before


def _require_scale(
    scaler: torch.amp.GradScaler, *, epoch: int, step: int, rate: Callable[..., float]
) -> None:
    if scaler.get_scale() < SMALLEST_SCALE:
        raise InputError(
            f"the gradient stays infinite in fp16, in epoch {epoch + 1} up to step {step + 1}, at "
            f"learning rate {rate(step=step):g}; try a lower optimizer.lr or compute.precision fp32"
        )


def _require_finite(losses: Tensor, *, epoch: int, rate: Callable[..., float], most: int) -> None:
    """Raise `InputError` where more than `most` losses are not finite."""
    bad = (~losses.isfinite()).nonzero()
    if len(bad) > most:
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
