"""The metrics files that later stages read, as checked records."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chestxray14.base.findings import FINDINGS

Count = Annotated[int, Field(ge=0)]


Share = Annotated[float, Field(ge=0, le=1)]


class _Metrics(BaseModel):
    """A metrics file; keys that this report does not use are let through."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Manifest(_Metrics):
    """data/raw/<dataset>.json: what `download` found, the same on every machine."""

    source: Literal["phantom", "kaggle", "folder"]
    images: Count
    image_bytes: Count
    tables: list[str]
    sha256: str


class Prepared(_Metrics):
    """metrics/prepare.json; `flat_images` are the first of the `flat` ones, nearly of one grey."""

    source: Literal["phantom", "kaggle", "folder"]
    dataset: str
    label_version: Literal["original", "v2020", "undetermined", "phantom"]
    images: Count
    patients: Count
    rejected: Count
    flat: Count = 0
    flat_images: list[str] = []
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
    label_version: str

    @property
    def images(self) -> int:
        """How many images its parts have together."""
        return self.train.images + self.val.images + self.test.images


class Trained(_Metrics):
    """metrics/<recipe>/train.json; `best_epoch` counts from 1 and is 0 where nothing was trained.

    `val_loss` is the recipe's own loss, so that two recipes' need not be alike. `images_at_once` is
    the most that a batch was cut into, `skipped_steps` those whose gradient fp16 could not hold.
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
    torch: str
    train_images: Count
    images_at_once: int | None = None
    skipped_steps: Count = 0
