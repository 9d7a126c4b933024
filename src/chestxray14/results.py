"""What the stages measured: their metrics files, one scored network, and how it was trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from chestxray14.findings import FINDINGS
from chestxray14.recipes import (
    SGD,
    ConstantSchedule,
    CosineSchedule,
    PlateauSchedule,
    Recipe,
    Schedule,
    StepSchedule,
)
from chestxray14.tables import NONE, Table, auroc_text, text_table

LABEL_VERSIONS = {
    "original": "the original labels of 2017",
    "v2020": "the v2020 labels",
    "undetermined": "undetermined, as the label file is not the full one",
    "phantom": "phantom, as drawn",
}
"""What `Prepared.label_version` says, in words."""

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

ELSEWHERE = "pretrained elsewhere, not trained here"
"""What a network of `external` is called where a recipe's own words would stand."""

REGIMEN = (
    *("Recipe", "First weights", "Trained", "Input", "Views at test", "Cross-entropy"),
    *("Optimizer", "Learning rate"),
)
OUTCOME = (
    *("Recipe", "Epoch kept", "Chosen by", "Epochs run", "Its own validation loss"),
    *("Validation AUROC", "Training images", "Hardware"),
)

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Metrics(BaseModel):
    """A metrics file; keys that this report does not use are let through."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Prepared(_Metrics):
    """metrics/prepare.json."""

    source: Literal["phantom", "kaggle", "folder"]
    dataset: str
    label_version: Literal["original", "v2020", "undetermined", "phantom"]
    images: Count
    patients: Count
    rejected: Count
    packed_px: Count


class Part(_Metrics):
    """One part of a split; `prevalence` is the share of its images that show each finding."""

    images: Annotated[int, Field(ge=1)]
    patients: Annotated[int, Field(ge=1)]
    sha256: str
    prevalence: dict[str, Share]

    @model_validator(mode="after")
    def _every_finding(self) -> "Part":
        if set(self.prevalence) != set(FINDINGS):
            raise ValueError("prevalence must name the 14 findings")
        return self

    def positives(self, finding: str) -> int:
        """Return how many images show a finding."""
        return round(self.prevalence[finding] * self.images)


class SplitFacts(_Metrics):
    """metrics/split/<protocol>.json."""

    kind: Literal["patient", "official", "image", "lists"]
    train: Part
    val: Part
    test: Part
    shared_patients: Count

    @property
    def images(self) -> int:
        """How many images its parts have together."""
        return self.train.images + self.val.images + self.test.images


class Trained(_Metrics):
    """metrics/<recipe>/train.json; `best_epoch` counts from 1 and is 0 where nothing was trained.

    `val_loss` is the recipe's own loss, so that two recipes' need not be alike.
    """

    best_epoch: Count
    epochs_run: Count
    epochs: Count
    val_loss: float
    val_auroc: Share | None = None
    input_px: int
    weights: str
    device: str
    precision: str
    threads: int
    train_images: Count


class Evaluated(_Metrics):
    """metrics/<name>/test.json; `auroc` has macro, micro and each finding that was scored."""

    auroc: dict[str, Share]
    images: Count
    patients: Count
    split_sha256: str
    label_version: str

    @model_validator(mode="after")
    def _known_scores(self) -> "Evaluated":
        found = set(self.auroc)
        if not {"macro", "micro"} <= found or found - {"macro", "micro", *FINDINGS}:
            raise ValueError(
                f"auroc must have macro, micro and names of findings; found {sorted(found)}"
            )
        return self


class Epoch(BaseModel):
    """One row of plots/<recipe>/history.csv, epoch 0 where nothing was trained.

    `val_auroc` is None where nothing was scored.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    epoch: Count
    train_loss: float
    val_loss: float
    val_auroc: Annotated[Share | None, BeforeValidator(lambda cell: None if cell == "" else cell)]
    lr: float


@dataclass(frozen=True)
class Training:
    """What params.yaml asks for in a recipe, and what came of it."""

    recipe: Recipe
    trained: Trained
    history: tuple[Epoch, ...]


@dataclass(frozen=True)
class Run:
    """One network on the test images of a split.

    `training` is None where the network was pretrained elsewhere, and `pretrained` then names
    its weights. `protocol` is the name of the split.
    """

    name: str
    protocol: str
    split: SplitFacts
    evaluated: Evaluated
    training: Training | None
    pretrained: str = ""

    @property
    def leaky(self) -> bool:
        """Whether its split has patients on two sides on purpose."""
        return self.split.kind == "image"

    @property
    def label(self) -> str:
        """Its name, never without the word LEAKY where the split leaks."""
        return f"{self.name} (LEAKY)" if self.leaky else self.name

    @property
    def split_label(self) -> str:
        """The name of its split, never without the word LEAKY where it leaks."""
        return f"{self.protocol} (LEAKY)" if self.leaky else self.protocol

    @property
    def scored(self) -> tuple[str, ...]:
        """The findings that have an AUROC, in the order of `FINDINGS`."""
        return tuple(finding for finding in FINDINGS if finding in self.evaluated.auroc)


def mean_auroc(auroc: Mapping[str, float], findings: Sequence[str]) -> float:
    """Return the mean over some of the scored findings: `macro` itself where these are all."""
    if "macro" in auroc and set(findings) == set(auroc) - {"macro", "micro"}:
        return auroc["macro"]  # the mean before rounding
    return sum(auroc[finding] for finding in findings) / len(findings)


def name_runs(runs: Sequence[Run], *, among: Sequence[Run]) -> str:
    """Return the names of some runs, or how many they are where these are all."""
    if len(runs) == len(among) > 2:
        return f"all {len(runs)} recipes"
    return ", ".join(run.label for run in runs)


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
                f"{trained.device}, {trained.precision}, {trained.threads} threads",
            )
        )
    return (
        text_table("What was trained", REGIMEN, regimens),
        text_table("What was kept", OUTCOME, outcomes, numeric=(1, 3, 4, 5, 6)),
    )


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
