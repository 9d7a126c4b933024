"""Score the predictions of one recipe, or anybody's prediction file, on a CPU.

    python src/stages/evaluate.py densenet121_step
    python src/stages/evaluate.py --predictions P.csv --labels Data_Entry_2017.csv --output DIR

Reads   predictions/<recipe>/{train,val,test}.csv
        data/packed/<dataset>/{index,experts,readers}.csv
        metrics/split/<split>.json
        params.yaml: dataset, evaluate, the recipe's split
Writes  metrics/<recipe>/test.json                                      what fits in a diff
        evaluations/<recipe>/{detail.json,draws.npy}                    everything else
        evaluations/<recipe>/experts.{json,csv}                         against radiologists
        plots/<recipe>/{roc,precision_recall,reliability}.csv           curves

A prediction file has the column `Image Index` and one column a finding, in any order, with or
without the prefix `prob_`. Of anybody's file all goes to DIR, and more is said with
--validation V.csv (predictions for other images, that thresholds and calibration are chosen on),
--images LIST.txt (what should have been predicted), --against Q.csv (difference.json: P less Q,
paired) and --experts all_findings=test_labels.csv --readers test_individual_readers.csv
(experts.json: against radiologists; docs/radiologists.md has the sets).
"""

import argparse
import logging
from pathlib import Path

import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.base.params import list_names, load_block
from chestxray14.base.stage import run
from chestxray14.data.expert_files import read_expert_files
from chestxray14.data.labels import detect_label_version, read_labels, read_list
from chestxray14.files.experts import ExpertSet, read_sets
from chestxray14.files.foreign import read_foreign
from chestxray14.files.metrics import SplitFacts
from chestxray14.files.names import hash_names
from chestxray14.files.outputs import write_array, write_json, write_record, write_text
from chestxray14.files.packed import list_findings, read_index
from chestxray14.files.predictions import Predicted, match, read_predictions
from chestxray14.files.records import read_record
from chestxray14.files.skipped import read_skipped, write_skipped
from chestxray14.scoring.claims import choose_digits, p_text
from chestxray14.scoring.difference import subtract
from chestxray14.scoring.evaluation import NO_INTERVAL, TOO_NARROW, Difference
from chestxray14.scoring.experts import ExpertScoring, score_experts, write_experts
from chestxray14.scoring.foreign import check_apart, doubt, keep_common, match_foreign
from chestxray14.scoring.params import Evaluate
from chestxray14.scoring.score import Scoring, score
from chestxray14.scoring.summary import summarise_evaluation

CURVES = ("roc", "precision_recall", "reliability")
"""The tables in plots/<recipe>."""

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
    folder = Path(f"predictions/{name}")
    if reason := read_skipped(folder / "views.json"):
        written = (f"metrics/{name}/test.json", f"evaluations/{name}/detail.json")
        tables = [Path(f"plots/{name}/{curves}.csv") for curves in CURVES]
        write_skipped(reason, *map(Path, written), *tables)
        log.warning("%s is skipped: %s", name, reason)
        return
    split = read_record(Path(f"metrics/split/{protocol}.json"), SplitFacts, by="split")
    dataset = load_block("dataset", str)
    index = read_index(Path(f"data/packed/{dataset}/index.csv"))
    # A network that was trained elsewhere has not seen the training part.
    trained_here = blocks[name] == "recipes"
    parts = ("train", "val", "test") if trained_here else ("val", "test")
    predicted = {}
    for part in parts:
        path = folder / f"{part}.csv"
        table, others = read_predictions(path, findings=list_findings(index))
        if others:
            raise InputError(
                f"{path} predicts what the dataset {dataset} has no finding of: "
                f"{', '.join(others)}; run train again"
            )
        predicted[part] = match(table, index, path=path)
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
    doubts = doubt(folder / "test.csv", predicted["test"], index)
    scoring = score(
        predicted["test"],
        val=predicted["val"],
        train=predicted.get("train"),
        params=params,
        label_version=split.label_version,
        doubts=doubts,
    )
    detail = Path(f"evaluations/{name}")
    sets = read_sets(Path(f"data/packed/{dataset}"))
    test, val = predicted["test"], predicted["val"]
    means = _score_experts(detail, sets, test=test, val=val, params=params)
    _write(
        scoring,
        means=means,
        metrics=Path(f"metrics/{name}"),
        detail=detail,
        plots=Path(f"plots/{name}"),
    )


def _evaluate_foreign(arguments: argparse.Namespace, params: Evaluate) -> None:
    """Score anybody's file; say what it lacks and what it has too much of."""
    labels = read_labels(read_foreign(arguments.labels), name=str(arguments.labels))
    version = detect_label_version(labels)
    experts = read_expert_files(arguments.experts, arguments.readers, known=labels)
    listed = None
    if arguments.images:
        names = read_list(read_foreign(arguments.images), name=str(arguments.images))
        listed = arguments.images, names
    test = match_foreign(arguments.predictions, labels, listed=listed)
    doubts = doubt(arguments.predictions, test, labels)
    val = other = None
    if arguments.validation:
        val = match_foreign(arguments.validation, labels)
        doubt(arguments.validation, val, labels)
    if arguments.against:
        other = match_foreign(arguments.against, labels, listed=listed)
        doubt(arguments.against, other, labels)
        test, other = keep_common(test, other)
    if val is not None:
        check_apart(test, val, path=arguments.validation)
    output = arguments.output
    scoring = score(test, val=val, params=params, label_version=version, doubts=doubts)
    if other is not None:
        told = subtract(scoring, score(other, params=params, label_version=version))
        write_record(output / "difference.json", told)
        log.info(
            "%s less %s over %d shared findings: macro %s",
            *(arguments.predictions, arguments.against, told.findings),
            _describe(told.differences["macro"]),
        )
    means: dict[str, object] = {}
    if experts:
        log.warning(
            "%s: whether its network was trained on the experts' images cannot be known here",
            arguments.predictions,
        )
        means = _score_experts(output, experts, test=test, val=val, params=params)
    _write(scoring, means=means, metrics=output, detail=output, plots=output)


def _describe(difference: Difference) -> str:
    """Return a difference in words for the log."""
    if difference.p is None:
        return f"{difference.value:+.2f}, {NO_INTERVAL}"
    shown = f"+.{choose_digits([difference])}f"
    bounds = f"{difference.low:{shown}} to {difference.high:{shown}}"
    return f"{difference.value:{shown}} ({bounds}), p {p_text(difference.p)}"


def _write(
    scoring: Scoring, *, means: dict[str, object], metrics: Path, detail: Path, plots: Path
) -> None:
    evaluation = scoring.evaluation
    write_array(detail / "draws.npy", scoring.draws)
    write_record(detail / "detail.json", evaluation)
    for name in CURVES:
        table: pd.DataFrame = getattr(scoring, name)
        write_text(plots / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    summary = summarise_evaluation(evaluation) | ({"experts": means} if means else {})
    if not evaluation.patients:
        summary["intervals"] = TOO_NARROW
    write_json(metrics / "test.json", summary)
    if evaluation.one_class:
        log.warning("not scored, of one class only: %s", ", ".join(evaluation.one_class))
    macro, micro = evaluation.auroc["macro"], evaluation.auroc["micro"]
    digits = choose_digits([macro])
    bounds = "" if macro.low is None else f" ({macro.low:.{digits}f} to {macro.high:.{digits}f})"
    if bounds and not evaluation.patients:
        bounds = f"{bounds[:-1]}, {TOO_NARROW})"
    path = metrics / "test.json"
    told = path, digits, macro.value, bounds, digits, micro.value
    log.info("%s: AUROC macro %.*f%s, micro %.*f", *told)


def _score_experts(
    output: Path,
    experts: list[ExpertSet],
    *,
    test: Predicted,
    val: Predicted | None,
    params: Evaluate,
) -> dict[str, object]:
    """Score against each set of radiologists, write; say what is not scored, return the means."""
    scored: dict[str, ExpertScoring] = {}
    for each in experts:
        found = score_experts(test, each, val=val, params=params)
        if not found.scores:
            log.warning("experts %s: shares no image with the predictions", each.name)
            continue
        scored[each.name] = found
        if rare := [finding for finding, one in found.scores.items() if one.auroc is None]:
            log.warning("experts %s: too few patients, not scored: %s", each.name, ", ".join(rare))
        if found.means:
            log.info(
                "experts %s: AUROC against radiologists less against the labels, %d findings: %s",
                *(each.name, len(found.means.findings), _describe(found.means.difference)),
            )
    write_experts(output, scored)
    return {
        name: found.means.model_dump(exclude_none=True)
        for name, found in scored.items()
        if found.means
    }


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
    for name, what in (("experts", "labels"), ("readers", "single readings of a set")):
        told = f"radiologists' {what}, its name first"
        parser.add_argument(
            f"--{name}", metavar="NAME=FILE", action="append", default=[], help=told
        )
    arguments = parser.parse_args()
    needed = (arguments.predictions, arguments.labels, arguments.output)
    more = (
        *(arguments.validation, arguments.images, arguments.against),
        *(arguments.experts, arguments.readers),
    )
    if any((*needed, *more)) if arguments.recipe else not all(needed):
        parser.error("give a recipe, or all of --predictions, --labels and --output")
    return arguments


if __name__ == "__main__":
    run(main)
