from dataclasses import replace

import pytest
from fake_run import RECIPE, RECIPES, STEP, make_run
from pydantic import TypeAdapter

from chestxray14.model.recipe import Optimizer, Schedule
from chestxray14.report.regimens import (
    CHOSEN,
    LOSSES,
    TRAINABLE,
    VIEWS,
    describe_optimizer,
    describe_schedule,
    list_limits,
    tabulate_training,
)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"name": "constant"}, "constant"),
        ({"name": "step", "every": 2, "factor": 0.1}, "times 0.1 every 2 epochs"),
        (
            {"name": "plateau", "factor": 0.5, "patience": 3},
            "times 0.5 after more than 3 epochs without a lower validation loss",
        ),
        (
            {"name": "cosine", "warmup": 0.04},
            "rises over 4% of the steps, then falls to 0 as a cosine",
        ),
    ],
)
def test_every_schedule_has_words(schedule: dict[str, object], words: str) -> None:
    parsed: Schedule = TypeAdapter(Schedule).validate_python(schedule)
    assert describe_schedule(parsed) == words


@pytest.mark.parametrize(
    ("optimizer", "ema", "words"),
    [
        ({"name": "adam", "lr": 1e-3, "weight_decay": 0.0}, None, "Adam 0.001"),
        (
            {"name": "adamw", "lr": 2e-4, "weight_decay": 1e-5},
            0.999,
            "AdamW 0.0002, weight decay 0.00001, weights averaged (decay 0.999)",
        ),
        (
            {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0},
            None,
            "SGD 0.1, momentum 0.9",
        ),
    ],
)
def test_every_optimizer_has_words(
    optimizer: dict[str, object], ema: float | None, words: str
) -> None:
    parsed: Optimizer = TypeAdapter(Optimizer).validate_python(optimizer)
    assert describe_optimizer(RECIPE.model_copy(update={"optimizer": parsed, "ema": ema})) == words


def test_every_choice_of_a_recipe_has_words() -> None:
    for recipe in RECIPES.values():
        assert recipe.selection in CHOSEN
        assert recipe.trainable in TRAINABLE
        assert recipe.views in VIEWS
        assert recipe.loss.name in LOSSES


def test_the_training_tables_say_how_each_epoch_was_chosen_and_leave_out_what_was_not_trained() -> (
    None
):
    recipes = RECIPES | {"best": RECIPES["best"].model_copy(update={"selection": "val_auroc"})}
    runs = [make_run(name, recipe=recipe) for name, recipe in recipes.items()]
    regimens, outcomes = tabulate_training([*runs, make_run("far", pretrained="nih")])
    for table in (regimens, outcomes):
        assert [row.cells[0].text for row in table.rows] == list(RECIPES)
    kept = {row.cells[0].text: [cell.text for cell in row.cells[1:4]] for row in outcomes.rows}
    assert kept["chexnet_untrained"] == ["–", "none trained", "–"]
    assert kept[STEP] == ["2", "lowest validation loss", "3 of 3"]
    assert kept["best"] == ["2", "highest validation AUROC", "3 of 3"]
    assert [column.title for column in outcomes.columns][-1] == "Device"
    untrained = next(row for row in regimens.rows if row.cells[0].text == "chexnet_untrained")
    assert [cell.text for cell in untrained.cells[1:]] == [
        *("random", "nothing", "64 px", "ten crops", "plain", "–", "–")
    ]


def test_batches_in_pieces_and_skipped_steps_are_said() -> None:
    run = make_run("t4", recipe=RECIPES["best"])
    assert run.training
    changes = {"device": "cuda", "precision": "fp16", "images_at_once": 8, "skipped_steps": 3}
    trained = run.training.trained.model_copy(update=changes)
    run = replace(run, training=replace(run.training, trained=trained))
    _, outcomes = tabulate_training([run])
    told = outcomes.rows[0].cells[-1].text
    assert "3 steps skipped" in told
    assert "batch normalisation by pieces of 8 images" in told


def test_limits_are_listed_once_for_the_recipes_that_they_changed_alike() -> None:
    runs = [make_run(name, recipe=recipe) for name, recipe in RECIPES.items()]
    changes = list_limits([*runs, make_run("far", pretrained="nih")])
    told = {key: [run.name for run in befallen] for key, befallen in changes.items()}
    # By the file: limits of 64 px, 3 epochs, random weights; one recipe has 128 px, one 0 epochs.
    assert told["weights", "imagenet", "random"] == list(RECIPES)
    assert told["input, px", "128", "64"] == ["custom_densenet121"]
    assert set(told["input, px", "224", "64"]) == set(RECIPES) - {"custom_densenet121"}
    epochs = {name: key for key, names in told.items() if key[0] == "epochs" for name in names}
    assert epochs == {
        name: ("epochs", str(recipe.epochs), "3")
        for name, recipe in RECIPES.items()
        if recipe.epochs > 3
    }
