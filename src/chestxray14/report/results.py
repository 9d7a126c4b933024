"""What the stages wrote, read and checked once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Tag

from chestxray14.base.errors import InputError
from chestxray14.base.findings import NO_FINDING
from chestxray14.files.metrics import Count, Prepared, Share, SplitFacts, Trained
from chestxray14.files.records import read_record, read_rows
from chestxray14.localization.record import Localization
from chestxray14.model.recipe import NAME_OR_FILE, WeightsFile, WholeRecipe, name_weights
from chestxray14.scoring.evaluation import Evaluation
from chestxray14.scoring.metadata_floor import FloorScores

Floats = NDArray[np.float64]

CURVES = {
    "roc": ("finding", "false_positive_rate", "true_positive_rate"),
    "precision_recall": ("finding", "recall", "precision"),
    "reliability": ("calibration", "predicted", "observed", "labels"),
}
"""The tables of a run's curves; the first column of each is words, the others are numbers."""


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
    and `pretrained` names its weights; nothing is localized then.
    """

    name: str
    protocol: str
    split: SplitFacts
    evaluation: Evaluation
    scored: Scored
    curves: Mapping[str, pd.DataFrame]
    recipe: WholeRecipe | None = None
    trained: Trained | None = None
    history: tuple[Epoch, ...] = ()
    localization: Localization | None = None
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
    def findings(self) -> tuple[str, ...]:
        """The findings that have an AUROC."""
        return self.scored.findings


@dataclass(frozen=True)
class Results:
    """Everything that was measured; `floors` are what metadata alone reach, by split."""

    prepared: Prepared
    runs: tuple[Run, ...]
    floors: Mapping[str, Scored]

    @property
    def drawn(self) -> bool:
        """Whether the radiographs are drawn, not taken."""
        return self.prepared.source == "phantom"

    @property
    def findings(self) -> tuple[str, ...]:
        """Every finding that a network scores, in their order."""
        longest = sorted(self.runs, key=lambda run: -len(run.findings))
        return tuple(dict.fromkeys(finding for run in longest for finding in run.findings))


def read_results(
    root: Path, *, dataset: str, draws: int, entries: Mapping[str, WholeRecipe | Pretrained]
) -> Results:
    """Return what the stages wrote of the recipes and pretrained networks of params.yaml.

    Raises `InputError` for a file that is missing or malformed, of other images, labels or draws.
    """
    if not entries:
        raise InputError("params.yaml: recipes is empty, there is nothing to compare")
    path = root / "metrics/prepare.json"
    prepared = read_record(path, Prepared, by="prepare")
    if prepared.dataset != dataset:
        raise InputError(
            f"{path} is of dataset {prepared.dataset!r}, params.yaml says {dataset!r}; "
            "run prepare again"
        )
    labels = prepared.label_version
    runs = tuple(
        _read_run(root, name, entry, draws=draws, labels=labels) for name, entry in entries.items()
    )
    floors = {run.protocol: _read_floor(root, run, draws=draws, labels=labels) for run in runs}
    return Results(prepared, runs, floors)


def _read_run(
    root: Path, name: str, entry: WholeRecipe | Pretrained, *, draws: int, labels: str
) -> Run:
    split = read_record(root / f"metrics/split/{entry.split}.json", SplitFacts, by="split")
    path = root / f"evaluations/{name}/detail.json"
    evaluation = read_record(path, Evaluation, by="evaluate")
    _check_origin(path, evaluation, split=split, protocol=entry.split, labels=labels)
    findings = {k: found for k, found in evaluation.findings.items() if k != NO_FINDING}
    read = Run(
        name,
        protocol=entry.split,
        split=split,
        evaluation=evaluation,
        scored=Scored(
            {finding: scores.auroc.value for finding, scores in findings.items()},
            {finding: scores.patients for finding, scores in findings.items()},
            _read_draws(path.with_name("draws.npy"), shape=(draws, len(findings)), by="evaluate"),
        ),
        curves={kind: _read_curves(root / f"plots/{name}/{kind}.csv", kind) for kind in CURVES},
        pretrained=entry.start if isinstance(entry, Pretrained) else "",
    )
    if isinstance(entry, Pretrained):
        return read
    path = root / f"localizations/{name}/localization.json"
    localization = read_record(path, Localization, by="localize")
    _check_origin(path, localization, split=split, protocol=entry.split, labels=labels)
    path = root / f"plots/{name}/history.csv"
    history = read_rows(path, Epoch, by="train")
    if not history:
        raise InputError(f"{path} has no epoch; the train stage writes it")
    trained = read_record(root / f"metrics/{name}/train.json", Trained, by="train")
    return replace(read, recipe=entry, trained=trained, history=history, localization=localization)


def _read_floor(root: Path, run: Run, *, draws: int, labels: str) -> Scored:
    path = root / f"evaluations/metadata/{run.protocol}.json"
    scores = read_record(path, FloorScores, by="fit_metadata")
    _check_origin(path, scores, split=run.split, protocol=run.protocol, labels=labels)
    values = {name: found.value for name, found in scores.estimates.items() if name != "macro"}
    shape = draws, len(values)
    return Scored(
        values,
        scores.patients,
        _read_draws(path.with_suffix(".npy"), shape=shape, by="fit_metadata"),
    )


def _check_origin(
    path: Path,
    scores: Evaluation | FloorScores | Localization,
    *,
    split: SplitFacts,
    protocol: str,
    labels: str,
) -> None:
    """Refuse scores on other test images, or by another version of the labels, than is at hand."""
    if scores.split_sha256 != split.test.sha256:
        raise InputError(
            f"{path} was scored on other images than the test part of "
            f"metrics/split/{protocol}.json; run the stages after split again"
        )
    if scores.label_version != labels:
        raise InputError(
            f"{path}: found label_version {scores.label_version!r}, expected {labels!r} as in "
            "metrics/prepare.json; run the stages after prepare again"
        )


def _read_draws(path: Path, *, shape: tuple[int, int], by: str) -> Floats:
    """Return the AUROC of each draw (draws, scored findings), NaN where a draw has one class."""
    try:
        draws: Floats = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "not an array"
        raise InputError(f"{path}: {reason}; the {by} stage writes it") from None
    if draws.shape != shape or draws.dtype != np.float64:
        raise InputError(
            f"{path}: found {draws.dtype} of shape {draws.shape}, expected float64 of {shape}, "
            f"draws by scored findings; the {by} stage writes it"
        )
    return draws


def _read_curves(path: Path, kind: str) -> pd.DataFrame:
    text, *numbers = CURVES[kind]
    try:
        table = pd.read_csv(path, dtype={text: str, **dict.fromkeys(numbers, np.float64)})
    except (OSError, ValueError, pd.errors.ParserError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error).splitlines()[0]
        raise InputError(f"{path}: {reason}; the evaluate stage writes it") from None
    if missing := [column for column in CURVES[kind] if column not in table]:
        raise InputError(f"{path} lacks the column {missing[0]!r}; the evaluate stage writes it")
    return table
