"""Fit age, sex, view and follow-up number alone, the floor that every network must beat.

    python src/stages/fit_metadata.py

Reads   data/packed/<dataset>/index.csv, data/splits/<dataset>/<split>.csv,
        metrics/split/<split>.json
        params.yaml: dataset, evaluate.draws, evaluate.seed
Writes  metrics/metadata.json                     AUROC on the test part, by split
        evaluations/metadata/<split>.{json,npy}   its 95 % intervals, and each draw

Fitted on the train part of each split; no pixel is read. The intervals are by whole patients, as a
network's.
"""

import logging
from pathlib import Path

import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.base.params import list_names, load_block
from chestxray14.base.scores import DIGITS, auroc, round_record
from chestxray14.base.stage import run
from chestxray14.files.metrics import SplitFacts
from chestxray14.files.names import hash_names
from chestxray14.files.outputs import read_table, write_array, write_json, write_record
from chestxray14.files.packed import list_findings, read_index
from chestxray14.files.records import read_record
from chestxray14.files.skipped import read_skipped, write_skipped
from chestxray14.scoring.bootstrap import bootstrap_findings, draw_patients
from chestxray14.scoring.claims import estimate, suffice, suffice_for_mean
from chestxray14.scoring.metadata_floor import FloorScores, is_known, predict_from_metadata
from chestxray14.scoring.params import Evaluate

log = logging.getLogger("fit_metadata")


def main() -> None:
    """Fit, score, write, for one split after the other."""
    dataset = load_block("dataset", str)
    params = load_block("evaluate", Evaluate)
    index = read_index(Path(f"data/packed/{dataset}/index.csv"))
    metrics = {}
    for name in list_names("splits"):
        path = Path(f"data/splits/{dataset}/{name}.csv")
        reason = read_skipped(path)
        if not reason and not is_known(index):
            reason = "age, sex, view and follow-up number are not in this dataset"
        if reason:
            written = (f"evaluations/metadata/{name}{suffix}" for suffix in (".json", ".npy"))
            write_skipped(reason, *map(Path, written))
            log.warning("metadata of %s are skipped: %s", name, reason)
        metrics[name] = {"skipped": reason} if reason else _fit(index, path, params=params)
    write_json(Path("metrics/metadata.json"), metrics)


def _fit(index: pd.DataFrame, path: Path, *, params: Evaluate) -> dict[str, object]:
    """Write the scores of one split, and return those that fit in a diff."""
    name = path.stem
    split = read_table(path, by="split", columns=("image", "part"))
    if unknown := len(set(split["image"]) - set(index["image"])):
        raise InputError(
            f"{path} names {unknown:,} images that the packed data lacks; run the split stage again"
        )
    described = read_record(Path(f"metrics/split/{name}.json"), SplitFacts, by="split")

    part = index["image"].map(dict(zip(split["image"], split["part"], strict=True)))
    train, test = index[part == "train"], index[part == "test"]
    if hash_names(test["image"]) != described.test.sha256:
        raise InputError(
            f"{path} has other test images than metrics/split/{name}.json; run the split stage again"
        )
    findings = list(list_findings(index))
    predicted = predict_from_metadata(train, test, seed=params.seed, findings=findings)
    values = auroc(test[findings], predicted, findings=findings)
    if not values:
        raise InputError(f"{path}: no finding is both present and absent in the test part")

    scored = [finding for finding in findings if finding in values]
    labels = test[scored].to_numpy()
    resamples = draw_patients(test["patient"], draws=params.draws, seed=params.seed)
    draws, _ = bootstrap_findings(labels, predicted[scored].to_numpy(), resamples)
    patients = [resamples.count_rarer(column) for column in labels.T]
    # A draw that lacks one of the findings has no mean: NaN, which the interval leaves out.
    estimates = {
        "macro": estimate(
            values["macro"],
            draws.mean(axis=1),
            enough=suffice_for_mean(patients, in_all=test["patient"].nunique()),
        ),
        **{
            finding: estimate(values[finding], draws[:, i], enough=suffice(patients[i]))
            for i, finding in enumerate(scored)
        },
    }
    scores = round_record(
        FloorScores(
            estimates=estimates,
            patients=dict(zip(scored, patients, strict=True)),
            split_sha256=described.test.sha256,
            label_version=described.label_version,
        )
    )
    macro = scores.estimates["macro"]
    evaluations = Path("evaluations/metadata")
    write_array(evaluations / f"{name}.npy", draws)
    write_record(evaluations / f"{name}.json", scores)
    log.info("%s: AUROC macro %.4f without a look at a pixel", name, macro.value)
    return {
        "auroc": {key: round(value, DIGITS) for key, value in values.items()},
        "auroc_low": {} if macro.low is None else {"macro": macro.low},
        "auroc_high": {} if macro.high is None else {"macro": macro.high},
        "images": len(test),
        "patients": int(test["patient"].nunique()),
        "split_sha256": scores.split_sha256,
        "label_version": scores.label_version,
    }


if __name__ == "__main__":
    run(main)
