"""Assign every image to train, val or test by one protocol, and check it for leakage.

    python src/stages/split.py patient

Reads   data/packed/<dataset>/{index,lists,rejected}.csv, metrics/prepare.json
        params.yaml: splits.<protocol>
Writes  data/splits/<dataset>/<protocol>.csv   image, part
        metrics/split/<protocol>.json          images, patients, prevalence and hash of each part,
                                               and the version of the labels
"""

import logging
from pathlib import Path

import pandas as pd

from chestxray14.base.params import load_block
from chestxray14.base.stage import choose, run
from chestxray14.data.params import SPLIT, ListSplit, OfficialSplit, OwnSplit, RandomSplit
from chestxray14.data.splits import (
    PARTS,
    check_parts,
    count_mixed,
    describe_split,
    name_absent,
    require_patients,
    split_at_random,
    split_by_lists,
    split_by_table,
    split_officially,
)
from chestxray14.files.metrics import Prepared
from chestxray14.files.outputs import read_table, write_json, write_text
from chestxray14.files.packed import as_ids, read_index
from chestxray14.files.records import read_record
from chestxray14.files.skipped import write_skipped

log = logging.getLogger("split")


def main() -> None:
    """Read, assign, check, write."""
    name = choose(of="splits", doc=__doc__)
    protocol = load_block(f"splits.{name}", SPLIT)
    dataset = load_block("dataset", str)
    packed = Path(f"data/packed/{dataset}")
    output = Path(f"data/splits/{dataset}/{name}.csv")
    prepared = read_record(Path("metrics/prepare.json"), Prepared, by="prepare")

    index = read_index(packed / "index.csv")
    require_patients(index)
    # Rejected images are drawn too, so that one unreadable file moves nobody else.
    rejected = read_table(packed / "rejected.csv", by="prepare", columns=("image", "patient"))
    listed = pd.concat([index.astype({"patient": "str"}), rejected], ignore_index=True)
    listed = listed.assign(patient=as_ids(listed["patient"]))
    kind = prepared.protocol or protocol.kind
    facts: dict[str, object] = {"label_version": prepared.label_version}
    if prepared.protocol:
        protocol = OwnSplit(kind="own")
        log.info(
            "%s does not tell its patients: %s is the split that comes with it",
            *(dataset, name),
        )
    match protocol:
        case RandomSplit():
            parts = split_at_random(listed, protocol)
        case OfficialSplit():
            lists = read_table(packed / "lists.csv", by="prepare", columns=("image", "list"))
            if absent := name_absent(lists):
                reason = f"{absent}: not in the dataset, or of none of its images"
                write_skipped(reason, output, Path(f"metrics/split/{name}.json"))
                log.warning("%s is skipped: %s", name, reason)
                return
            parts = split_officially(listed, protocol, lists=lists)
        case OwnSplit():
            lists = read_table(packed / "lists.csv", by="prepare", columns=("image", "list"))
            parts = split_by_table(listed, lists=lists)
            if mixed := count_mixed(lists):
                facts["of_official_test"] = mixed
                log.warning(
                    "LEAK between protocols: %s images of the table's train and val parts are in "
                    "NIH's test list; score nothing there that was trained or chosen on %s",
                    *(f"{mixed:,}", name),
                )
        case ListSplit():
            parts = split_by_lists(listed, protocol)
    parts = parts[: len(index)]
    shared = check_parts(index, parts, leaky=kind == "image")
    metrics = describe_split(index, parts, kind=kind) | {
        "shared_patients": shared,
        **facts,
    }
    for part in PARTS:
        if unknown := metrics[part].get("unknown"):
            most = max(unknown, key=unknown.get)
            log.info("%s: up to %s labels unknown (%s)", part, f"{unknown[most]:,}", most)

    table = pd.DataFrame({"image": index["image"], "part": parts}).dropna().sort_values("image")
    write_text(output, table.to_csv(index=False, lineterminator="\n"))
    write_json(Path(f"metrics/split/{name}.json"), metrics)
    sizes = ", ".join(f"{part} {(parts == part).sum():,}" for part in PARTS)
    leak = f"; LEAKY on purpose: {shared:,} patients on more than one side" if shared else ""
    log.info("%s: %s images%s", output, sizes, leak)


if __name__ == "__main__":
    run(main)
