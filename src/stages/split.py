"""Assign every image to train, val or test by one protocol, and check it for leakage.

    python src/stages/split.py patient

Reads   data/packed/<dataset>/{index,lists,rejected}.csv
        params.yaml: splits.<protocol>
Writes  data/splits/<dataset>/<protocol>.csv   image, part
        metrics/split/<protocol>.json          images, patients, prevalence and hash of each part
"""

import json
import logging
from pathlib import Path

import pandas as pd

from chestxray14.outputs import read_table
from chestxray14.packed import read_index
from chestxray14.params import (
    ImageSplit,
    ListSplit,
    OfficialSplit,
    PatientSplit,
    load_params,
)
from chestxray14.splits import (
    PARTS,
    check_parts,
    describe_split,
    split_by_image,
    split_by_lists,
    split_by_patient,
    split_officially,
)
from chestxray14.stage import choose, run

log = logging.getLogger("split")


def main() -> None:
    """Read, assign, check, write."""
    params = load_params()
    name, protocol = choose(params.splits, of="splits", doc=__doc__)
    packed = Path(f"data/packed/{params.dataset}")

    index = read_index(packed / "index.csv")
    match protocol:
        case PatientSplit():
            parts = split_by_patient(index, protocol)
        case ImageSplit():
            parts = split_by_image(index, protocol)
        case OfficialSplit():
            lists = read_table(packed / "lists.csv", by="prepare", columns=("image", "list"))
            parts = split_officially(
                index,
                protocol,
                official=dict(zip(lists["image"], lists["list"], strict=True)),
                rejected=read_table(packed / "rejected.csv", by="prepare", columns=("image",))[
                    "image"
                ],
            )
        case ListSplit():
            parts = split_by_lists(index, protocol)
    shared = check_parts(index, parts, leaky=protocol.kind == "image")
    metrics = describe_split(index, parts, kind=protocol.kind) | {"shared_patients": shared}

    table = pd.DataFrame({"image": index["image"], "part": parts}).dropna().sort_values("image")
    output = Path(f"data/splits/{params.dataset}/{name}.csv")
    output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(output, index=False, lineterminator="\n")
    report = Path(f"metrics/split/{name}.json")
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(metrics, indent=2) + "\n")
    sizes = ", ".join(f"{part} {(parts == part).sum():,}" for part in PARTS)
    leak = f"; LEAKY on purpose: {shared:,} patients on more than one side" if shared else ""
    log.info("%s: %s images%s", output, sizes, leak)


if __name__ == "__main__":
    run(main)
