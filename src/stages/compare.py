"""Put every recipe, pretrained network and published number into one report, protocols apart.

    python src/stages/compare.py

Reads   metrics/prepare.json, metrics/split/<split>.json
        metrics/<recipe>/{train,test}.json, plots/<recipe>/history.csv
        metrics/<external>/test.json
        data/published/{auroc,mean_auroc}.csv
        params.yaml: dataset, recipes, external
Writes  reports/comparison.md
        reports/comparison.html   one file that opens without a network
"""

import csv
import logging
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from chestxray14.comparison import compare
from chestxray14.errors import InputError
from chestxray14.outputs import write_text
from chestxray14.params import External, load_params
from chestxray14.published import read_published
from chestxray14.recipes import Recipe
from chestxray14.report import write_report
from chestxray14.results import (
    Epoch,
    Evaluated,
    Prepared,
    Run,
    SplitFacts,
    Trained,
    Training,
)
from chestxray14.stage import run

METRICS = Path("metrics")
PLOTS = Path("plots")
PUBLISHED = Path("data/published")
MARKDOWN = Path("reports/comparison.md")
PAGE = Path("reports/comparison.html")

Metrics = TypeVar("Metrics", bound=BaseModel)

log = logging.getLogger("compare")


def main() -> None:
    """Read what ran and what was published, compare, write."""
    params = load_params()
    path = METRICS / "prepare.json"
    prepared = _read_metrics(path, Prepared, stage="prepare")
    if prepared.dataset != params.dataset:
        raise InputError(
            f"{path} is of dataset {prepared.dataset!r}, params.yaml says {params.dataset!r}; "
            "run prepare again"
        )
    entries: dict[str, Recipe | External] = {**params.recipes, **params.external}
    runs = [_read_run(name, entry) for name, entry in entries.items()]
    report = write_report(compare(prepared, runs, read_published(PUBLISHED)))
    write_text(MARKDOWN, report.markdown)
    write_text(PAGE, report.html)
    log.info("report: %s", PAGE)


def _read_run(name: str, entry: Recipe | External) -> Run:
    """Return what the stages wrote about one recipe or pretrained network."""
    split_path, test_path = METRICS / f"split/{entry.split}.json", METRICS / name / "test.json"
    split = _read_metrics(split_path, SplitFacts, stage="split")
    evaluated = _read_metrics(test_path, Evaluated, stage="evaluate")
    if evaluated.split_sha256 != split.test.sha256:
        raise InputError(
            f"{test_path} was scored on other images than the test part of {split_path}; "
            "run predict and evaluate again"
        )
    return Run(
        name,
        protocol=entry.split,
        split=split,
        evaluated=evaluated,
        training=_read_training(name, entry) if isinstance(entry, Recipe) else None,
        pretrained="" if isinstance(entry, Recipe) else entry.start,
    )


def _read_training(name: str, recipe: Recipe) -> Training:
    trained = _read_metrics(METRICS / name / "train.json", Trained, stage="train")
    path = PLOTS / name / "history.csv"
    rows = csv.DictReader(_read(path, stage="train").splitlines())
    history = tuple(
        _parse(row, Epoch, path=f"{path}:{rows.line_num}", stage="train") for row in rows
    )
    if not history:
        raise InputError(f"{path} has no epoch; the train stage writes it")
    return Training(recipe, trained=trained, history=history)


def _read_metrics(path: Path, record: type[Metrics], *, stage: str) -> Metrics:
    return _parse(_read(path, stage=stage), record, path=path, stage=stage)


def _read(path: Path, *, stage: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: {reason}; the {stage} stage writes it") from None


def _parse(content: object, record: type[Metrics], *, path: Path | str, stage: str) -> Metrics:
    """Return a checked record from JSON text or from a row of a CSV file."""
    try:
        if isinstance(content, str):
            return record.model_validate_json(content)
        return record.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"])) or "the whole file"
        found = "" if problem["type"] == "missing" else f", found {str(problem['input'])[:80]!r}"
        raise InputError(
            f"{path}: {key}: {problem['msg']}{found}; the {stage} stage writes it"
        ) from None


if __name__ == "__main__":
    run(main)
