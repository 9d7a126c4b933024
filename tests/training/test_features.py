"""Features of a frozen front: the same bytes as without them, with less work."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny import CPU, plain, tiny_part, tiny_recipe, unsettled
from torch import nn

from chestxray14.base.draws import generator
from chestxray14.base.errors import InputError
from chestxray14.model.backbones import build_network
from chestxray14.model.batches import Part
from chestxray14.model.recipe import Recipe
from chestxray14.model.views import augment, normalize, view_centre
from chestxray14.training import features
from chestxray14.training import fit as training
from chestxray14.training.features import is_plain, skip_frozen, split_frozen

FROZEN = tiny_recipe("resnet50_frozen", epochs=2)


def skip(network: nn.Module, part: Part, recipe: Recipe) -> tuple[nn.Module, Part]:
    rest, (kept,) = skip_frozen(
        network, (part,), recipe, device=CPU, precision="fp32", batch=recipe.batch
    )
    return rest, kept


@pytest.mark.parametrize(
    ("changes", "plainly"),
    [
        ({}, True),
        ({"resize_px": 36}, False),
        *(
            ({"augmentation": plain(**change)}, False)
            for change in (
                {"crop_area": 0.5}, {"zoom": 0.1}, {"rotation": 1.0}, {"horizontal_flip": 0.5},
                {"brightness": 0.1}, {"contrast": 0.1}, {"gamma": 0.1},
            )
        ),
    ],
)  # fmt: skip
def test_a_recipe_is_plain_where_nothing_is_drawn(
    changes: dict[str, object], plainly: bool
) -> None:
    recipe = tiny_recipe("resnet50_frozen", **changes)
    assert is_plain(recipe) == plainly
    # By what a batch looks like in two steps that draw differently.
    images = torch.as_tensor(tiny_part(6).images)
    first, second = (
        augment(images, recipe, generator("augmentation", 0, 0, step)) for step in (0, 1)
    )
    assert torch.equal(first, second) == plainly
    assert torch.equal(first, view_centre(images, recipe)) == plainly


@pytest.mark.parametrize("trainable", ["head", "last_block"])
@pytest.mark.parametrize("name", ["resnet50_frozen", "chexnet_head"])
def test_the_front_and_the_rest_are_the_network_with_its_weights(
    name: str, trainable: str
) -> None:
    network = unsettled(tiny_recipe(name, trainable=trainable))
    front, rest = split_frozen(network)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(rest(front(images)), network(images))
    assert not any(p.requires_grad for p in front.parameters())
    assert next(rest.parameters()).requires_grad
    own = {name: id(parameter) for name, parameter in network.named_parameters()}
    halves = (*front.named_parameters(), *rest.named_parameters())
    assert [(name, id(parameter)) for name, parameter in halves] == list(own.items())


def test_features_are_the_fronts_answer_to_each_image_of_the_part() -> None:
    network = unsettled(FROZEN)
    part = tiny_part(7, recipe=FROZEN)
    some = Part(part.images, part.rows[[5, 0, 3]], ["a", "b", "c"], part.labels[[5, 0, 3]])
    rest, kept = skip(network, some, FROZEN)
    images = torch.as_tensor(part.images)[[5, 0, 3]]
    expected = network.trunk(normalize(view_centre(images, FROZEN))).mean(dim=(2, 3))
    torch.testing.assert_close(torch.as_tensor(kept.images), expected)
    assert kept.names == some.names
    assert len(list(rest.parameters())) == len(list(network.head.parameters()))


def test_where_no_layer_is_frozen_or_all_are_there_is_nothing_to_keep() -> None:
    part = tiny_part(4)
    untrained = tiny_recipe("chexnet_untrained", augmentation=plain())
    for recipe in (tiny_recipe(augmentation=plain()), untrained):
        network = build_network(recipe)
        assert skip(network, part, recipe) == (network, part)


@pytest.mark.parametrize("changes", [{"augmentation": plain(rotation=1.0)}, {"resize_px": 36}])
def test_where_training_sees_images_otherwise_than_validation_nothing_is_kept(
    changes: dict[str, object],
) -> None:
    recipe = tiny_recipe("resnet50_frozen", **changes)
    network, part = build_network(recipe), tiny_part(4, recipe=recipe)
    assert skip(network, part, recipe) == (network, part)


def test_a_front_that_runs_out_of_memory_names_the_batch() -> None:
    class Greedy(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError

    network = nn.Sequential(Greedy(), nn.Linear(1, 1))
    with pytest.raises(InputError, match=r"too small for 5 images at once.*batch"):
        skip(network, tiny_part(), FROZEN.model_copy(update={"batch": 5}))


def test_features_that_are_too_large_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    network, part = build_network(FROZEN), tiny_part(5, recipe=FROZEN)
    size = 5 * 2048 * 4
    monkeypatch.setattr(features, "AT_MOST", size)
    assert skip(network, part, FROZEN)[0] is not network
    monkeypatch.setattr(features, "AT_MOST", size - 1)
    assert skip(network, part, FROZEN) == (network, part)
    # What one part of two cannot have, neither has.
    parts = (tiny_part(2, recipe=FROZEN), part)
    kept = skip_frozen(network, parts, FROZEN, device=CPU, precision="fp32", batch=FROZEN.batch)
    assert kept == (network, parts)


@pytest.mark.parametrize(
    ("name", "changes", "precision"),
    [
        ("resnet50_frozen", {"ema": 0.9}, "bf16"),
        ("densenet121_last_block", {"early_stopping": None, "augmentation": plain()}, "fp32"),
        ("densenet121_last_block", {"early_stopping": None, "augmentation": plain()}, "bf16"),
    ],
)
def test_a_training_on_kept_features_ends_in_the_bits_of_one_on_images(
    name: str,
    changes: dict[str, object],
    precision: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = tiny_recipe(name, epochs=2, **changes)
    train, val = tiny_part(9, recipe=recipe), tiny_part(7, recipe=recipe)
    fit = {"train": train, "val": val, "device": CPU, "precision": precision}
    kept = training.train(recipe, folder=tmp_path / "kept", **fit)  # type: ignore[arg-type]
    monkeypatch.setattr(training, "skip_frozen", lambda network, parts, *_, **__: (network, parts))
    whole = training.train(recipe, folder=tmp_path / "whole", **fit)  # type: ignore[arg-type]
    assert kept.history == whole.history
    assert list(kept.weights) == list(whole.weights)
    assert all(torch.equal(kept.weights[key], whole.weights[key]) for key in whole.weights)


def test_a_frozen_front_sees_each_image_once_however_many_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    build = training.build_network

    def count(recipe: Recipe) -> nn.Module:
        network = build(recipe)
        trunk = network.get_submodule("trunk")
        next(iter(trunk.children())).register_forward_hook(
            lambda _, images, __: seen.append(len(images[0]))
        )
        return network

    monkeypatch.setattr(training, "build_network", count)
    train, val = tiny_part(8, recipe=FROZEN), tiny_part(4, recipe=FROZEN)
    training.train(
        FROZEN,
        train=train,
        val=val,
        folder=tmp_path,
        device=CPU,
        precision="fp32",
    )
    assert sum(seen) == 8 + 4


def test_features_with_a_height_and_a_width_are_learned_from_too() -> None:
    recipe = tiny_recipe("densenet121_last_block", augmentation=plain(), input_px=64, resize_px=64)
    network, part = build_network(recipe), tiny_part(4, recipe=recipe)
    rest, kept = skip(network, part, recipe)
    assert kept.images.shape == (4, 512, 2, 2)
    logits = rest(torch.as_tensor(kept.images))
    F.binary_cross_entropy_with_logits(logits, part.labels).backward()
    assert all(p.grad is not None for p in rest.parameters())
