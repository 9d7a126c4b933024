"""Score the predictions of one recipe, or anybody's prediction file, on a CPU.

    python src/stages/evaluate.py densenet121_step
    python src/stages/evaluate.py --predictions P.csv --labels Data_Entry_2017.csv --output DIR

Reads   predictions/<recipe>/{train,val,test}.csv, data/packed/<dataset>/index.csv
        metrics/split/<split>.json
        params.yaml: dataset, evaluate, the recipe's split
Writes  metrics/<recipe>/test.json                                      what fits in a diff
        evaluations/<recipe>/{detail.json,draws.npy}                    everything else
        plots/<recipe>/{roc,precision_recall,reliability}.csv           curves

A prediction file has the column `Image Index` and one column a finding, in any order, with or
without the prefix `prob_`. Of anybody's file all goes to DIR, and more is said with
--validation V.csv (predictions for other images, that thresholds and calibration are chosen on),
--images LIST.txt (what should have been predicted) and --against Q.csv (difference.json: P less Q,
paired).
"""

import argparse
import io
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from chestxray14.base.errors import InputError, name_some
from chestxray14.base.findings import FINDINGS, NO_FINDING
from chestxray14.base.params import list_names, load_block
from chestxray14.base.stage import run
from chestxray14.data.labels import detect_label_version, read_labels, read_list
from chestxray14.files.metrics import SplitFacts
from chestxray14.files.names import hash_names
from chestxray14.files.outputs import write_bytes, write_json, write_text
from chestxray14.files.packed import read_index
from chestxray14.files.predictions import Predicted, match, read_predictions
from chestxray14.files.records import read_record
from chestxray14.scoring.claims import p_text
from chestxray14.scoring.difference import subtract
from chestxray14.scoring.evaluation import Difference
from chestxray14.scoring.params import Evaluate
from chestxray14.scoring.plausibility import list_doubts, refuse_labels
from chestxray14.scoring.score import Scoring, score, summarise_evaluation

log = logging.getLogger("evaluate")


def main() -> None:
    """Match predictions with labels, score, write."""
    arguments = _parse_arguments()
    params = load_block("evaluate", Evaluate)
    if arguments.recipe:
        _evaluate(arguments.recipe, params)
    else:
        _evaluate_foreign(arguments, params)


def _evaluate(name: str, params: Evaluate) -> None:
    """Score one recipe or pretrained network of params.yaml."""
    blocks = {name: block for block in ("external", "recipes") for name in list_names(block)}
    if name not in blocks:
        raise InputError(
            f"params.yaml: neither recipes nor external has {name!r}; found {sorted(blocks)}"
        )
    protocol = load_block(f"{blocks[name]}.{name}.split", str)
    split = read_record(Path(f"metrics/split/{protocol}.json"), SplitFacts, by="split")
    dataset = load_block("dataset", str)
    index = read_index(Path(f"data/packed/{dataset}/index.csv"))
    folder = Path(f"predictions/{name}")
    # A network that was trained elsewhere has not seen the training part.
    trained_here = blocks[name] == "recipes"
    parts = ("train", "val", "test") if trained_here else ("val", "test")
    predicted = {}
    for part in parts:
        path = folder / f"{part}.csv"
        predicted[part] = match(read_predictions(path)[0], index, path=path)
        if predicted[part].findings != predicted[parts[0]].findings:
            raise InputError(
                f"{path} predicts other findings than {parts[0]}.csv beside it; run predict again"
            )
    for part, described in (("val", split.val), ("test", split.test)):
        if hash_names(predicted[part].known["image"]) != described.sha256:
            raise InputError(
                f"{folder}/{part}.csv is not of the {part} part of split {protocol}; "
                "run predict again"
            )
    doubts = _look(folder / "test.csv", predicted["test"], index)
    scoring = score(
        predicted["test"],
        val=predicted["val"],
        train=predicted.get("train"),
        params=params,
        label_version=split.label_version,
        doubts=doubts,
    )
    _write(
        scoring,
        metrics=Path(f"metrics/{name}"),
        detail=Path(f"evaluations/{name}"),
        plots=Path(f"plots/{name}"),
    )


def _evaluate_foreign(arguments: argparse.Namespace, params: Evaluate) -> None:
    """Score anybody's file; say what it lacks and what it has too much of."""
    labels = read_labels(_read_bytes(arguments.labels), name=str(arguments.labels))
    version = detect_label_version(labels)
    test = _read_foreign(arguments.predictions, labels, expected=arguments.images)
    doubts = _look(arguments.predictions, test, labels)
    val = other = None
    if arguments.validation:
        val = _read_foreign(arguments.validation, labels)
        _look(arguments.validation, val, labels)
    if arguments.against:
        other = _read_foreign(arguments.against, labels, expected=arguments.images)
        _look(arguments.against, other, labels)
        test, other = _both(test, other)
    if val is not None:
        _check_apart(test, val, path=arguments.validation)
    output = arguments.output
    scoring = score(test, val=val, params=params, label_version=version, doubts=doubts)
    if other is not None:
        told = subtract(scoring, score(other, params=params, label_version=version))
        write_text(
            output / "difference.json", told.model_dump_json(indent=1, exclude_none=True) + "\n"
        )
        log.info(
            "%s less %s over %d shared findings: macro %s",
            *(arguments.predictions, arguments.against, told.findings),
            _describe(told.differences["macro"]),
        )
    _write(scoring, metrics=output, detail=output, plots=output)


def _read_foreign(path: Path, known: pd.DataFrame, *, expected: Path | None = None) -> Predicted:
    """Return predictions with what is known of their images; say what is left out or missing."""
    table, others = read_predictions(path)
    derived = [name for name in others if name.removeprefix("prob_") == NO_FINDING]
    if derived:
        log.warning(
            "%s: %s is not read: it is derived where all 14 findings are predicted",
            *(path, NO_FINDING),
        )
    if foreign := [name for name in others if name not in derived]:
        log.warning("%s: left out, no findings: %s", path, ", ".join(foreign))
    if missing := [finding for finding in FINDINGS if finding not in table]:
        log.warning("%s: not predicted, not scored: %s", path, ", ".join(missing))
    if expected:
        names = read_list(_read_bytes(expected), name=str(expected))
        if absent := sorted(set(names) - set(table.index)):
            log.warning(
                "%s lacks %d of the %d images of %s, scored without them: %s",
                *(path, len(absent), len(names), expected, name_some(absent)),
            )
        if more := sorted(set(table.index) - set(names)):
            log.warning(
                "%s: left out, not in %s: %d images, %s",
                *(path, expected, len(more), name_some(more)),
            )
        table = table[table.index.isin(names)]
    return match(table, known, path=path)


def _look(path: Path, predicted: Predicted, known: pd.DataFrame) -> tuple[str, ...]:
    """Refuse a file that holds labels; say and return what else is doubtful about its numbers."""
    refuse_labels(predicted, name=str(path))
    doubts = list_doubts(predicted, listed=known["image"].to_list())
    for doubt in doubts:
        log.warning("%s: %s", path, doubt)
    return doubts


def _check_apart(test: Predicted, val: Predicted, *, path: Path) -> None:
    """Refuse validation images that are scored; say which patients and findings are doubtful."""
    images = set(test.known["image"]) & set(val.known["image"])
    if images:
        raise InputError(
            f"{path} has {len(images):,} images of the scored file: {name_some(sorted(images))}; "
            "thresholds and calibration must come from others"
        )
    if patients := len(set(test.known["patient"]) & set(val.known["patient"])):
        log.warning(
            "%s shares %d patients with the scored file, which flatters what is chosen on it",
            *(path, patients),
        )
    if without := [name for name in test.columns if name not in val.columns]:
        log.warning(
            "%s: of one class only or not predicted, so no threshold, no calibration: %s",
            *(path, ", ".join(without)),
        )


def _describe(difference: Difference) -> str:
    """Return a difference in words for the log."""
    if difference.p is None:
        return f"{difference.value:+.4f}, too few patients for an interval"
    bounds = f"{difference.low:+.4f} to {difference.high:+.4f}"
    return f"{difference.value:+.4f} ({bounds}), p {p_text(difference.p)}"


def _write(scoring: Scoring, *, metrics: Path, detail: Path, plots: Path) -> None:
    evaluation = scoring.evaluation
    draws = io.BytesIO()
    np.save(draws, scoring.draws, allow_pickle=False)
    write_bytes(detail / "draws.npy", draws.getvalue())
    write_text(
        detail / "detail.json", evaluation.model_dump_json(indent=1, exclude_none=True) + "\n"
    )
    for name in ("roc", "precision_recall", "reliability"):
        table: pd.DataFrame = getattr(scoring, name)
        write_text(plots / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    write_json(metrics / "test.json", summarise_evaluation(evaluation))
    if evaluation.one_class:
        log.warning("not scored, of one class only: %s", ", ".join(evaluation.one_class))
    macro, micro = evaluation.auroc["macro"], evaluation.auroc["micro"]
    bounds = "" if macro.low is None else f" ({macro.low:.4f} to {macro.high:.4f})"
    path = metrics / "test.json"
    log.info("%s: AUROC macro %.4f%s, micro %.4f", path, macro.value, bounds, micro.value)


def _both(first: Predicted, second: Predicted) -> tuple[Predicted, Predicted]:
    """Return two networks' predictions for the images that both predict; say how many are not."""
    names = [set(each.known["image"]) for each in (first, second)]
    if alone := len(names[0] ^ names[1]):
        log.warning("left out of both files: %d images that only one of them predicts", alone)
    common = names[0] & names[1]
    if not common:
        raise InputError("--predictions and --against have no image in common")
    return first.restrict(common), second.restrict(common)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", nargs="?", help="a key of recipes or external in params.yaml")
    parser.add_argument("--predictions", type=Path, help="anybody's prediction file")
    parser.add_argument("--labels", type=Path, help="label file that names its images")
    parser.add_argument("--output", type=Path, help="folder for what is written")
    parser.add_argument("--validation", type=Path, help="the same network's, of other images")
    parser.add_argument("--images", type=Path, help="list of the images to score, one a line")
    parser.add_argument("--against", type=Path, help="another network's prediction file")
    arguments = parser.parse_args()
    needed = (arguments.predictions, arguments.labels, arguments.output)
    more = (arguments.validation, arguments.images, arguments.against)
    if any((*needed, *more)) if arguments.recipe else not all(needed):
        parser.error("give a recipe, or all of --predictions, --labels and --output")
    return arguments


if __name__ == "__main__":
    run(main)
