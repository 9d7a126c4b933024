"""The two loops: train one epoch, predict."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from chestxray14.augmentation import augment, normalize
from chestxray14.batches import Part, count_steps, ordered_batches, shuffled_batches
from chestxray14.errors import InputError
from chestxray14.params import Recipe
from chestxray14.progress import track
from chestxray14.reproducibility import generator


def build_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over all of the network."""
    return torch.optim.Adam(
        network.parameters(),
        lr=recipe.optimizer.lr,
        weight_decay=recipe.optimizer.weight_decay,
        fused=True,
    )


def train_one_epoch(
    network: nn.Module,
    part: Part,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    *,
    epoch: int,
    learning_rate: float,
    device: torch.device,
    precision: str,
) -> float:
    """Train on every image of `part` once and return the mean loss.

    Every draw depends on (recipe.seed, epoch, step) alone. Raises `InputError` naming epoch,
    step and learning rate when the loss is not finite.
    """
    network.train()
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    total = torch.zeros((), dtype=torch.float64)
    batches = shuffled_batches(
        part, batch=recipe.batch, seed=recipe.seed, epoch=epoch, device=device
    )
    steps = count_steps(part, batch=recipe.batch)
    for step, (images, labels) in enumerate(
        track(batches, what=f"epoch {epoch + 1}", unit="batches", total=steps)
    ):
        rng = generator(recipe.seed, epoch, step)
        inputs = normalize(augment(images, recipe.augmentation, rng), px=recipe.input_px)
        with _autocast(device, precision):
            logits = network(inputs)
        loss = F.binary_cross_entropy_with_logits(logits.float(), labels)
        if not torch.isfinite(loss):
            raise InputError(
                f"the loss is {loss.item()} in epoch {epoch + 1}, step {step + 1}, at learning "
                f"rate {learning_rate:g}; the last whole epoch is kept, try a lower optimizer.lr"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        total += loss.item() * len(labels)
    return float(total) / len(part)


@torch.inference_mode()
def predict(
    network: nn.Module,
    part: Part,
    *,
    px: int,
    batch: int,
    device: torch.device,
    precision: str,
    what: str,
) -> NDArray[np.float32]:
    """Return the logits of every image of `part`, (n, 14), in the part's order."""
    network.eval()
    logits: list[Tensor] = []
    batches: Iterator[tuple[Tensor, Tensor]] = ordered_batches(part, batch=batch, device=device)
    for images, _ in track(
        batches, what=what, unit="batches", total=count_steps(part, batch=batch)
    ):
        with _autocast(device, precision):
            logits.append(network(normalize(images, px=px)).float().cpu())
    return torch.cat(logits).numpy()


def mean_loss(logits: NDArray[np.float32], labels: Tensor) -> float:
    """Return the mean binary cross-entropy of logits (n, 14) against labels (n, 14)."""
    return float(
        F.binary_cross_entropy_with_logits(torch.from_numpy(logits).double(), labels.double())
    )


def _autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
