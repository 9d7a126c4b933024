"""Score trained recipes on another dataset, on a CPU.

    python src/stages/evaluate_set.py chexpert

Reads   external_sets/<name>/<recipe>.csv, data/packed/<dataset>/index.csv of both datasets
        predictions/<recipe>/val.csv: thresholds and calibration stay those of the recipe
        metrics/prepare/<dataset>.json
        params.yaml: dataset, evaluate, external_sets.<name>
Writes  metrics/sets/<name>.json                                           what fits in a diff
        evaluations/sets/<name>/<recipe>/{detail.json,draws.npy,drift.json}  everything else
"""

import logging
from pathlib import Path
from typing import Any

from chestxray14.base.params import load_block
from chestxray14.base.scores import round_record
from chestxray14.base.stage import choose, run
from chestxray14.files.metrics import Prepared
from chestxray14.files.outputs import write_array, write_json, write_record
from chestxray14.files.packed import list_findings, read_index
from chestxray14.files.predictions import match, read_predictions
from chestxray14.files.records import read_record
from chestxray14.files.skipped import read_skipped, write_skipped
from chestxray14.scoring.params import Evaluate
from chestxray14.scoring.score import score
from chestxray14.scoring.summary import summarise_evaluation
from chestxray14.scoring.transfer import measure_drift

log = logging.getLogger("evaluate_set")


def main() -> None:
    """Match predictions with the other dataset's labels, score, write."""
    name = choose(of="external_sets", doc=__doc__)
    dataset = load_block(f"external_sets.{name}.dataset", str)
    prepared = read_record(Path(f"metrics/prepare/{dataset}.json"), Prepared, by="prepare_set")
    params = load_block("evaluate", Evaluate)
    # Other patients, and so draws of their own: not the same numbers as on the recipe's test part.
    params = params.model_copy(update={"seed": params.seed + 1})
    index = read_index(Path(f"data/packed/{dataset}/index.csv"))
    own = read_index(Path(f"data/packed/{load_block('dataset', str)}/index.csv"))

    metrics: dict[str, Any] = {}
    for recipe in load_block(f"external_sets.{name}.recipes", list[str]):
        path, output = Path(f"external_sets/{name}/{recipe}.csv"), Path(f"evaluations/sets/{name}")
        if reason := read_skipped(path):
            write_skipped(reason, output / recipe / "detail.json")
            metrics[recipe] = {"skipped": reason}
            continue
        table, _ = read_predictions(path, findings=list_findings(index))
        test = match(table, index, path=path)
        chosen_on = Path(f"predictions/{recipe}/val.csv")
        table, _ = read_predictions(chosen_on, findings=list_findings(own))
        val = match(table, own, path=chosen_on)
        scoring = score(test, val=val, params=params, label_version=prepared.label_version)
        drift = round_record(measure_drift(test, scoring.evaluation, seed=params.seed))
        write_array(output / recipe / "draws.npy", scoring.draws)
        write_record(output / recipe / "detail.json", scoring.evaluation)
        write_record(output / recipe / "drift.json", drift)
        metrics[recipe] = summarise_evaluation(scoring.evaluation)
        log.info("%s on %s: AUROC macro %.4f", recipe, name, metrics[recipe]["auroc"]["macro"])
    write_json(Path(f"metrics/sets/{name}.json"), metrics)


if __name__ == "__main__":
    run(main)
