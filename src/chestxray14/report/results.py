"""What the stages measured: their metrics files, and one scored network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Tag

from chestxray14.files.metrics import Count, Share, SplitFacts, Trained
from chestxray14.localization.record import Localization
from chestxray14.model.recipe import NAME_OR_FILE, WeightsFile, WholeRecipe, name_weights
from chestxray14.scoring.evaluation import Estimate, Evaluation
from chestxray14.scoring.transfer import Drift

LABEL_VERSIONS = {
    "original": "the original labels of 2017",
    "v2020": "the v2020 labels",
    "undetermined": "undetermined, as the label file is not the full one",
    "phantom": "phantom, as drawn",
    "table": "as in the dataset's own table",
}
"""What `Prepared.label_version` says, in words."""

ELSEWHERE = "pretrained elsewhere, not trained here"
"""What a network of `external` is called where a recipe's own words would stand."""


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


class Pretrained(BaseModel):
    """What of a block of `external` a report needs; the room `external` has the whole of it."""

    model_config = ConfigDict(frozen=True)

    split: str
    weights: Annotated[
        Annotated[str, Tag("named")] | Annotated[WeightsFile, Tag("file")], NAME_OR_FILE
    ]

    @property
    def start(self) -> str:
        """The published weights' name, or a file's name and hash."""
        return name_weights(self.weights)


@dataclass(frozen=True)
class Training:
    """What params.yaml asks for in a recipe, and what came of it."""

    recipe: WholeRecipe
    trained: Trained
    history: tuple[Epoch, ...]


@dataclass(frozen=True)
class Curves:
    """The tables of plots/<name>/roc.csv, precision_recall.csv and reliability.csv."""

    roc: pd.DataFrame
    precision_recall: pd.DataFrame
    reliability: pd.DataFrame


@dataclass(frozen=True)
class Floor:
    """What age, sex, view and follow-up number alone reach on the test images of a split.

    `estimates` has `macro` and each scored finding; `draws` is as of `Run`, in the same draws of
    patients.
    """

    estimates: dict[str, Estimate]
    draws: NDArray[np.float64]

    @property
    def scored(self) -> tuple[str, ...]:
        """The findings that have an AUROC, in the dataset's order."""
        return tuple(name for name in self.estimates if name != "macro")

    @property
    def auroc(self) -> dict[str, float]:
        """The AUROC of each scored finding, and `macro` over them."""
        return {name: estimate.value for name, estimate in self.estimates.items()}

    def draw_mean(self, findings: Sequence[str]) -> NDArray[np.float64]:
        """Return the mean AUROC over some of the scored findings in each draw."""
        return _draw_mean(self.draws, scored=self.scored, findings=findings)


@dataclass(frozen=True)
class Run:
    """One network on the test images of a split.

    `draws` (draws, findings) has the AUROC of each scored finding in each bootstrap draw, NaN where
    a draw has one class or patients are too few; networks on the same test images share their
    draws. `training` is None where the network was pretrained elsewhere, and `pretrained` then
    names its weights; nothing is localized then. `protocol` is the name of the split.
    """

    name: str
    protocol: str
    split: SplitFacts
    evaluation: Evaluation
    draws: NDArray[np.float64]
    curves: Curves
    training: Training | None
    localization: Localization | None
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
        """The findings that have an AUROC, in the dataset's order."""
        return tuple(name for name in self.labelled if name in self.evaluation.findings)

    @property
    def labelled(self) -> tuple[str, ...]:
        """The findings of the dataset."""
        return self.split.test.findings

    @property
    def auroc(self) -> dict[str, float]:
        """The AUROC of each scored finding, and `macro` and `micro` over them."""
        return {
            average: self.evaluation.auroc[average].value for average in ("macro", "micro")
        } | {finding: self.evaluation.findings[finding].auroc.value for finding in self.scored}

    def draw_mean(self, findings: Sequence[str]) -> NDArray[np.float64]:
        """Return the mean AUROC over some of the scored findings in each draw."""
        return _draw_mean(self.draws, scored=self.scored, findings=findings)


@dataclass(frozen=True)
class Transfer:
    """One run on all images of another dataset, which params.yaml calls `name`.

    `draws` are as of `Run`, of the patients there, and `drift` is that of its probabilities.
    """

    name: str
    run: Run
    evaluation: Evaluation
    draws: NDArray[np.float64]
    drift: Drift


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


def _draw_mean(
    draws: NDArray[np.float64], *, scored: Sequence[str], findings: Sequence[str]
) -> NDArray[np.float64]:
    columns = [scored.index(finding) for finding in findings]
    mean: NDArray[np.float64] = draws[:, columns].mean(axis=1)
    return mean
