"""How each recipe was trained, in words and tables."""

from collections.abc import Sequence
from decimal import Decimal

from chestxray14.files.metrics import Trained
from chestxray14.model.recipe import (
    SGD,
    ConstantSchedule,
    CosineSchedule,
    PlateauSchedule,
    Recipe,
    Schedule,
    StepSchedule,
)
from chestxray14.report.results import Run
from chestxray14.report.tables import NONE, Table, auroc_text, text_table

CHOSEN = {"val_loss": "lowest validation loss", "val_auroc": "highest validation AUROC"}
"""What `Recipe.selection` keeps, in words."""

TRAINABLE = {
    "all": "every layer",
    "last_block": "last block and head",
    "head": "head alone",
    "none": "nothing",
}
"""What `Recipe.trainable` says, in words."""

VIEWS = {"centre": "centre", "flip": "centre and its mirror image", "ten_crop": "ten crops"}
"""What `Recipe.views` shows the network at test, in words."""

LOSSES = {"bce": "plain", "weighted_bce": "class-weighted", "focal": "focal"}
"""How `Recipe.loss` differs from plain binary cross-entropy, in words."""

OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}

REGIMEN = (
    *("Recipe", "First weights", "Trained", "Input", "Views at test", "Cross-entropy"),
    *("Optimizer", "Learning rate"),
)
OUTCOME = (
    *("Recipe", "Epoch kept", "Chosen by", "Epochs run", "Its own validation loss"),
    *("Validation AUROC", "Training images", "Device"),
)


def tabulate_training(runs: Sequence[Run]) -> tuple[Table, Table]:
    """Return how each recipe was trained, and which epoch of it was kept."""
    regimens, outcomes = [], []
    for run in runs:
        if run.training is None:
            continue
        recipe, trained = run.training.recipe, run.training.trained
        idle = recipe.trainable == "none"
        regimens.append(
            (
                *(run.label, trained.weights, TRAINABLE[recipe.trainable]),
                *(f"{trained.input_px} px", VIEWS[recipe.views], LOSSES[recipe.loss.name]),
                NONE if idle else describe_optimizer(recipe),
                NONE if idle else describe_schedule(recipe.schedule),
            )
        )
        outcomes.append(
            (
                *(run.label, NONE if idle else f"{trained.best_epoch}"),
                "none trained" if idle else CHOSEN[recipe.selection],
                NONE if idle else f"{trained.epochs_run} of {trained.epochs}",
                *(f"{trained.val_loss:.4f}", auroc_text(trained.val_auroc)),
                f"{trained.train_images:,}",
                _describe_device(trained),
            )
        )
    return (
        text_table("What was trained", REGIMEN, regimens),
        text_table("What was kept", OUTCOME, outcomes, numeric=(1, 3, 4, 5, 6)),
    )


def _describe_device(trained: Trained) -> str:
    """Return where a recipe was trained, and what there differs from whole batches in fp32."""
    words = [trained.device, trained.precision, f"{trained.threads} threads"]
    if trained.skipped_steps:
        words.append(f"{trained.skipped_steps} steps skipped")
    if trained.images_at_once:
        words.append(f"batch normalisation by pieces of {trained.images_at_once} images")
    return ", ".join(words)


def describe_optimizer(recipe: Recipe) -> str:
    """Return a recipe's optimizer in words."""
    optimizer = recipe.optimizer
    words = [f"{OPTIMIZERS[optimizer.name]} {_decimal(optimizer.lr)}"]
    if isinstance(optimizer, SGD):
        words.append(f"momentum {optimizer.momentum:g}")
    if optimizer.weight_decay:
        words.append(f"weight decay {_decimal(optimizer.weight_decay)}")
    if recipe.ema is not None:
        words.append(f"weights averaged (decay {recipe.ema:g})")
    return ", ".join(words)


def describe_schedule(schedule: Schedule) -> str:
    """Return how the learning rate moves, in words."""
    match schedule:
        case ConstantSchedule():
            return "constant"
        case StepSchedule():
            return f"times {schedule.factor:g} every {schedule.every} epochs"
        case PlateauSchedule():
            return (
                f"times {schedule.factor:g} after more than {schedule.patience} epochs without a "
                "lower validation loss"
            )
        case CosineSchedule():
            return f"rises over {schedule.warmup:.0%} of the steps, then falls to 0 as a cosine"


def _decimal(value: float) -> str:
    """Return a number without an exponent, which a narrow column would break."""
    return f"{Decimal(str(value)):f}"


def list_limits(runs: Sequence[Run]) -> dict[tuple[str, str, str], list[Run]]:
    """Return (value, asked for, used) where these differ, with the recipes that it befell."""
    changes: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        if run.training:
            recipe, trained = run.training.recipe, run.training.trained
            for value, asked, used in (
                ("input, px", recipe.input_px, trained.input_px),
                ("weights", recipe.start, trained.weights),
                ("epochs", recipe.epochs, trained.epochs),
            ):
                if asked != used:
                    changes.setdefault((value, str(asked), str(used)), []).append(run)
    return dict(sorted(changes.items(), key=lambda change: change[0][0]))
