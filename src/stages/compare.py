"""Put every recipe and every published number into one report, protocols kept apart.

    python src/stages/compare.py

Reads   metrics/prepare.json, metrics/split/<split>.json
        metrics/<recipe>/{train,test}.json, plots/<recipe>/history.csv
        data/published/{auroc,mean_auroc}.csv
        params.yaml: dataset, recipes
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
from chestxray14.params import Recipe, load_params
from chestxray14.published import read_published
from chestxray14.report import write_report
from chestxray14.results import Epoch, Evaluated, Prepared, Run, SplitFacts, Trained
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
    prepared = _parse(_read(path, stage="prepare"), Prepared, path=path, stage="prepare")
    if prepared.dataset != params.dataset:
        raise InputError(
            f"{path} is of dataset {prepared.dataset!r}, params.yaml says {params.dataset!r}; "
            "run prepare again"
        )
    runs = [_read_run(name, recipe) for name, recipe in params.recipes.items()]
    report = write_report(compare(prepared, runs, read_published(PUBLISHED)))
    write_text(MARKDOWN, report.markdown)
    write_text(PAGE, report.html)
    log.info("report: %s", PAGE)


def _read_run(name: str, recipe: Recipe) -> Run:
    """Return what the split, train and evaluate stages wrote about one recipe."""
    split_path = METRICS / "split" / f"{recipe.split}.json"
    train_path, test_path = METRICS / name / "train.json", METRICS / name / "test.json"
    split = _parse(_read(split_path, stage="split"), SplitFacts, path=split_path, stage="split")
    trained = _parse(_read(train_path, stage="train"), Trained, path=train_path, stage="train")
    evaluated = _parse(
        _read(test_path, stage="evaluate"), Evaluated, path=test_path, stage="evaluate"
    )
    if evaluated.split_sha256 != split.test.sha256:
        raise InputError(
            f"{test_path} was scored on other images than the test part of {split_path}; "
            "run predict and evaluate again"
        )
    history_path = PLOTS / name / "history.csv"
    rows = csv.DictReader(_read(history_path, stage="train").splitlines())
    history = tuple(
        _parse(row, Epoch, path=f"{history_path}:{rows.line_num}", stage="train") for row in rows
    )
    if not history:
        raise InputError(f"{history_path} has no epoch; the train stage writes it")
    return Run(name, recipe, split=split, trained=trained, evaluated=evaluated, history=history)


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
