import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import CPU, plain, snapshot, tiny_network, tiny_part, tiny_recipe
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from chestxray14.base.draws import generator
from chestxray14.base.errors import InputError
from chestxray14.model.backbones import build_network
from chestxray14.model.batches import Part
from chestxray14.model.recipe import Recipe
from chestxray14.model.views import reduce
from chestxray14.training import distributed
from chestxray14.training.epoch import (
    CHECK_EVERY,
    Training,
    build_optimizer,
    build_scaler,
    count_pieces,
    follow,
    pair_floats,
    set_train_mode,
    train_one_epoch,
)
from chestxray14.training.losses import build_loss


def set_up(network: nn.Module, recipe: Recipe, **changes: Any) -> Training:
    settings = {
        "network": network,
        "average": network,
        "optimizer": build_optimizer(network, recipe),
        "scaler": build_scaler(CPU, changes.get("precision", "fp32")),
        "recipe": recipe,
        "loss": F.binary_cross_entropy_with_logits,
        "device": CPU,
        "precision": "fp32",
    }
    return Training(**settings | changes)


def train(
    network: nn.Module,
    part: Part,
    recipe: Recipe,
    *,
    epochs: int,
    average: nn.Module | None = None,
    val_losses: Sequence[float] = (),
) -> list[float]:
    training = set_up(network, recipe, average=average or network)
    return [
        train_one_epoch(training, part, epoch=epoch, val_losses=val_losses)[0]
        for epoch in range(epochs)
    ]


def weights(network: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(network.parameters()).detach()


OPTIMIZERS = {
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-2, weight_decay=0.1, momentum=0.9),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_two_steps_equal_plain_torch(name: str) -> None:
    settings = {"name": name, "lr": 1e-2, "weight_decay": 0.1}
    settings |= {"momentum": 0.9} if name == "sgd" else {}
    recipe = tiny_recipe(
        batch=10, augmentation=plain(), optimizer=settings, schedule={"name": "constant"}
    )
    part = tiny_part()
    network, reference = tiny_network(), tiny_network()
    losses = train(network, part, recipe, epochs=2)

    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    optimizer = OPTIMIZERS[name](reference.parameters())
    for epoch in range(2):
        order = generator("order", recipe.seed, epoch).permutation(10)
        inputs = (reduce(torch.from_numpy(part.images[order]), px=32) - mean) / std
        expected = F.binary_cross_entropy_with_logits(reference(inputs), part.labels[order])
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()
        assert losses[epoch] == pytest.approx(expected.item(), rel=1e-4)
    # Adam's first step moves each weight by the rate whatever the gradient, so that rounding can
    # flip a vanishing one; all but those agree.
    off = (weights(network) - weights(reference)).abs()
    assert (off < 1e-5).float().mean() > 0.97


def test_the_rate_of_a_step_is_the_schedules() -> None:
    # Three plateaus of a tenth leave a thousandth of the rate, and of plain SGD's movement.
    moved = []
    for losses in ([], [1.0] * 4):
        network = tiny_network()
        before = weights(network)
        recipe = tiny_recipe(
            batch=10,
            optimizer={"name": "sgd", "lr": 1e-1, "momentum": 0.0, "weight_decay": 0.0},
            schedule={"name": "plateau", "factor": 0.1, "patience": 0},
        )
        train(network, tiny_part(), recipe, epochs=1, val_losses=losses)
        moved.append(float((weights(network) - before).norm()))
    assert moved[1] == pytest.approx(moved[0] / 1000, rel=0.05)


def test_training_learns_eight_images_by_heart() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 14))
    recipe = tiny_recipe(augmentation=plain(), schedule={"name": "constant"})
    losses = train(linear, tiny_part(8), recipe, epochs=60)
    assert losses[-1] < 0.3 * losses[0]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    first, again, other = tiny_network(), tiny_network(), tiny_network()
    train(first, tiny_part(), tiny_recipe("best", seed=0, ema=None), epochs=2)
    train(again, tiny_part(), tiny_recipe("best", seed=0, ema=None), epochs=2)
    train(other, tiny_part(), tiny_recipe("best", seed=1, ema=None), epochs=2)
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def test_the_average_of_weights_is_that_of_the_formula() -> None:
    # decay 0.5 is reached at step 8, (1 + 8) / (10 + 8); before, it is (1 + t) / (10 + t).
    network = nn.Linear(1, 1, bias=False)
    average = copy.deepcopy(network)
    expected = 0.0
    average.weight.data.fill_(expected)
    for step in range(12):
        network.weight.data.fill_(float(step + 1))
        follow(*pair_floats(average, network), decay=0.5, step=step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step + 1)
    assert average.weight.item() == pytest.approx(expected, rel=1e-5)


def test_the_average_counts_its_steps_from_the_first_epoch_on() -> None:
    network = tiny_network()
    average = copy.deepcopy(network)
    training = set_up(network, tiny_recipe(ema=0.99), average=average)
    after: list[Tensor] = []
    training.optimizer.register_step_post_hook(lambda *_: after.append(weights(network).clone()))
    expected = weights(average).double()
    for epoch in range(2):
        train_one_epoch(training, tiny_part(), epoch=epoch, val_losses=())
    assert len(after) == 6
    for step, moved in enumerate(after):
        decay = (1 + step) / (10 + step)
        expected = decay * expected + (1 - decay) * moved.double()
    torch.testing.assert_close(weights(average).double(), expected, rtol=1e-5, atol=1e-7)


def test_the_average_follows_running_statistics_and_leaves_the_network_alone() -> None:
    network, alone = tiny_network(), tiny_network()
    average = copy.deepcopy(network)
    train(network, tiny_part(), tiny_recipe(ema=0.9), epochs=1, average=average)
    train(alone, tiny_part(), tiny_recipe(), epochs=1)
    assert torch.equal(weights(network), weights(alone))
    kept, moved = average.state_dict(), network.state_dict()
    for name in ("0.weight", "1.running_mean", "1.running_var"):
        assert not torch.equal(kept[name], moved[name])
        assert not torch.equal(kept[name], snapshot(tiny_network())[name])


def test_a_loss_that_is_not_finite_stops_with_epoch_step_and_rate() -> None:
    network = tiny_network()
    nn.init.constant_(network[-1].bias, float("nan"))
    with pytest.raises(
        InputError, match=r"loss is nan in epoch 1, step 1, at learning rate 0\.001"
    ):
        train(network, tiny_part(), tiny_recipe(), epochs=1)


def train_at(costs: Iterator[float], recipe: Recipe) -> float:
    """Train for an epoch in which the losses of the batches are `costs`."""
    training = set_up(
        tiny_network(), recipe, loss=lambda logits, labels: logits.mean() * 0 + next(costs)
    )
    return train_one_epoch(training, tiny_part(), epoch=0, val_losses=())[0]


@pytest.mark.parametrize("looked_at", ["every step", "the end"])
def test_the_first_loss_that_is_not_finite_is_named_whenever_it_is_looked_at(
    looked_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ten images, batches of 4, 3 and 3: the loss of the second is infinite, the third's is NaN.
    costs = iter([0.7, float("inf"), float("nan")])
    recipe = tiny_recipe(schedule={"name": "cosine", "warmup": 0.0}, epochs=1)
    if looked_at == "the end":
        monkeypatch.setitem(CHECK_EVERY, "cpu", 50)
    with pytest.raises(
        InputError, match=r"loss is inf in epoch 1, step 2, at learning rate 0\.0007"
    ):
        train_at(costs, recipe)
    # Nothing is trained after a look that found one.
    assert len(list(costs)) == (0 if looked_at == "the end" else 1)


def test_the_loss_of_an_epoch_is_the_mean_over_its_images() -> None:
    # Batches of 4, 3 and 3 images whose mean losses are 1, 2 and 3.
    costs = iter([1.0, 2.0, 3.0])
    mean = train_at(costs, tiny_recipe())
    assert mean == pytest.approx((4 * 1 + 3 * 2 + 3 * 3) / 10)


class Spoil(nn.Module):
    """Let images through, and make what goes forward, or the gradient, infinite in some steps."""

    def __init__(self, way: str, steps: Sequence[int]) -> None:
        super().__init__()
        self.way, self.steps, self.step = way, steps, -1

    def forward(self, images: Tensor) -> Tensor:
        self.step += 1
        if self.step in self.steps and self.way == "forward":
            return images * float("inf")
        if self.step in self.steps:
            images.register_hook(lambda gradient: gradient * float("inf"))
        return images


def spoiled(way: str, steps: Sequence[int]) -> nn.Sequential:
    # What is spoiled lies before batch normalisation, whose statistics would keep an infinity.
    front, *rest = tiny_network().children()
    return nn.Sequential(front, Spoil(way, steps), *rest)


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_in_fp16_a_step_that_is_not_finite_is_skipped_and_leaves_nothing_behind(way: str) -> None:
    recipe = tiny_recipe(ema=0.9, augmentation=plain())
    network = spoiled(way, [1])
    training = set_up(network, recipe, average=copy.deepcopy(network), precision="fp16")
    after = []
    step = training.scaler.step

    def note(optimizer: torch.optim.Optimizer) -> float | None:
        stepped = step(optimizer)
        after.append(snapshot(network))
        return stepped

    training.scaler.step = note  # type: ignore[method-assign]
    loss, skipped = train_one_epoch(training, tiny_part(), epoch=0, val_losses=())
    assert skipped == 1
    assert training.scaler.get_scale() == 2.0**15
    assert np.isfinite(loss)
    weight, statistic = "0.weight", "2.running_mean"
    assert torch.equal(after[0][weight], after[1][weight])
    assert not torch.equal(after[1][weight], after[2][weight])
    for state in (network.state_dict(), training.average.state_dict()):
        assert all(tensor.isfinite().all() for tensor in state.values())
        assert not torch.equal(state[statistic], tiny_network().state_dict()["1.running_mean"])


def test_the_loss_of_an_epoch_is_that_of_its_finite_steps() -> None:
    costs = iter([1.0, float("inf"), 3.0])
    training = set_up(
        tiny_network(),
        tiny_recipe(),
        precision="fp16",
        loss=lambda logits, labels: logits.mean() * 0 + next(costs),
    )
    loss, _ = train_one_epoch(training, tiny_part(), epoch=0, val_losses=())
    assert loss == pytest.approx((4 * 1 + 3 * 3) / 7)


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_in_fp16_what_stays_infinite_ends_in_one_line(way: str) -> None:
    recipe = tiny_recipe(schedule={"name": "constant"})
    training = set_up(spoiled(way, range(999)), recipe, precision="fp16")

    def train_on() -> None:
        for epoch in range(30):
            train_one_epoch(training, tiny_part(), epoch=epoch, val_losses=())

    # The loss says so in its first epoch, the gradient after all scales that fp16 has: of three
    # steps an epoch the 41st.
    where = {"forward": "epoch 1, step 1", "backward": "epoch 14 up to step 2"}
    with pytest.raises(InputError, match=rf"(loss|gradient) .*{where[way]}, .* rate 0\.001"):
        train_on()


def test_fp16_learns_what_fp32_learns() -> None:
    moved = {}
    for precision in ("fp32", "fp16"):
        network = tiny_network()
        training = set_up(
            network, tiny_recipe(batch=10, augmentation=plain()), precision=precision
        )
        before = weights(network)
        for epoch in range(3):
            train_one_epoch(training, tiny_part(), epoch=epoch, val_losses=())
        moved[precision] = weights(network) - before
    assert not torch.equal(moved["fp16"], moved["fp32"])
    assert torch.cosine_similarity(moved["fp16"], moved["fp32"], dim=0) > 0.99


def without_batch_norm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 14),
    )  # fmt: skip


@pytest.mark.parametrize("loss", ["bce", "weighted_bce", "focal"])
@pytest.mark.parametrize("at_once", [2, 3, 9])
def test_a_batch_in_pieces_is_learned_from_as_in_one(loss: str, at_once: int) -> None:
    params: dict[str, object] = {"name": loss}
    params |= {"gamma": 2.0, "alpha": 0.25} if loss == "focal" else {}
    sgd = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
    # All that is drawn is drawn for the whole batch: crops, turns, mirrors, tones.
    recipe = tiny_recipe("best", batch=5, loss=params, optimizer=sgd, ema=0.9)
    part = tiny_part(11)
    ended = []
    for images_at_once in (None, at_once):
        network = without_batch_norm()
        sizes: list[int] = []
        network.register_forward_pre_hook(
            lambda _, inputs, sizes=sizes: sizes.append(len(inputs[0]))
        )
        training = set_up(
            network,
            recipe,
            average=copy.deepcopy(network),
            loss=build_loss(recipe.loss, part.labels),
            images_at_once=images_at_once,
        )
        mean, _ = train_one_epoch(training, part, epoch=0, val_losses=())
        ended.append((weights(network), weights(training.average), mean))
        # Three batches, of 4, 4 and 3 images.
        pieces = {None: [4, 4, 3], 2: [2, 2, 2, 2, 3], 3: [2, 2, 2, 2, 3], 9: [4, 4, 3]}
        assert sizes == pieces[images_at_once]
    for one, pieces_ in zip(*ended, strict=True):
        np.testing.assert_allclose(one, pieces_, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "processes", "pieces"), [(64, 1, 4), (65, 1, 5), (3, 1, 1), (65, 2, 3), (33, 16, 1)]
)
def test_every_process_has_as_many_pieces_as_the_largest_share_needs(
    images: int, processes: int, pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "count", lambda: processes)
    assert count_pieces(images, at_once=16) == pieces
    assert count_pieces(images, at_once=None) == 1


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_what_is_learned_from_has_its_channels_last(precision: str) -> None:
    laid_out = []

    class Note(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            laid_out.append(images.is_contiguous(memory_format=torch.channels_last))
            laid_out.append(torch.is_autocast_enabled("cpu") == (precision != "fp32"))
            return images

    network = nn.Sequential(Note(), tiny_network())
    training = set_up(network, tiny_recipe(), precision=precision)
    features = replace(tiny_part(), images=torch.rand(10, 3, 4, 4), rows=np.arange(10))
    for part in (tiny_part(), features):
        train_one_epoch(training, part, epoch=0, val_losses=())
    assert len(laid_out) == 2 * 6
    assert all(laid_out)


class Greedy(torch.autograd.Function):
    """Let images through, and run out of memory forward or backward."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, way: str) -> Tensor:
        if way == "forward":
            raise torch.OutOfMemoryError
        return images.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        raise torch.OutOfMemoryError


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_too_little_memory_for_a_batch_is_told_with_its_size(way: str) -> None:
    class Last(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return Greedy.apply(images, way)  # type: ignore[no-any-return,no-untyped-call]

    network = nn.Sequential(tiny_network(), Last())
    with pytest.raises(InputError, match=r"too small for 4 images at once.*batch"):
        train(network, tiny_part(8), tiny_recipe(batch=4), epochs=1)


def test_batches_of_two_sizes_are_compiled_at_most_twice() -> None:
    counter = CompileCounter()
    network = tiny_network()
    network.compile(backend=counter)
    train(network, tiny_part(11), tiny_recipe(batch=4), epochs=3)
    assert counter.frame_count <= 2
    assert set(network.state_dict()) == set(tiny_network().state_dict())


def test_frozen_statistics_stay_also_where_processes_normalise_together() -> None:
    network = build_network(tiny_recipe("densenet121_last_block"))
    alone = [module.training for module in network.modules()]
    set_train_mode(network)
    expected = [module.training for module in network.modules()]
    together = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    together.train()
    set_train_mode(together)
    assert [module.training for module in together.modules()] == expected != alone
    assert set(together.state_dict()) == set(network.state_dict())
