"""The metrics files that later stages read, as checked records."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=0)]


Share = Annotated[float, Field(ge=0, le=1)]


Source = Literal["phantom", "kaggle", "folder", "nih_box", "chestmnist", "table"]


class _Metrics(BaseModel):
    """A metrics file; keys that this report does not use are let through."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Manifest(_Metrics):
    """data/raw/<dataset>.json: what `download` found, the same on every machine."""

    source: Source
    labels: Any
    images: Count
    image_bytes: Count
    tables: list[str]
    sha256: str
    hashes: list[str] = []
    archives: list[int] = []


class Prepared(_Metrics):
    """metrics/prepare.json; `own_patients` where every image counts as its own patient.

    `flat_images` are the first of the `flat` ones, nearly of one grey. With the protocol `given`
    every split is the dataset's own.
    """

    source: Source
    dataset: str
    label_version: Literal["original", "v2020", "undetermined", "phantom", "chestmnist", "table"]
    protocol: Literal["given"] | None = None
    images: Count
    patients: Count
    rejected: Count
    flat: Count = 0
    flat_images: str = ""
    packed_px: Count
    own_patients: bool = False


class Part(_Metrics):
    """One part of a split; `prevalence` is the share of its images that show each finding.

    Of the images whose label is known: `unknown` counts the others, where a dataset has any.
    `patients` is 0 where the dataset does not tell them.
    """

    images: Annotated[int, Field(ge=1)]
    patients: Count
    sha256: str
    prevalence: dict[str, Share]
    unknown: dict[str, Count] = {}

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings of the dataset, in its order."""
        return tuple(self.prevalence)

    def known(self, finding: str) -> int:
        """Return of how many images it is known whether they show a finding."""
        return self.images - self.unknown.get(finding, 0)

    def positives(self, finding: str) -> int:
        """Return how many images show a finding."""
        return round(self.prevalence[finding] * self.known(finding))


class SplitFacts(_Metrics):
    """metrics/split/<protocol>.json.

    `of_official_test` images are trained or chosen on here and tested on by NIH's lists.
    """

    kind: Literal["patient", "official", "image", "lists", "given", "own"]
    train: Part
    val: Part
    test: Part
    shared_patients: Count
    label_version: str
    of_official_test: Count = 0

    @model_validator(mode="after")
    def _same_findings(self) -> "SplitFacts":
        if not self.train.findings == self.val.findings == self.test.findings:
            raise ValueError("train, val and test must have the same findings")
        return self

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
