"""The recipes of params.yaml: what each is, and that a few steps move what they should."""

from pathlib import Path

import pytest
import torch
from conftest import ROOT
from pydantic import ValidationError
from tiny import CPU, RECIPES, plain, snapshot, tiny_part, tiny_recipe

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import Limits, load_block
from chestxray14.model.backbones import build_network
from chestxray14.model.recipe import Recipe, WeightsFile, WholeRecipe, list_limited
from chestxray14.training.fit import train

# As README and notebook of each source have it: backbone, what is trained, findings, loss.
SOURCES = {
    "densenet121_step": ("densenet121", "all", 14, "bce"),
    "custom_densenet121": ("densenet121", "all", 7, "bce"),
    "chexnet_untrained": ("densenet121", "none", 8, "bce"),
    "chexnet_head": ("densenet121", "head", 8, "bce"),
    "chexnet": ("densenet121", "all", 8, "bce"),
    "resnet50_frozen": ("resnet50", "head", 14, "weighted_bce"),
    "resnet50_frozen_by_image": ("resnet50", "head", 14, "weighted_bce"),
    "resnet50_frozen_official": ("resnet50", "head", 14, "weighted_bce"),
    "densenet121_last_block": ("densenet121", "last_block", 8, "weighted_bce"),
    "best": ("densenet121", "all", 14, "bce"),
}
LAST_BLOCK = ("trunk.features.denseblock4.", "trunk.features.norm5.", "head.")


def test_every_published_system_is_there_as_its_source_describes_it() -> None:
    assert {
        name: (recipe.backbone, recipe.trainable, len(recipe.findings), recipe.loss.name)
        for name, recipe in RECIPES.items()
    } == SOURCES


def test_the_leaky_control_differs_from_its_recipe_in_nothing_but_the_split() -> None:
    honest, leaky = RECIPES["resnet50_frozen"], RECIPES["resnet50_frozen_by_image"]
    assert leaky == honest.model_copy(update={"split": "image"})
    official = RECIPES["resnet50_frozen_official"]
    assert official == honest.model_copy(update={"split": "official"})


@pytest.mark.parametrize("name", RECIPES)
def test_a_few_steps_move_what_is_trainable_and_nothing_else(name: str, tmp_path: Path) -> None:
    epochs = 0 if name == "chexnet_untrained" else 1
    recipe = tiny_recipe(name, epochs=epochs, selection="val_loss")
    part = tiny_part(12, recipe=recipe)
    before = snapshot(build_network(recipe))
    trained = train(
        recipe, train=part, val=part, folder=tmp_path, device=CPU, precision="fp32"
    ).weights
    assert trained.keys() == before.keys()
    moved = {key for key in before if not torch.equal(before[key], trained[key])}
    trainable = {
        "all": ("trunk.", "head."),
        "last_block": LAST_BLOCK,
        "head": ("head.",),
        "none": ("nothing",),
    }[recipe.trainable]
    assert {key for key in moved if not key.startswith(trainable)} == set()
    should = {
        key
        for key in before
        if key.startswith(trainable) and not key.endswith("num_batches_tracked")
    }
    # Statistics of the layers that are trained move too; a weight may stay where its input is 0.
    assert {key for key in should if key.endswith(("running_mean", "running_var"))} <= moved
    assert len(moved & should) >= 0.95 * len(should)


def test_limits_lower_and_never_raise() -> None:
    recipe = RECIPES["best"]
    low = recipe.limited(Limits(input_px=64, epochs=2, weights="random", views=None))
    assert (low.input_px, low.resize_px, low.epochs, low.weights) == (64, 73, 2, "random")
    assert recipe.limited(Limits(input_px=4096, epochs=99, weights=None, views=None)) == recipe
    assert recipe.limited(Limits(input_px=None, epochs=None, weights=None, views=None)) == recipe
    own = recipe.model_copy(update={"weights": WeightsFile(path="w.pth", sha256="ab" * 32)})
    assert (
        own.limited(Limits(input_px=64, epochs=2, weights="random", views=None)).weights
        == own.weights
    )
    untrained = RECIPES["chexnet_untrained"]
    assert (
        untrained.limited(Limits(input_px=64, epochs=2, weights="random", views=None)).epochs == 0
    )


def test_a_recipe_survives_the_json_of_a_model_file() -> None:
    for recipe in RECIPES.values():
        assert Recipe.model_validate_json(recipe.trained.model_dump_json()) == recipe.trained


def test_findings_are_all_or_a_list_in_the_order_of_the_field() -> None:
    assert RECIPES["best"].findings == FINDINGS
    assert tiny_recipe(findings=["Hernia", "Mass"]).findings == ("Mass", "Hernia")


def test_a_recipe_takes_the_findings_of_a_dataset_and_names_what_it_lacks() -> None:
    asked = load_block("recipes.best", WholeRecipe, path=ROOT / "params.yaml")
    assert asked.for_dataset(["b", "a"]).findings == ("b", "a")
    listed = asked.model_copy(update={"findings": ("c", "a", "d")})
    assert listed.for_dataset(["d", "b", "a", "c"]).findings == ("d", "a", "c")
    with pytest.raises(InputError, match="lacks c, d, which the recipe lists; it has b, a"):
        listed.for_dataset(["b", "a"])


def test_the_start_names_a_file_and_its_content() -> None:
    weights = WeightsFile(path="data/weights/x.safetensors", sha256="ab" * 32)
    assert tiny_recipe(weights=weights.model_dump()).start == "x.safetensors (abababababab)"
    assert RECIPES["best"].start == "imagenet"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"findings": ["Mass", 7]}, "found 7; expected the name of a finding"),
        ({"findings": ["Mass", "Mass"]}, "'Mass' is named twice"),
        ({"findings": []}, "expected `all` or a list"),
        ({"findings": "some"}, "expected `all` or a list"),
        ({"resize_px": 32, "input_px": 64}, "resize_px is 32, expected at least input_px"),
        ({"epochs": 0}, "epochs is 0 and trainable is 'all'"),
        ({"trainable": "none"}, "epochs is 20 and trainable is 'none'"),
        ({"augmentation": plain(crop_ratio=1.1)}, "crop_ratio is 1.1, expected 1.0 where"),
        ({"loss": {"name": "focal"}}, "loss.focal.gamma"),
        ({"optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 0.0}}, "optimizer.sgd.momentum"),
        ({"weights": "imagnet"}, "'imagenet' or 'random'"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        tiny_recipe(**changes)


def test_what_limits_changed_is_told_and_nothing_where_they_changed_nothing() -> None:
    asked = RECIPES["densenet121_step"].trained
    used = asked.limited(Limits(input_px=64, epochs=4, weights="random", views=None))
    assert list_limited(asked, used) == [
        "224 -> 64 pixels",
        "imagenet -> random",
        f"{asked.epochs} -> 4 epochs",
    ]
    assert list_limited(asked, asked) == []
