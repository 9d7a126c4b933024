"""One training from its first to its last epoch: select, stop early, go on after a kill."""

import copy
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from scipy.special import expit
from torch import Tensor, nn

from chestxray14 import checkpoint
from chestxray14.augmentation import view_centre
from chestxray14.backbones import build_network
from chestxray14.batches import Part
from chestxray14.engine import build_optimizer, predict, train_one_epoch
from chestxray14.errors import InputError
from chestxray14.losses import Loss, build_loss
from chestxray14.recipes import Recipe
from chestxray14.scores import auroc

log = logging.getLogger("train")


@dataclass(frozen=True)
class Trained:
    """The weights of the best epoch, counted from 0, and what happened in every epoch."""

    weights: dict[str, Tensor]
    best_epoch: int
    history: list[dict[str, float]]


def train(
    recipe: Recipe,
    *,
    train: Part,
    val: Part,
    folder: Path,
    device: torch.device,
    precision: str,
) -> Trained:
    """Train a recipe and return its best epoch, best by what its `selection` names.

    A network of which nothing is trainable is looked at once, as it is. After every epoch the
    whole state is saved to `folder`, from where the same call goes on after a kill. Raises
    `InputError` when a loss is not finite, or nothing in `val` can be ranked for `val_auroc`.
    """
    network = build_network(recipe).to(device)
    # What is validated and kept: the averaged weights, or the weights as they are.
    average = copy.deepcopy(network) if recipe.ema is not None else network
    optimizer = build_optimizer(network, recipe)
    loss = build_loss(recipe.loss, train.labels.to(device))
    progress, best = checkpoint.load(folder, network=network, average=average, optimizer=optimizer)
    if progress.history:
        log.info("resumed after epoch %d", len(progress.history))
    while not is_finished(recipe, progress):
        epoch = len(progress.history)
        if recipe.trainable == "none":
            train_loss, _ = assess(
                average, train, recipe, loss=loss, device=device, precision=precision
            )
        else:
            train_loss = train_one_epoch(
                network,
                train,
                optimizer,
                recipe,
                average=average,
                loss=loss,
                epoch=epoch,
                val_losses=[row["val_loss"] for row in progress.history],
                device=device,
                precision=precision,
            )
        rate = optimizer.param_groups[0]["lr"]
        val_loss, val_auroc = assess(
            average, val, recipe, loss=loss, device=device, precision=precision
        )
        if not math.isfinite(val_loss):
            raise InputError(
                f"the validation loss is {val_loss} after epoch {epoch + 1} at learning rate "
                f"{rate:g}; try a lower optimizer.lr"
            )
        score = val_loss if recipe.selection == "val_loss" else -val_auroc
        if math.isnan(score):
            raise InputError(
                "selection is val_auroc, but no finding is both present and absent in the "
                "validation part; use val_loss"
            )
        progress.history.append(
            {"train_loss": train_loss, "val_loss": val_loss, "val_auroc": val_auroc, "lr": rate}
        )
        log.info(
            "epoch %d of %d: loss %.4f, validation loss %.4f, AUROC %.4f, rate %g",
            *(epoch + 1, max(1, recipe.epochs), train_loss, val_loss, val_auroc, rate),
        )
        if score < progress.best_score:
            progress.best_epoch, progress.best_score = epoch, score
            best = {
                name: value.detach().cpu().clone() for name, value in average.state_dict().items()
            }
        checkpoint.save(
            folder, progress, network=network, average=average, optimizer=optimizer, best=best
        )
    return Trained(weights=best, best_epoch=progress.best_epoch, history=progress.history)


def is_finished(recipe: Recipe, progress: checkpoint.Progress) -> bool:
    """Say whether all epochs are done, or too many since the best one."""
    done = len(progress.history)
    if done >= max(1, recipe.epochs):
        return True
    waited = done - 1 - progress.best_epoch
    return recipe.early_stopping is not None and done > 0 and waited >= recipe.early_stopping


def assess(
    network: nn.Module,
    part: Part,
    recipe: Recipe,
    *,
    loss: Loss,
    device: torch.device,
    precision: str,
) -> tuple[float, float]:
    """Return the mean loss and macro AUROC of a part seen plainly, by its centre.

    The AUROC is NaN where no finding is both present and absent.
    """
    logits = predict(
        network,
        part,
        lambda images: (view_centre(images, recipe),),
        batch=recipe.batch,
        device=device,
        precision=precision,
        what="assess",
    )[:, 0]
    mean = loss(torch.from_numpy(logits).double(), part.labels.double())
    scores = auroc(part.labels, expit(logits), findings=recipe.findings)
    return float(mean), scores.get("macro", math.nan)
