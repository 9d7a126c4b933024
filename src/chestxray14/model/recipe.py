"""Typed view of one recipe: every key of a block of `recipes` in params.yaml."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from chestxray14.base.errors import InputError
from chestxray14.base.findings import check_findings
from chestxray14.base.params import FileName, Limits, Pixels, Record, Seed, Sha256, Share, Views


class WeightsFile(Record):
    """A local state dict to start from, safetensors or torch's own; pinned by its content."""

    path: FileName
    sha256: Sha256

    @property
    def label(self) -> str:
        """Its name and the start of its hash."""
        return f"{self.path.rpartition('/')[2]} ({self.sha256[:12]})"


NAME_OR_FILE = Discriminator(lambda value: "named" if isinstance(value, str) else "file")
"""Tells weights known by name from a `WeightsFile`, so that an error speaks of one of them."""


def name_weights(weights: str | WeightsFile) -> str:
    """Return what weights are called, or a file's name and the start of its hash."""
    return weights if isinstance(weights, str) else weights.label


class Augmentation(Record):
    """What is done to a training image, each image with its own draws."""

    crop_area: Annotated[float, Field(gt=0, le=1)]
    crop_ratio: Annotated[float, Field(ge=1, le=4)]
    zoom: Annotated[float, Field(ge=0, lt=1)]
    rotation: Annotated[float, Field(ge=0, le=180)]
    horizontal_flip: Annotated[float, Field(ge=0, le=1)]
    brightness: Annotated[float, Field(ge=0, le=1)]
    contrast: Annotated[float, Field(ge=0, le=1)]
    gamma: Annotated[float, Field(ge=0, lt=1)]


class BinaryCrossEntropy(Record):
    """Binary cross-entropy with logits, plain or with both classes of a finding weighing alike."""

    name: Literal["bce", "weighted_bce"]


class Focal(Record):
    """Focal loss, Lin et al. 2017; `alpha` weighs positives, 1 - `alpha` negatives."""

    name: Literal["focal"]
    gamma: Annotated[float, Field(ge=0)]
    alpha: Share


Loss = Annotated[BinaryCrossEntropy | Focal, Field(discriminator="name")]


class Adam(Record):
    """torch.optim.Adam, or AdamW with its decoupled weight decay."""

    name: Literal["adam", "adamw"]
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]


class SGD(Record):
    """torch.optim.SGD with momentum."""

    name: Literal["sgd"]
    lr: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]


Optimizer = Annotated[Adam | SGD, Field(discriminator="name")]


class ConstantSchedule(Record):
    """The same learning rate throughout."""

    name: Literal["constant"]


class StepSchedule(Record):
    """Multiply the learning rate by `factor` every `every` epochs."""

    name: Literal["step"]
    every: Annotated[int, Field(ge=1)]
    factor: Annotated[float, Field(gt=0, le=1)]


class PlateauSchedule(Record):
    """Multiply by `factor` after more than `patience` epochs without a lower validation loss."""

    name: Literal["plateau"]
    factor: Share
    patience: Annotated[int, Field(ge=0)]


class CosineSchedule(Record):
    """Rise over the share `warmup` of all steps, then fall to zero along a cosine."""

    name: Literal["cosine"]
    warmup: Annotated[float, Field(ge=0, lt=1)]


Schedule = Annotated[
    ConstantSchedule | StepSchedule | PlateauSchedule | CosineSchedule,
    Field(discriminator="name"),
]


def _list_findings(value: Any) -> Any:
    """Return the named findings, none for `all`: which these are, the dataset says."""
    if value == "all":
        return ()
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"found {value!r}; expected `all` or a list of findings")
    if strange := [name for name in value if not isinstance(name, str)]:
        raise ValueError(f"found {strange[0]!r}; expected the name of a finding")
    return check_findings(value)


class Recipe(Record):
    """One published training configuration: all that the trained bytes depend on.

    `findings` is empty where all of the dataset's are asked for, until `for_dataset` names them.
    """

    split: str
    seed: Seed
    findings: Annotated[tuple[str, ...], BeforeValidator(_list_findings)]
    backbone: Literal["densenet121", "resnet50"]
    weights: Annotated[
        Annotated[Literal["imagenet", "random"], Tag("named")]
        | Annotated[WeightsFile, Tag("file")],
        NAME_OR_FILE,
    ]
    head: Literal["linear", "fully_connected", "convolutional"]
    trainable: Literal["all", "last_block", "head", "none"]
    resize_px: Pixels
    input_px: Pixels
    augmentation: Augmentation
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    ema: Share | None
    batch: Annotated[int, Field(ge=2)]
    epochs: Annotated[int, Field(ge=0)]
    early_stopping: Annotated[int, Field(ge=1)] | None
    selection: Literal["val_loss", "val_auroc"]

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        if self.resize_px < self.input_px:
            raise ValueError(
                f"resize_px is {self.resize_px}, expected at least input_px ({self.input_px})"
            )
        if self.augmentation.crop_area == 1 and self.augmentation.crop_ratio > 1:
            raise ValueError(
                f"augmentation.crop_ratio is {self.augmentation.crop_ratio:g}, expected 1.0 where "
                "crop_area is 1.0, which crops nothing"
            )
        if (self.epochs == 0) != (self.trainable == "none"):
            raise ValueError(
                f"epochs is {self.epochs} and trainable is {self.trainable!r}; expected 0 epochs "
                "where nothing is trainable, and only there"
            )
        return self

    @property
    def start(self) -> str:
        """Where the first weights come from: imagenet, random, or a file's name and hash."""
        return name_weights(self.weights)

    def for_dataset(self, findings: Sequence[str]) -> Self:
        """Return this recipe for a dataset with these findings, its own named in their order.

        Raises `InputError` for a finding that the dataset lacks.
        """
        if lacking := [name for name in self.findings if name not in findings]:
            raise InputError(
                f"the dataset lacks {', '.join(lacking)}, which the recipe lists; it has "
                f"{', '.join(findings)}"
            )
        named = tuple(name for name in findings if name in (self.findings or findings))
        return self.model_copy(update={"findings": named})

    def limited(self, limits: Limits) -> Self:
        """Return this recipe as a dataset's limits let it run.

        The resized side shrinks with the input, so that crops keep their share of the image. A
        file of weights needs no download and stays.
        """
        input_px = min(self.input_px, limits.input_px or self.input_px)
        return self.model_copy(
            update={
                "input_px": input_px,
                "resize_px": round(self.resize_px * input_px / self.input_px),
                "epochs": min(self.epochs, limits.epochs or self.epochs),
                "weights": limits.weights or "imagenet"
                if self.weights == "imagenet"
                else self.weights,
            }
        )


def list_limited(asked: Recipe, used: Recipe) -> list[str]:
    """Return what a dataset's limits changed in a recipe, as `224 -> 64 pixels`."""
    changes = (
        (f"{asked.input_px}", f"{used.input_px} pixels"),
        (asked.start, used.start),
        (f"{asked.epochs}", f"{used.epochs} epochs"),
    )
    return [f"{old} -> {new}" for old, new in changes if old != new.partition(" ")[0]]


class WholeRecipe(Recipe):
    """A whole block of `recipes`: how a network is trained, and through which views it is tested."""

    views: Views

    @property
    def trained(self) -> Recipe:
        """The part that training depends on."""
        return Recipe.model_construct(**{key: getattr(self, key) for key in Recipe.model_fields})


def limit_views(views: Views, limits: Limits) -> Views:
    """Return the views that a dataset's limits let a test image have."""
    return min(views, limits.views or views, key=get_args(Views).index)
