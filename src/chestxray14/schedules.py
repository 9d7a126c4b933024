"""The learning rate, epoch by epoch, as a plain function."""

from chestxray14.params import Recipe


def learning_rate(recipe: Recipe, *, epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 0.

    `step`: the first rate times `factor` for every `every` epochs done, as
    torch.optim.lr_scheduler.StepLR.
    """
    schedule = recipe.schedule
    return recipe.optimizer.lr * schedule.factor ** (epoch // schedule.every)
