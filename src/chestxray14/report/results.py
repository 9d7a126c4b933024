"""What was measured, of every network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Tag

from chestxray14.base.params import Views
from chestxray14.files.metrics import Prepared, SplitFacts, Trained
from chestxray14.localization.record import Localization, Outlined
from chestxray14.model.recipe import NAME_OR_FILE, WeightsFile, WholeRecipe
from chestxray14.scoring.evaluation import Difference, Estimate, Evaluation
from chestxray14.scoring.expert_scores import ExpertScores
from chestxray14.scoring.transfer import Drift, compare_sets

Floats = NDArray[np.float64]


class Pretrained(BaseModel):
    """What of a block of `external` a report needs; the room `external` has the whole of it."""

    model_config = ConfigDict(frozen=True)

    split: str
    weights: Annotated[
        Annotated[str, Tag("named")] | Annotated[WeightsFile, Tag("file")], NAME_OR_FILE
    ]


class Scored(NamedTuple):
    """The AUROC of some findings: values, patients of the rarer class, and (draws, findings)."""

    values: Mapping[str, float]
    patients: Mapping[str, int]
    draws: Floats

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings, in the order of the draws' columns."""
        return tuple(self.values)

    def mean(self, findings: Sequence[str]) -> float:
        """Return the mean over some of them."""
        return float(np.mean([self.values[finding] for finding in findings]))

    def draw(self, findings: Sequence[str]) -> Floats:
        """Return the same in every draw, (draws,)."""
        columns = [self.findings.index(finding) for finding in findings]
        mean: Floats = self.draws[:, columns].mean(axis=1)
        return mean


@dataclass(frozen=True)
class Run:
    """One network on the test images of a split, `protocol` by name.

    Networks on the same test images share their draws. What was pretrained elsewhere has no recipe,
    and `pretrained` names its weights; nothing is trained and localized then. Its test images were
    shown by `views`. `outlined` is of ChestX-Det's boxes, where the dataset has them, and `experts`
    are scores against radiologists by set, none where nobody read a test image. `curves` are by
    name of `records.CURVES`.
    """

    name: str
    protocol: str
    split: SplitFacts
    evaluation: Evaluation
    scored: Scored
    curves: Mapping[str, pd.DataFrame]
    recipe: WholeRecipe | None = None
    trained: Trained | None = None
    localization: Localization | None = None
    outlined: Outlined | None = None
    experts: Mapping[str, Mapping[str, ExpertScores]] = field(default_factory=dict)
    pretrained: str = ""
    views: Views | None = None

    @property
    def leaky(self) -> bool:
        """Whether its split has patients on two sides on purpose."""
        return self.split.kind == "image"

    @property
    def label(self) -> str:
        """Its name, never without the word LEAKY where the split leaks."""
        return f"{self.name} (LEAKY)" if self.leaky else self.name

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings that have an AUROC."""
        return self.scored.findings

    @property
    def boxes(self) -> dict[str, Localization]:
        """How its heatmaps find boxes, by who drew these, where any counts."""
        others = self.outlined.localization if self.outlined else None
        found = {"NIH": self.localization, "ChestX-Det": others}
        return {name: each for name, each in found.items() if each and each.boxes}

    @property
    def limits(self) -> list[str]:
        """What the dataset's limits changed in its recipe."""
        if not (self.recipe and self.trained):
            return []
        asked, used = self.recipe, self.trained
        pairs = (
            ("input", f"{asked.input_px} px", f"{used.input_px} px"),
            ("weights", asked.start, used.weights),
            ("epochs", asked.epochs, used.epochs),
            ("views", asked.views, self.views or asked.views),
        )
        return [f"{what} {wanted} → {got}" for what, wanted, got in pairs if wanted != got]


@dataclass(frozen=True)
class Transfer:
    """A run on all images of another dataset, which params.yaml calls `name`.

    `draws` (draws, scored findings) are of the patients there, `drift` is that of its probabilities.
    """

    name: str
    run: Run
    evaluation: Evaluation
    draws: Floats
    drift: Drift

    @property
    def compared(self) -> dict[str, tuple[Estimate, Estimate, Difference]]:
        """What is reached on the own test part, what there, and there less own, by finding."""
        own = self.run.evaluation, self.run.scored.draws
        return compare_sets(own, (self.evaluation, self.draws))


@dataclass(frozen=True)
class Results:
    """Everything that was measured.

    `floors` are what metadata alone reach, by split, where the dataset has any. `skipped` recipes did
    not run, for the reason that is given; `transfers` are runs on other datasets.
    """

    prepared: Prepared
    runs: tuple[Run, ...]
    floors: Mapping[str, Scored]
    skipped: Mapping[str, str]
    transfers: tuple[Transfer, ...]

    @property
    def drawn(self) -> bool:
        """Whether the radiographs are drawn, not taken."""
        return self.prepared.source == "phantom"

    @property
    def own_table(self) -> bool:
        """Whether images and labels are somebody's own, not NIH's or drawn like them."""
        return self.prepared.source == "table"
