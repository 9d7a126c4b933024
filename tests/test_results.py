import pytest
from fake_run import RECIPE, RECIPES, STEP, make_run, make_split, make_training
from pydantic import TypeAdapter, ValidationError

from chestxray14.findings import FINDINGS
from chestxray14.recipes import Optimizer, Schedule
from chestxray14.results import (
    CHOSEN,
    LOSSES,
    TRAINABLE,
    VIEWS,
    Epoch,
    Evaluated,
    Part,
    Trained,
    describe_optimizer,
    describe_schedule,
    mean_auroc,
    name_runs,
    tabulate_training,
)


@pytest.mark.parametrize(
    "auroc",
    [
        {"macro": 0.8},
        {"macro": 0.8, "micro": 1.2},
        {"macro": 0.8, "micro": float("nan")},
        {"macro": 0.8, "micro": 0.8, "Fracture": 0.8},
    ],
)
def test_impossible_scores_are_refused(auroc: dict[str, float]) -> None:
    fields = make_run().evaluated.model_dump() | {"auroc": auroc}
    with pytest.raises(ValidationError):
        Evaluated.model_validate(fields)


def test_a_part_must_name_every_finding() -> None:
    fields = make_run().split.test.model_dump()
    del fields["prevalence"]["Hernia"]
    with pytest.raises(ValidationError, match="must name the 14 findings"):
        Part.model_validate(fields)


def test_positives_are_counted_from_their_rounded_share() -> None:
    shares = dict.fromkeys(FINDINGS, 0.0) | {"Hernia": 0.001518, "Mass": 1.0}
    part = Part(images=25_596, patients=2_797, sha256="ab" * 32, prevalence=shares)
    # 0.001518 of 25,596 is 38.85.
    assert [part.positives(f) for f in ("Hernia", "Mass", "Edema")] == [39, 25_596, 0]


def test_an_epoch_without_a_scored_finding_has_no_auroc() -> None:
    row = {"epoch": "1", "train_loss": "0.5", "val_loss": "0.6", "val_auroc": "", "lr": "1e-3"}
    assert Epoch.model_validate(row).val_auroc is None
    assert Epoch.model_validate(row | {"val_auroc": "0.61"}).val_auroc == 0.61


def test_only_a_run_of_a_leaky_split_is_called_leaky() -> None:
    assert [make_run().label, make_run().split_label] == [STEP, "patient"]
    leaky = make_run(kind="image")
    assert [leaky.label, leaky.split_label] == [f"{STEP} (LEAKY)", "image (LEAKY)"]


def test_the_scored_findings_keep_the_order_of_the_project() -> None:
    run = make_run(findings=FINDINGS[5::-1])
    assert run.scored == FINDINGS[:6]


def test_a_network_of_which_nothing_was_trained_keeps_epoch_0_and_may_lack_an_auroc() -> None:
    fields = make_training().trained.model_dump()
    del fields["val_auroc"]
    idle = Trained.model_validate(fields | {"best_epoch": 0, "epochs_run": 0, "epochs": 0})
    assert (idle.best_epoch, idle.val_auroc) == (0, None)
    for wrong in ({"best_epoch": -1}, {"val_auroc": 1.1}):
        with pytest.raises(ValidationError):
            Trained.model_validate(fields | wrong)


def test_the_parts_of_a_split_are_counted_together() -> None:
    split = make_split()
    assert split.images == split.train.images + split.val.images + split.test.images == 112_119


def test_a_mean_over_some_findings_is_theirs_and_over_all_is_the_macro_before_rounding() -> None:
    auroc = {"macro": 0.70001, "micro": 0.9, "Mass": 0.6, "Edema": 0.8}
    assert mean_auroc(auroc, ["Mass"]) == 0.6
    assert mean_auroc(auroc, ["Edema", "Mass"]) == 0.70001
    assert mean_auroc({"Mass": 0.5, "Edema": 0.8, "Hernia": 0.1}, ["Mass", "Edema"]) == 0.65


def test_many_runs_are_counted_where_they_are_all_and_named_where_not() -> None:
    runs = [make_run("a"), make_run("b", kind="image"), make_run("c")]
    assert name_runs(runs, among=runs) == "all 3 recipes"
    assert name_runs(runs[:2], among=runs) == "a, b (LEAKY)"
    assert name_runs(runs[:1], among=runs[:1]) == "a"


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
    runs = [make_run(name, recipe=recipe) for name, recipe in RECIPES.items()]
    regimens, outcomes = tabulate_training([*runs, make_run("far", pretrained="nih")])
    for table in (regimens, outcomes):
        assert [row.cells[0].text for row in table.rows] == list(RECIPES)
    kept = {row.cells[0].text: [cell.text for cell in row.cells[1:4]] for row in outcomes.rows}
    assert kept["chexnet_untrained"] == ["–", "none trained", "–"]
    assert kept[STEP] == ["2", "lowest validation loss", "3 of 3"]
    assert kept["best"] == ["2", "highest validation AUROC", "3 of 3"]
    untrained = next(row for row in regimens.rows if row.cells[0].text == "chexnet_untrained")
    assert [cell.text for cell in untrained.cells[1:]] == [
        *("random", "nothing", "64 px", "ten crops", "plain", "–", "–")
    ]
