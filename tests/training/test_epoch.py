import copy
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import CPU, plain, snapshot, tiny_network, tiny_part, tiny_recipe
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from chestxray14.base.errors import InputError
from chestxray14.model.backbones import build_network
from chestxray14.model.batches import Part
from chestxray14.model.predicting import compile_on_gpu, predict
from chestxray14.model.recipe import Recipe
from chestxray14.model.views import view, view_centre
from chestxray14.training.epoch import (
    CHECK_EVERY,
    build_optimizer,
    follow,
    pair_floats,
    set_train_mode,
    train_one_epoch,
)


def train(
    network: nn.Module,
    part: Part,
    recipe: Recipe,
    *,
    epochs: int,
    average: nn.Module | None = None,
    val_losses: Sequence[float] = (),
) -> list[float]:
    optimizer = build_optimizer(network, recipe)
    return [
        train_one_epoch(
            *(network, part, optimizer, recipe),
            average=average or network,
            loss=F.binary_cross_entropy_with_logits,
            epoch=epoch,
            val_losses=val_losses,
            device=CPU,
            precision="fp32",
        )
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
        order = np.random.default_rng((recipe.seed, epoch)).permutation(10)
        inputs = (torch.from_numpy(part.images[order])[:, None].float() / 255 - mean) / std
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


def test_prediction_does_not_depend_on_the_batch_and_changes_nothing() -> None:
    network, part, recipe = tiny_network(), tiny_part(), tiny_recipe()
    before = snapshot(network)
    whole, single = (
        predict(
            *(network, part, lambda images: (view_centre(images, recipe),)),
            batch=batch,
            device=CPU,
            precision="fp32",
            what="test",
        )
        for batch in (10, 1)
    )
    assert whole.shape == (10, 1, 14)
    np.testing.assert_allclose(whole, single, atol=1e-5)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_each_view_has_logits_of_its_own_and_mirror_images_swap() -> None:
    # A network that sees the mean of the left half alone.
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1, bias=False))
    left = torch.zeros(3, 32, 32)
    left[:, :, :16] = 1
    network[1].weight.data = left.reshape(1, -1)
    part, recipe = tiny_part(), tiny_recipe(views="flip")
    seen = predict(
        *(network, part, lambda images: view(images, recipe)),
        batch=4,
        device=CPU,
        precision="fp32",
        what="test",
    )
    mirrored = Part(part.images[:, :, ::-1].copy(), part.rows, part.names, part.labels)
    swapped = predict(
        *(network, mirrored, lambda images: view(images, recipe)),
        batch=4,
        device=CPU,
        precision="fp32",
        what="test",
    )
    assert seen.shape == (10, 2, 1)
    np.testing.assert_allclose(seen[:, 0], swapped[:, 1], rtol=1e-4)
    assert not np.allclose(seen[:, 0], seen[:, 1])


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


class Greedy(nn.Module):
    """Pass batches of so many images, and run out of memory on more."""

    def __init__(self, at_most: int) -> None:
        super().__init__()
        self.at_most = at_most

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.at_most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images


TOO_SMALL = "memory is too small for 8 images at once"


@pytest.mark.parametrize(
    ("at_most", "advice"),
    [
        (7, "4 fit: set the recipe's batch to 4"),
        (3, "2 fit: set the recipe's batch to 2"),
        (1, "not even 2 fit: lower the recipe's input_px"),
    ],
)
def test_too_little_memory_is_told_with_the_batch_that_fits(at_most: int, advice: str) -> None:
    greedy = nn.Sequential(Greedy(at_most), tiny_network())
    part, recipe = tiny_part(8), tiny_recipe(batch=8)
    with pytest.raises(InputError, match=f"{TOO_SMALL}; {advice}"):
        train(greedy, part, recipe, epochs=1)
    with pytest.raises(InputError, match=f"{TOO_SMALL}; {advice}"):
        predict(
            *(greedy, part, lambda images: view(images, recipe)),
            batch=8,
            device=CPU,
            precision="fp32",
            what="test",
        )


def test_a_batch_that_fits_is_one_of_which_the_gradient_fits_too() -> None:
    class GreedyBackward(torch.autograd.Function):
        @staticmethod
        def forward(_: object, images: Tensor) -> Tensor:
            return images.clone()

        @staticmethod
        def backward(_: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return Greedy(3)(gradient)  # type: ignore[no-any-return]

    class Late(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return GreedyBackward.apply(images)  # type: ignore[no-any-return,no-untyped-call]

    network = tiny_network()
    with pytest.raises(InputError, match=f"{TOO_SMALL}; 2 fit"):
        train(nn.Sequential(network, Late()), tiny_part(8), tiny_recipe(batch=8), epochs=1)


def test_the_search_for_a_batch_holds_nothing_of_the_one_that_did_not_fit() -> None:
    alive: list[weakref.ref[Tensor]] = []
    left: list[int] = []

    class Hoard(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            left.append(sum(ref() is not None for ref in alive))
            activations = images * 2
            alive.append(weakref.ref(activations))
            if len(images) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return activations

    with pytest.raises(InputError, match="2 fit"):
        train(nn.Sequential(Hoard(), tiny_network()), tiny_part(8), tiny_recipe(batch=8), epochs=1)
    assert left == [0, 0, 0]


def test_a_loss_that_is_not_finite_stops_with_epoch_step_and_rate() -> None:
    network = tiny_network()
    nn.init.constant_(network[-1].bias, float("nan"))
    with pytest.raises(
        InputError, match=r"loss is nan in epoch 1, step 1, at learning rate 0\.001"
    ):
        train(network, tiny_part(), tiny_recipe(), epochs=1)


def train_at(costs: Iterator[float], recipe: Recipe) -> float:
    """Train for an epoch in which the losses of the batches are `costs`."""
    network = tiny_network()
    return train_one_epoch(
        *(network, tiny_part(), build_optimizer(network, recipe), recipe),
        average=network,
        loss=lambda logits, labels: logits.mean() * 0 + next(costs),
        epoch=0,
        val_losses=(),
        device=CPU,
        precision="fp32",
    )


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


def test_the_loss_of_an_epoch_is_the_mean_over_its_images() -> None:
    # Batches of 4, 3 and 3 images whose mean losses are 1, 2 and 3.
    costs = iter([1.0, 2.0, 3.0])
    mean = train_at(costs, tiny_recipe())
    assert mean == pytest.approx((4 * 1 + 3 * 2 + 3 * 3) / 10)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_the_network_sees_has_its_channels_last_in_training_and_prediction(
    precision: str,
) -> None:
    laid_out = []

    class Note(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            laid_out.append(images.is_contiguous(memory_format=torch.channels_last))
            laid_out.append(torch.is_autocast_enabled("cpu") == (precision == "bf16"))
            return images

    network, part, recipe = nn.Sequential(Note(), tiny_network()), tiny_part(), tiny_recipe()
    run = {"device": CPU, "precision": precision}
    optimizer = build_optimizer(network, recipe)
    loss = F.binary_cross_entropy_with_logits
    train_one_epoch(
        *(network, part, optimizer, recipe),
        **{"average": network, "loss": loss, "epoch": 0, "val_losses": (), **run},  # type: ignore[arg-type]
    )
    predict(network, part, lambda images: view(images, recipe), batch=4, what="test", **run)  # type: ignore[arg-type]
    features = replace(part, images=torch.rand(10, 3, 4, 4), rows=np.arange(10))
    predict(network, features, lambda images: (images,), batch=4, what="test", **run)  # type: ignore[arg-type]
    assert len(laid_out) == 2 * 9
    assert all(laid_out)


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


def test_a_network_is_compiled_in_place_and_on_a_gpu_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[nn.Module] = []

    def compile_(network: nn.Module, *, dynamic: bool) -> None:
        assert not dynamic
        asked.append(network)

    monkeypatch.setattr(nn.Module, "compile", compile_)
    network, other = tiny_network(), tiny_network()
    # Not monkeypatch: undone by it, a setting of torch's exists no more.
    with torch._dynamo.config.patch(suppress_errors=False):
        compile_on_gpu([network, other], CPU)
        assert not asked
        compile_on_gpu([network, other], torch.device("cuda"))
        assert asked == [network, other]
