import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_recipe
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from chestxray14.training.schedules import learning_rate


def sgd(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1)], lr=lr)


def follow(scheduler: LRScheduler, optimizer: torch.optim.Optimizer) -> float:
    """Return the present rate and go one step on."""
    rate = float(optimizer.param_groups[0]["lr"])
    optimizer.step()
    scheduler.step()
    return rate


@pytest.mark.parametrize(("every", "factor"), [(2, 0.1), (1, 0.5), (30, 0.1)])
def test_step_equals_torchs_step_lr(every: int, factor: float) -> None:
    recipe = tiny_recipe(schedule={"name": "step", "every": every, "factor": factor})
    optimizer = sgd(recipe.optimizer.lr)
    reference = StepLR(optimizer, step_size=every, gamma=factor)
    for epoch in range(12):
        expected = follow(reference, optimizer)
        for step in range(3):
            ours = learning_rate(recipe, epoch=epoch, step=step, steps=3, val_losses=[])
            assert ours == pytest.approx(expected)


@given(
    losses=st.lists(st.sampled_from([0.3, 0.5, 0.50001, 0.6, 0.7, 0.9]), max_size=20),
    patience=st.integers(0, 4),
)
def test_plateau_equals_torchs_reduce_on_plateau(losses: list[float], patience: int) -> None:
    recipe = tiny_recipe(schedule={"name": "plateau", "factor": 0.5, "patience": patience})
    optimizer = sgd(recipe.optimizer.lr)
    reference = ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=patience, eps=0)
    for epoch in range(len(losses) + 1):
        ours = learning_rate(recipe, epoch=epoch, step=0, steps=3, val_losses=losses[:epoch])
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"])
        if epoch < len(losses):
            reference.step(losses[epoch])


@pytest.mark.parametrize(("warmup", "steps", "epochs"), [(0.1, 10, 4), (0.25, 3, 8), (0.0, 5, 3)])
def test_cosine_equals_torchs_linear_then_cosine(warmup: float, steps: int, epochs: int) -> None:
    recipe = tiny_recipe(schedule={"name": "cosine", "warmup": warmup}, epochs=epochs)
    optimizer = sgd(recipe.optimizer.lr)
    total, rising = steps * epochs, round(warmup * steps * epochs)
    reference: LRScheduler = CosineAnnealingLR(optimizer, T_max=total - rising)
    if rising:
        optimizer = sgd(recipe.optimizer.lr)
        warm = LinearLR(optimizer, start_factor=1 / rising, total_iters=rising - 1)
        cosine = CosineAnnealingLR(optimizer, T_max=total - rising)
        reference = SequentialLR(optimizer, [warm, cosine], milestones=[rising])
    for epoch in range(epochs):
        for step in range(steps):
            ours = learning_rate(recipe, epoch=epoch, step=step, steps=steps, val_losses=[])
            assert ours == pytest.approx(follow(reference, optimizer), rel=1e-6, abs=1e-12)


def test_constant_never_changes() -> None:
    recipe = tiny_recipe(schedule={"name": "constant"})
    rates = {
        learning_rate(recipe, epoch=epoch, step=1, steps=3, val_losses=[1.0] * epoch)
        for epoch in range(9)
    }
    assert rates == {recipe.optimizer.lr}
