"""What the stages wrote, read and checked once."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chestxray14.base.errors import InputError, name_some, shorten
from chestxray14.files.likeness import Shown
from chestxray14.files.metrics import Prepared, SplitFacts, Trained
from chestxray14.files.records import read_record
from chestxray14.files.skipped import read_skipped
from chestxray14.localization.record import Localization, Outlined
from chestxray14.model.params import ExternalSet
from chestxray14.model.recipe import WholeRecipe, name_weights
from chestxray14.report.results import Floats, Pretrained, Results, Run, Scored, Transfer
from chestxray14.scoring.evaluation import Evaluation
from chestxray14.scoring.expert_scores import ExpertEvaluation
from chestxray14.scoring.metadata_floor import FloorScores
from chestxray14.scoring.transfer import Drift

CURVES = {
    "roc": ("finding", "false_positive_rate", "true_positive_rate"),
    "precision_recall": ("finding", "recall", "precision"),
    "reliability": ("calibration", "predicted", "observed"),
    "experts": ("finding", "set", "false_positive_rate", "true_positive_rate"),
    "history": ("epoch", "train_loss", "val_loss", "val_auroc"),
}
"""The tables of a run's curves with their columns."""

WORDS = ("finding", "set", "calibration")
"""The columns that are no numbers."""


def read_results(
    root: Path,
    *,
    dataset: str,
    draws: int,
    entries: Mapping[str, WholeRecipe | Pretrained],
    sets: Mapping[str, ExternalSet],
) -> Results:
    """Return what the stages wrote of the `entries` of params.yaml, and on other `sets`.

    Raises `InputError` for a file that is missing or malformed, of other images, labels or draws.
    """
    path = root / "metrics/prepare.json"
    prepared = read_record(path, Prepared, by="prepare")
    if prepared.dataset != dataset:
        raise InputError(
            f"{path} is of dataset {prepared.dataset!r}, params.yaml says {dataset!r}; "
            "run prepare again"
        )
    labels = prepared.label_version
    runs: dict[str, Run] = {}
    transfers: list[Transfer] = []
    skipped: dict[str, str] = {}
    for name, entry in entries.items():
        if reason := read_skipped(root / f"evaluations/{name}/detail.json"):
            skipped[name] = reason
        else:
            runs[name] = _read_run(root, name, entry, draws=draws, labels=labels)
    if skipped and not runs:
        reason = next(iter(skipped.values()))
        raise InputError(f"every recipe is skipped; {name_some(skipped)}: {reason}")
    if not runs:
        raise InputError("params.yaml: recipes is empty, there is nothing to compare")
    for name, chosen in sets.items():
        for recipe in chosen.recipes:
            folder = root / f"evaluations/sets/{name}/{recipe}"
            if reason := read_skipped(folder / "detail.json"):
                skipped[f"{recipe} on {name}"] = reason
            elif recipe in runs:
                transfers.append(_read_transfer(folder, name, runs[recipe], draws=draws))
    floors = {
        run.protocol: _read_floor(root, run, draws=draws, labels=labels)
        for run in runs.values()
        if not read_skipped(root / f"evaluations/metadata/{run.protocol}.json")
    }
    return Results(prepared, tuple(runs.values()), floors, skipped, tuple(transfers))


def _read_run(
    root: Path, name: str, entry: WholeRecipe | Pretrained, *, draws: int, labels: str
) -> Run:
    split = read_record(root / f"metrics/split/{entry.split}.json", SplitFacts, by="split")
    check = partial(_check_origin, split=split, protocol=entry.split, labels=labels)
    path = root / f"evaluations/{name}/detail.json"
    evaluation = read_record(path, Evaluation, by="evaluate")
    check(path, evaluation)
    findings = {name: evaluation.findings[name] for name in evaluation.scored}
    curves = {
        kind: _read_curves(root / f"plots/{name}/{kind}.csv", by="evaluate")
        for kind in ("roc", "precision_recall", "reliability")
    }
    experts = read_record(path.with_name("experts.json"), ExpertEvaluation, by="evaluate").root
    if experts:
        curves["experts"] = _read_curves(path.with_name("experts.csv"), by="evaluate")
    path = path.with_name("draws.npy")
    scored = Scored(
        {finding: scores.auroc.value for finding, scores in findings.items()},
        {finding: scores.patients for finding, scores in findings.items()},
        _read_draws(path, shape=(draws, len(findings)), by="evaluate"),
    )
    read = Run(
        name,
        protocol=entry.split,
        split=split,
        evaluation=evaluation,
        scored=scored,
        curves=curves,
        experts=experts,
        pretrained=name_weights(entry.weights) if isinstance(entry, Pretrained) else "",
    )
    if isinstance(entry, Pretrained):
        return read
    path = root / f"localizations/{name}/localization.json"
    localization = read_record(path, Localization, by="localize")
    check(path, localization)
    path, outlined = path.with_name("chestx_det.json"), None
    if path.exists():
        outlined = read_record(path, Outlined, by="localize")
        check(path, outlined.localization)
    curves["history"] = _read_curves(root / f"plots/{name}/history.csv", by="train")
    trained = read_record(root / f"metrics/{name}/train.json", Trained, by="train")
    shown = read_record(root / f"predictions/{name}/views.json", Shown, by="predict")
    return replace(
        read,
        recipe=entry,
        trained=trained,
        views=shown.views,
        localization=localization,
        outlined=outlined,
    )


def _read_transfer(folder: Path, name: str, run: Run, *, draws: int) -> Transfer:
    by = "evaluate_set"
    evaluation = read_record(folder / "detail.json", Evaluation, by=by)
    by_draw = _read_draws(folder / "draws.npy", shape=(draws, len(evaluation.scored)), by=by)
    drift = read_record(folder / "drift.json", Drift, by=by)
    return Transfer(name, run, evaluation, by_draw, drift)


def _read_floor(root: Path, run: Run, *, draws: int, labels: str) -> Scored:
    path = root / f"evaluations/metadata/{run.protocol}.json"
    scores = read_record(path, FloorScores, by="fit_metadata")
    _check_origin(path, scores, split=run.split, protocol=run.protocol, labels=labels)
    values = {name: found.value for name, found in scores.estimates.items() if name != "macro"}
    path = path.with_suffix(".npy")
    by_draw = _read_draws(path, shape=(draws, len(values)), by="fit_metadata")
    return Scored(values, scores.patients, by_draw)


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
    scored = () if isinstance(scores, Localization) else scores.scored
    if strange := [name for name in scored if name not in split.test.findings]:
        raise InputError(
            f"{path} scores {', '.join(strange)}, which the dataset has no labels of; run the "
            "stages after prepare again"
        )
    if scores.label_version != labels:
        raise InputError(
            f"{path}: found label_version {scores.label_version!r}, expected {labels!r} as in "
            "metrics/prepare.json; run the stages after prepare again"
        )


def _read_draws(path: Path, *, shape: tuple[int, int], by: str) -> Floats:
    """Return the AUROC of each draw (draws, scored findings), NaN where a draw has one class."""
    draws: Floats = _load(path, np.load, by=by, allow_pickle=False)
    if draws.shape != shape or draws.dtype != np.float64:
        raise InputError(
            f"{path}: found {draws.dtype} of shape {draws.shape}, expected float64 of {shape}, "
            f"draws by scored findings; the {by} stage writes it"
        )
    return draws


def _read_curves(path: Path, *, by: str) -> pd.DataFrame:
    columns = CURVES[path.stem]
    types = {column: str if column in WORDS else np.float64 for column in columns}
    table: pd.DataFrame = _load(path, pd.read_csv, by=by, dtype=types)
    if missing := [column for column in columns if column not in table]:
        raise InputError(f"{path} lacks the column {missing[0]!r}; the {by} stage writes it")
    # Radiologists of whom no finding has patients enough are scored without a curve.
    if table.empty and path.stem != "experts":
        raise InputError(f"{path} has no row; the {by} stage writes it")
    return table


def _load(path: Path, load: Callable[..., Any], *, by: str, **options: Any) -> Any:
    try:
        return load(path, **options)
    except (OSError, ValueError, EOFError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or shorten(error)
        raise InputError(f"{path}: {reason}; the {by} stage writes it") from None
