"""One training from its first to its last epoch: select, stop early, go on after a kill."""

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from chestxray14.base.errors import InputError
from chestxray14.base.progress import follow
from chestxray14.base.scores import auroc
from chestxray14.model.backbones import build_network
from chestxray14.model.batches import Part, batch_sizes, keep_on_device, take_images
from chestxray14.model.predicting import compile_on_gpu, predict
from chestxray14.model.recipe import Recipe
from chestxray14.model.views import view_centre
from chestxray14.training import checkpoint, distributed
from chestxray14.training.epoch import Training, build_optimizer, build_scaler, train_one_epoch
from chestxray14.training.features import skip_frozen
from chestxray14.training.losses import build_loss

SAVING = 0.05
"""The share of its time that a training may spend on saving its state: where an epoch takes seconds,
not every one is worth it."""

log = logging.getLogger("train")

History = list[dict[str, float]]
"""What happened in every epoch."""


@dataclass(frozen=True)
class Trained:
    """The weights of the best epoch, counted from 0, and what happened in every epoch.

    `skipped_steps` of all epochs are those whose gradient fp16 could not hold.
    """

    weights: dict[str, Tensor]
    best_epoch: int
    history: History
    skipped_steps: int


def train(
    recipe: Recipe,
    *,
    train: Part,
    val: Part,
    folder: Path,
    device: torch.device,
    precision: str,
    sync_batch_norm: bool = False,
    images_at_once: int | None = None,
    tell: Callable[[History], object] = lambda history: None,
) -> Trained:
    """Train a recipe and return its best epoch, best by what its `selection` names.

    A network of which nothing is trainable is looked at once, as it is. After an epoch, if it is not
    the last and `SAVING` allows it, the whole state is saved to `folder`, from where the same call
    goes on after a kill; of several processes the first one reads and writes there. With `sync_batch_norm` they normalise over
    the whole batch, on GPUs, else each over its share; where a batch is cut into pieces of
    `images_at_once`, over a piece. The first process calls `tell` after every epoch, and where it
    goes on. Raises `InputError` when a loss is not finite, or the parts lack what learning or
    selection needs.
    """
    _check_findings(train, val, recipe)
    whole = build_network(recipe).to(device)
    _check_shares(train, val, recipe, whole)
    if sync_batch_norm and distributed.count() > 1:
        whole = nn.SyncBatchNorm.convert_sync_batchnorm(whole)  # type: ignore[no-untyped-call]
    distributed.copy_first(whole)
    # From here on a frozen front is out of sight: its features are the images.
    at_once = min(recipe.batch, images_at_once or recipe.batch)
    network, (train, val) = skip_frozen(
        whole, (train, val), recipe, device=device, precision=precision, batch=at_once
    )
    train, val = keep_on_device(train, device), keep_on_device(val, device)
    # What is validated and kept: the averaged weights, or the weights as they are.
    average = copy.deepcopy(network) if recipe.ema is not None else network
    optimizer, scaler = build_optimizer(network, recipe), build_scaler(device, precision)
    state = checkpoint.State(network, average, optimizer, scaler)
    progress, best = _load(folder, state)
    if progress.history:
        log.info("resumed after epoch %d", len(progress.history))
        if distributed.is_first():
            tell(progress.history)
    compile_on_gpu({network, average}, device)
    unknown = any(bool(part.labels.isnan().any()) for part in (train, val))
    training = Training(
        network=distributed.share_gradients(network),
        average=average,
        optimizer=optimizer,
        scaler=scaler,
        recipe=recipe,
        loss=build_loss(recipe.loss, train.labels.to(device), unknown=unknown),
        device=device,
        precision=precision,
        images_at_once=images_at_once,
        unknown=unknown,
    )
    epochs, done = max(1, recipe.epochs), len(progress.history)
    began = time.monotonic()
    save_from = began
    with follow(what="training", unit="epochs", total=epochs, start=done) as advance:
        for epoch in range(done, epochs):
            if is_finished(recipe, progress):
                break
            started = time.monotonic()
            if recipe.trainable == "none":
                (train_loss, _), skipped = assess(training, train), 0
            else:
                val_losses = [row["val_loss"] for row in progress.history]
                train_loss, skipped = train_one_epoch(
                    training, train, epoch=epoch, val_losses=val_losses
                )
            speed = len(train) / (time.monotonic() - started)
            rate = optimizer.param_groups[0]["lr"]
            # Each process has its own running statistics by now.
            distributed.copy_first(network)
            distributed.copy_first(average)
            val_loss, val_auroc = assess(training, val)
            if not math.isfinite(val_loss):
                raise InputError(
                    f"the validation loss is {val_loss} after epoch {epoch + 1} at learning rate "
                    f"{rate:g}; try a lower optimizer.lr"
                )
            score = val_loss if recipe.selection == "val_loss" else -val_auroc
            row = {"train_loss": train_loss, "val_loss": val_loss, "val_auroc": val_auroc}
            progress.history.append(row | {"lr": rate})
            progress.skipped_steps += skipped
            if score < progress.best_score:
                progress.best_epoch, progress.best_score = epoch, score
                best = _copy_state(average)
            if distributed.is_first():
                # After the last one the caller writes the network itself.
                if (now := time.monotonic()) >= save_from and not is_finished(recipe, progress):
                    checkpoint.save(folder, progress, state, best=best)
                    save_from = time.monotonic() + (time.monotonic() - now) / SAVING
                tell(progress.history)
            left = (epochs - epoch - 1) * (time.monotonic() - began) / (epoch + 1 - done)
            log.info(
                "epoch %d of %d: loss %.4f, validation loss %.4f, AUROC %.4f, rate %g, "
                "%s images a second, %s left%s",
                *(epoch + 1, epochs, train_loss, val_loss, val_auroc, rate),
                *(f"{speed:,.1f}", timedelta(seconds=round(left))),
                f", {progress.skipped_steps} steps skipped" if progress.skipped_steps else "",
            )
            advance()
    return Trained(
        weights=_copy_state(whole) | best,
        best_epoch=progress.best_epoch,
        history=progress.history,
        skipped_steps=progress.skipped_steps,
    )


def is_finished(recipe: Recipe, progress: checkpoint.Progress) -> bool:
    """Say whether all epochs are done, or too many since the best one."""
    done = len(progress.history)
    if done >= max(1, recipe.epochs):
        return True
    waited = done - 1 - progress.best_epoch
    return recipe.early_stopping is not None and done > 0 and waited >= recipe.early_stopping


def assess(training: Training, part: Part) -> tuple[float, float]:
    """Return the average's mean loss and macro AUROC on a part seen plainly, by its centre.

    The AUROC is NaN where no finding is both present and absent.
    """
    recipe = training.recipe
    share = np.arange(len(part))[distributed.own_share(len(part))]
    logits = predict(
        training.average,
        take_images(part, share) if distributed.count() > 1 else part,
        lambda images: (view_centre(images, recipe),),
        batch=min(recipe.batch, training.images_at_once or recipe.batch),
        device=training.device,
        precision=training.precision,
        what="assess",
    )[:, 0]
    logits, labels = distributed.join_rows(logits), part.labels.cpu()
    mean = training.loss(torch.from_numpy(logits).double(), labels.double())
    # What has diverged has no ranks.
    finite = math.isfinite(mean)
    scores = auroc(labels, expit(logits), findings=recipe.findings) if finite else {}
    # Processes on machines of another kind may differ in the last bits, and must decide alike.
    return distributed.heed_first((float(mean), scores.get("macro", math.nan)))


def _copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _load(folder: Path, state: checkpoint.State) -> tuple[checkpoint.Progress, dict[str, Tensor]]:
    """Bring all to the saved state; return the progress and the best weights.

    The first process reads; the others get what it has, be the folder on their machine or not.
    """
    progress, best = checkpoint.Progress(), dict[str, Tensor]()
    if distributed.is_first():
        progress, best = checkpoint.load(folder, state)
    if distributed.count() > 1:
        optimizer = state.optimizer
        moments = {
            index: {name: value.cpu() for name, value in values.items()}
            for index, values in optimizer.state_dict()["state"].items()
        }
        progress, best, moments, scale = distributed.heed_first(
            (progress, best, moments, state.scaler.state_dict())
        )
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
        state.scaler.load_state_dict(scale)
        distributed.copy_first(state.network)
        distributed.copy_first(state.average)
    return progress, best


def _check_shares(train: Part, val: Part, recipe: Recipe, network: nn.Module) -> None:
    """Raise `InputError` where a process would get too few images of a batch."""
    sizes = batch_sizes(train, batch=recipe.batch)
    # Batch normalisation that is trained needs two.
    least = 1 + any(
        isinstance(module, _BatchNorm) and module.weight.requires_grad
        for module in network.modules()
    )
    most = min(min(sizes) // least, len(val))
    if distributed.count() > max(1, most):
        raise InputError(
            f"{distributed.count()} processes are too many: batches of {min(sizes)} training images "
            f"and {len(val)} validation images are enough for {most}; lower compute.processes"
        )


def _check_findings(train: Part, val: Part, recipe: Recipe) -> None:
    """Name the findings of which a part has one class alone, before anything is trained.

    Raises `InputError` where that leaves nothing to learn, or nothing to select an epoch by.
    """
    told = {
        "training": (train, "nothing to learn there"),
        "validation": (val, "no AUROC there"),
    }
    lacking = {}
    for name, (part, consequence) in told.items():
        counts = [(part.labels == value).sum(dim=0).tolist() for value in (1, 0)]
        for lack, missing in zip(("with", "without"), counts, strict=True):
            found = [f for f, n in zip(recipe.findings, missing, strict=True) if not n]
            if found:
                log.warning(
                    "the %s part has no image %s %s: %s",
                    *(name, lack, " or ".join(found), consequence),
                )
        lacking[name] = not any(map(min, *counts))
    if lacking["training"] and recipe.trainable != "none":
        raise InputError(
            "no finding is both present and absent in the training part: there is nothing to learn"
        )
    if lacking["validation"] and recipe.selection == "val_auroc":
        raise InputError(
            "selection is val_auroc, but no finding is both present and absent in the "
            "validation part; use val_loss"
        )
