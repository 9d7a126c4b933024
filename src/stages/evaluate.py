"""Score the predictions of one recipe, or anybody's prediction file, on a CPU.

    python src/stages/evaluate.py densenet121_step
    python src/stages/evaluate.py --predictions P.csv --labels Data_Entry_2017.csv --output DIR

Reads   predictions/<recipe>/test.csv, data/packed/<dataset>/index.csv, metrics/prepare.json,
        metrics/split/<split>.json
Writes  metrics/<recipe>/test.json, or DIR/test.json

A prediction file has the column `Image Index` and one column a finding, in any order, with or
without the prefix `prob_`.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.metadata import detect_label_version, name_some, read_labels
from chestxray14.outputs import read_json, write_json
from chestxray14.packed import read_index
from chestxray14.params import External, load_params
from chestxray14.predictions import read_predictions
from chestxray14.recipes import Recipe
from chestxray14.scores import DIGITS, auroc
from chestxray14.splits import hash_names
from chestxray14.stage import run

log = logging.getLogger("evaluate")


def main() -> None:
    """Match predictions with labels, score, write."""
    arguments = _parse_arguments()
    if arguments.recipe:
        params = load_params()
        scored: dict[str, Recipe | External] = {**params.recipes, **params.external}
        if arguments.recipe not in scored:
            raise InputError(
                f"params.yaml: neither recipes nor external has {arguments.recipe!r}; found "
                f"{sorted(scored)}"
            )
        split = scored[arguments.recipe].split
        expected = read_json(Path(f"metrics/split/{split}.json"), by="split")["test"]["sha256"]
        version = read_json(Path("metrics/prepare.json"), by="prepare")["label_version"]
        labels = read_index(Path(f"data/packed/{params.dataset}/index.csv"))
        path = Path(f"predictions/{arguments.recipe}/test.csv")
        output = Path(f"metrics/{arguments.recipe}/test.json")
    else:
        expected, path = None, arguments.predictions
        try:
            content = arguments.labels.read_bytes()
        except OSError as error:
            raise InputError(f"{arguments.labels}: {error.strerror}") from None
        labels = read_labels(content, name=str(arguments.labels))
        version = detect_label_version(labels)
        output = arguments.output / "test.json"

    predictions = read_predictions(path)
    found = hash_names(predictions.index)
    if expected and found != expected:
        raise InputError(f"{path} is not of the {split} split's test images; run predict again")
    metrics = _score(predictions, labels, path=path)
    metrics |= {"split_sha256": found, "label_version": version}
    write_json(output, metrics)
    scores = metrics["auroc"]
    log.info("%s: AUROC macro %.4f, micro %.4f", output, scores["macro"], scores["micro"])


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("recipe", nargs="?", help="a key of recipes or external in params.yaml")
    parser.add_argument("--predictions", type=Path, help="anybody's prediction file")
    parser.add_argument("--labels", type=Path, help="label file that names its images")
    parser.add_argument("--output", type=Path, help="folder for test.json")
    arguments = parser.parse_args()
    foreign = (arguments.predictions, arguments.labels, arguments.output)
    if bool(arguments.recipe) == any(foreign) or (any(foreign) and not all(foreign)):
        parser.error("give a recipe, or all of --predictions, --labels and --output")
    return arguments


def _score(predictions: pd.DataFrame, labels: pd.DataFrame, *, path: Path) -> dict[str, Any]:
    """Return AUROC and counts; say which findings are not scored."""
    labels = labels.set_index("image")
    unknown = [name for name in predictions.index if name not in labels.index]
    if unknown:
        raise InputError(
            f"{path} names {len(unknown):,} images without a label: {name_some(unknown)}"
        )
    labels = labels.loc[predictions.index]
    findings = tuple(predictions.columns)
    scores = auroc(labels[list(findings)], predictions, findings=findings)
    if not scores:
        raise InputError(f"{path}: no finding is both present and absent, nothing to score")
    if unscored := [finding for finding in FINDINGS if finding not in scores]:
        log.warning("not scored, not predicted or of one class only: %s", ", ".join(unscored))
    return {
        "auroc": {name: round(value, DIGITS) for name, value in scores.items()},
        "images": len(predictions),
        "patients": int(labels["patient"].nunique()),
    }


if __name__ == "__main__":
    run(main)
