"""Fit age, sex, view and follow-up number alone, the floor that every network must beat.

    python src/stages/fit_metadata.py patient

Reads   data/packed/<dataset>/index.csv, data/splits/<dataset>/<split>.csv,
        metrics/split/<split>.json
        params.yaml: evaluate.draws, evaluate.seed
Writes  metrics/metadata/<split>.json   AUROC on the test part with 95 % intervals

Fitted on the train part; no pixel is read. The intervals are by whole patients, as a network's.
"""

import logging
from pathlib import Path

import numpy as np

from chestxray14.bootstrap import bootstrap_findings, draw_counts, interval
from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.metadata_floor import predict_from_metadata
from chestxray14.outputs import read_json, read_table, write_json
from chestxray14.packed import read_index
from chestxray14.params import load_params
from chestxray14.scores import DIGITS, auroc
from chestxray14.stage import choose, run

log = logging.getLogger("fit_metadata")


def main() -> None:
    """Fit, score, write."""
    params = load_params()
    name, _ = choose(params.splits, of="splits", doc=__doc__)
    index = read_index(Path(f"data/packed/{params.dataset}/index.csv"))
    path = Path(f"data/splits/{params.dataset}/{name}.csv")
    split = read_table(path, by="split", columns=("image", "part"))
    if unknown := len(set(split["image"]) - set(index["image"])):
        raise InputError(
            f"{path} names {unknown:,} images that the packed data lacks; run the split stage again"
        )
    described = read_json(Path(f"metrics/split/{name}.json"), by="split")

    part = index["image"].map(dict(zip(split["image"], split["part"], strict=True)))
    train, test = index[part == "train"], index[part == "test"]
    predicted = predict_from_metadata(train, test, seed=params.evaluate.seed)
    values = auroc(test[list(FINDINGS)], predicted)
    if not values:
        raise InputError(f"{path}: no finding is both present and absent in the test part")

    scored = [finding for finding in FINDINGS if finding in values]
    counts = draw_counts(
        test["patient"].to_numpy(), draws=params.evaluate.draws, seed=params.evaluate.seed
    )
    by_finding = bootstrap_findings(
        test[scored].to_numpy(np.uint8), predicted[scored].to_numpy(), counts
    )
    # A draw that lacks one of the findings has no mean: NaN, which the interval leaves out.
    draws = {"macro": by_finding.mean(axis=1), **dict(zip(scored, by_finding.T, strict=True))}
    bounds = {key: found for key in draws if (found := interval(draws[key]))}
    metrics = {
        "auroc": {key: round(value, DIGITS) for key, value in values.items()},
        "auroc_low": {key: round(low, DIGITS) for key, (low, _) in bounds.items()},
        "auroc_high": {key: round(high, DIGITS) for key, (_, high) in bounds.items()},
        "images": len(test),
        "patients": int(test["patient"].nunique()),
        "split_sha256": described["test"]["sha256"],
        "label_version": described["label_version"],
    }
    output = Path(f"metrics/metadata/{name}.json")
    write_json(output, metrics)
    log.info("%s: AUROC macro %.4f without a look at a pixel", output, values["macro"])


if __name__ == "__main__":
    run(main)
