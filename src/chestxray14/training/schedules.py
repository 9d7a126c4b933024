"""The learning rate at any step, as a plain function of what has happened so far."""

import math
from collections.abc import Sequence

from chestxray14.model.recipe import CosineSchedule, PlateauSchedule, Recipe, StepSchedule


def learning_rate(
    recipe: Recipe, *, epoch: int, step: int, steps: int, val_losses: Sequence[float]
) -> float:
    """Return the rate of a step, epochs and steps counted from 0, `steps` to an epoch.

    `val_losses` are those of the epochs before. The schedules equal torch's StepLR,
    ReduceLROnPlateau (mode min, relative threshold 1e-4, no cool-down, eps 0), and LinearLR
    followed by CosineAnnealingLR, stepped every batch, with a first rate of lr / warm-up steps.
    """
    rate, schedule = recipe.optimizer.lr, recipe.schedule
    if isinstance(schedule, StepSchedule):
        return rate * schedule.factor ** (epoch // schedule.every)
    if isinstance(schedule, PlateauSchedule):
        return rate * schedule.factor ** _count_plateaus(val_losses, patience=schedule.patience)
    if isinstance(schedule, CosineSchedule):
        total = steps * recipe.epochs
        warmup = round(schedule.warmup * total)
        done = steps * epoch + step
        if done < warmup:
            return rate * (done + 1) / warmup
        return rate * (1 + math.cos(math.pi * (done - warmup) / (total - warmup))) / 2
    return rate


def _count_plateaus(losses: Sequence[float], *, patience: int) -> int:
    """Return how often the loss did not fall for more than `patience` epochs in a row."""
    plateaus = waited = 0
    best = math.inf
    for loss in losses:
        if loss < best * (1 - 1e-4):
            best, waited = loss, 0
        else:
            waited += 1
        if waited > patience:
            plateaus, waited = plateaus + 1, 0
    return plateaus
