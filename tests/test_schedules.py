import pytest
import torch
from conftest import ROOT

from chestxray14.params import StepSchedule, load_params
from chestxray14.schedules import learning_rate


@pytest.mark.parametrize(("every", "factor"), [(2, 0.1), (1, 0.5), (30, 0.1)])
def test_step_equals_torchs_step_lr(every: int, factor: float) -> None:
    recipe = load_params(ROOT / "params.yaml").recipes["densenet121_step"]
    schedule = StepSchedule(name="step", every=every, factor=factor)
    recipe = recipe.model_copy(update={"schedule": schedule})
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=recipe.optimizer.lr)
    reference = torch.optim.lr_scheduler.StepLR(optimizer, step_size=every, gamma=factor)
    for epoch in range(12):
        assert learning_rate(recipe, epoch=epoch) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()
