"""Put every recipe, pretrained network and published number into one report, protocols apart.

    python src/stages/compare.py

Reads   metrics/prepare.json, metrics/split/<split>.json
        evaluations/<recipe>/{detail.json,draws.npy}, evaluations/metadata/<split>.{json,npy}
        plots/<recipe>/{roc,precision_recall,reliability}.csv
        metrics/<recipe>/train.json, plots/<recipe>/history.csv; neither for an <external>
        localizations/<recipe>/{localization.json,overlays}; neither for an <external>
        evaluations/sets/<set>/<recipe>/{detail.json,draws.npy,drift.json}
        predictions/<recipe>/test.csv, data/packed/<dataset>/{index.csv,images.npy}: the examples
        data/published/{auroc,mean_auroc,precision_recall_f1,localization}.csv
        params.yaml: dataset, evaluate, recipes, external, external_sets
Writes  reports/comparison.md
        reports/comparison.html   one file that opens without a network
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chestxray14.base.errors import InputError, name_some
from chestxray14.base.params import load_block
from chestxray14.base.stage import run
from chestxray14.files.metrics import Prepared, SplitFacts, Trained
from chestxray14.files.outputs import write_text
from chestxray14.files.packed import list_findings, open_images, read_index
from chestxray14.files.predictions import match, read_predictions
from chestxray14.files.records import read_record, read_rows
from chestxray14.files.skipped import read_skipped
from chestxray14.localization.record import Localization
from chestxray14.model.params import ExternalSet
from chestxray14.model.recipe import WholeRecipe
from chestxray14.report.comparison import compare
from chestxray14.report.examples import Example, choose_examples, show_example
from chestxray14.report.localization_examples import Overlay, choose_overlays, show_overlay
from chestxray14.report.published import read_decisions, read_published
from chestxray14.report.published_localization import read_localization
from chestxray14.report.report import write_report
from chestxray14.report.results import Curves, Epoch, Floor, Pretrained, Run, Training, Transfer
from chestxray14.scoring.evaluation import Evaluation
from chestxray14.scoring.metadata_floor import FloorScores
from chestxray14.scoring.params import Evaluate
from chestxray14.scoring.transfer import Drift

METRICS = Path("metrics")
EVALUATIONS = Path("evaluations")
SETS = EVALUATIONS / "sets"
LOCALIZATIONS = Path("localizations")
PLOTS = Path("plots")
PREDICTIONS = Path("predictions")
PACKED = Path("data/packed")
PUBLISHED = Path("data/published")
MARKDOWN = Path("reports/comparison.md")
PAGE = Path("reports/comparison.html")

EXAMPLES = 8
"""Radiographs in the page."""

CURVES = {
    "roc": ("finding", "false_positive_rate", "true_positive_rate"),
    "precision_recall": ("finding", "precision", "recall"),
    "reliability": ("calibration", "predicted", "observed", "labels"),
}
"""The tables of a run's curves; the first column of each is words, the others are numbers."""

log = logging.getLogger("compare")


def main() -> None:
    """Read what ran and what was published, compare, write."""
    dataset = load_block("dataset", str)
    scoring = load_block("evaluate", Evaluate)
    path = METRICS / "prepare.json"
    prepared = read_record(path, Prepared, by="prepare")
    if prepared.dataset != dataset:
        raise InputError(
            f"{path} is of dataset {prepared.dataset!r}, params.yaml says {dataset!r}; "
            "run prepare again"
        )
    entries: dict[str, WholeRecipe | Pretrained] = {
        **load_block("recipes", dict[str, WholeRecipe]),
        **load_block("external", dict[str, Pretrained]),
    }
    draws = scoring.draws
    reasons = {name: read_skipped(EVALUATIONS / name / "detail.json") for name in entries}
    skipped = {name: reason for name, reason in reasons.items() if reason}
    for name, reason in skipped.items():
        log.warning("%s is skipped: %s", name, reason)
    if len(skipped) == len(entries):
        raise InputError(
            f"every recipe is skipped; {name_some(skipped)}: {next(iter(skipped.values()))}"
        )
    runs = [
        _read_run(name, entry, draws=draws, labels=prepared.label_version)
        for name, entry in entries.items()
        if name not in skipped
    ]
    comparison = compare(
        prepared,
        runs,
        read_published(PUBLISHED),
        floors={
            run.protocol: _read_floor(run, draws=draws, labels=prepared.label_version)
            for run in runs
            if read_skipped(EVALUATIONS / f"metadata/{run.protocol}.json") is None
        },
        decisions=read_decisions(PUBLISHED),
        localization=read_localization(PUBLISHED),
        skipped=skipped | _skipped_sets(),
        transfers=_read_transfers({run.name: run for run in runs}, draws=draws),
    )
    leader = comparison.honest[0].leader
    examples = _read_examples(leader, dataset=dataset, seed=scoring.seed)
    report = write_report(comparison, examples=examples, overlays=_read_overlays(leader))
    write_text(MARKDOWN, report.markdown)
    write_text(PAGE, report.html)
    log.info("report: %s", PAGE)


def _read_run(name: str, entry: WholeRecipe | Pretrained, *, draws: int, labels: str) -> Run:
    """Return what the stages wrote about one recipe or pretrained network."""
    split = read_record(METRICS / f"split/{entry.split}.json", SplitFacts, by="split")
    path = EVALUATIONS / name / "detail.json"
    evaluation = read_record(path, Evaluation, by="evaluate")
    _check_origin(path, evaluation, split=split, protocol=entry.split, labels=labels)
    localization = None
    if isinstance(entry, WholeRecipe):
        path = LOCALIZATIONS / name / "localization.json"
        localization = read_record(path, Localization, by="localize")
        _check_origin(path, localization, split=split, protocol=entry.split, labels=labels)
    return Run(
        name,
        protocol=entry.split,
        split=split,
        evaluation=evaluation,
        draws=_read_draws(
            EVALUATIONS / name / "draws.npy", shape=(draws, len(evaluation.scored)), by="evaluate"
        ),
        curves=Curves(**{kind: _read_curves(name, kind) for kind in CURVES}),
        training=_read_training(name, entry) if isinstance(entry, WholeRecipe) else None,
        localization=localization,
        pretrained="" if isinstance(entry, WholeRecipe) else entry.start,
    )


def _skipped_sets() -> dict[str, str]:
    """Return why a recipe was not tested on another dataset, where it was not."""
    sets = load_block("external_sets", dict[str, ExternalSet])
    reasons = {
        f"{recipe} on {name}": read_skipped(SETS / name / recipe / "detail.json")
        for name, chosen in sets.items()
        for recipe in chosen.recipes
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _read_transfers(runs: dict[str, Run], *, draws: int) -> list[Transfer]:
    """Return what recipes reach on the other datasets of params.yaml."""
    transfers = []
    for name, chosen in load_block("external_sets", dict[str, ExternalSet]).items():
        for recipe in chosen.recipes:
            folder = SETS / name / recipe
            if recipe not in runs or read_skipped(folder / "detail.json"):
                continue
            evaluation = read_record(folder / "detail.json", Evaluation, by="evaluate_set")
            shape = (draws, len(evaluation.scored))
            transfers.append(
                Transfer(
                    name,
                    run=runs[recipe],
                    evaluation=evaluation,
                    draws=_read_draws(folder / "draws.npy", shape=shape, by="evaluate_set"),
                    drift=read_record(folder / "drift.json", Drift, by="evaluate_set"),
                )
            )
    return transfers


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
            f"{METRICS / f'split/{protocol}.json'}; run the stages after split again"
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
            f"{METRICS / 'prepare.json'}; run the stages after prepare again"
        )


def _read_draws(path: Path, *, shape: tuple[int, int], by: str) -> NDArray[np.float64]:
    """Return the AUROC of each draw (draws, scored findings), NaN where a draw has one class."""
    try:
        draws: NDArray[np.float64] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "not an array"
        raise InputError(f"{path}: {reason}; the {by} stage writes it") from None
    if draws.shape != shape or draws.dtype != np.float64:
        raise InputError(
            f"{path}: found {draws.dtype} of shape {draws.shape}, expected float64 of {shape}, "
            f"draws by scored findings; the {by} stage writes it"
        )
    return draws


def _read_curves(name: str, kind: str) -> pd.DataFrame:
    path = PLOTS / name / f"{kind}.csv"
    text, *numbers = CURVES[kind]
    try:
        table = pd.read_csv(path, dtype={text: str, **dict.fromkeys(numbers, np.float64)})
    except (OSError, ValueError, pd.errors.ParserError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error).splitlines()[0]
        raise InputError(f"{path}: {reason}; the evaluate stage writes it") from None
    if missing := [column for column in CURVES[kind] if column not in table]:
        raise InputError(f"{path} lacks the column {missing[0]!r}; the evaluate stage writes it")
    return table


def _read_floor(run: Run, *, draws: int, labels: str) -> Floor:
    """Return what metadata alone reaches on a run's split."""
    path = EVALUATIONS / f"metadata/{run.protocol}.json"
    scores = read_record(path, FloorScores, by="fit_metadata")
    _check_origin(path, scores, split=run.split, protocol=run.protocol, labels=labels)
    shape = draws, len(scores.scored)
    return Floor(
        scores.estimates,
        draws=_read_draws(path.with_suffix(".npy"), shape=shape, by="fit_metadata"),
    )


def _read_examples(leader: Run, *, dataset: str, seed: int) -> list[Example]:
    """Return some test images with what the leading recipe predicts."""
    path = PREDICTIONS / leader.name / "test.csv"
    known = read_index(PACKED / dataset / "index.csv")
    probabilities, _ = read_predictions(path, findings=list_findings(known))
    labels = match(probabilities, known, path=path).known.set_index("image")
    rows = labels["row"].to_dict()
    images = open_images(PACKED / dataset / "images.npy")
    return [
        show_example(name, images[rows[name]], labels=labels, probabilities=probabilities)
        for name in choose_examples(labels, count=EXAMPLES, seed=seed)
    ]


def _read_overlays(leader: Run) -> list[Overlay]:
    """Return some pictures of the leader's heatmaps, nothing where it has none."""
    overlays = []
    for shown in choose_overlays(leader.localization.shown if leader.localization else []):
        path = LOCALIZATIONS / leader.name / "overlays" / shown.file
        try:
            overlays.append(show_overlay(shown, path.read_bytes()))
        except MemoryError:
            raise
        except Exception as error:
            reason = (isinstance(error, OSError) and error.strerror) or "no readable JPEG"
            raise InputError(f"{path}: {reason}; the localize stage writes it") from None
    return overlays


def _read_training(name: str, recipe: WholeRecipe) -> Training:
    trained = read_record(METRICS / name / "train.json", Trained, by="train")
    path = PLOTS / name / "history.csv"
    history = read_rows(path, Epoch, by="train")
    if not history:
        raise InputError(f"{path} has no epoch; the train stage writes it")
    return Training(recipe, trained=trained, history=history)


if __name__ == "__main__":
    run(main)
