"""Decode every radiograph once into one packed array, and parse the label file.

    python src/stages/prepare.py

Reads   data/raw/<dataset>.json and the raw data it describes
Writes  data/packed/<dataset>/images.npy    (N, P, P) uint8
        data/packed/<dataset>/index.csv     what each row shows, with the CRC-32 of its pixels
        data/packed/<dataset>/lists.csv     NIH's official lists, where the dataset has them
        data/packed/<dataset>/rejected.csv  images that could not be read, and why
        metrics/prepare.json
"""

import csv
import json
import logging
import os
from pathlib import Path

import pandas as pd
from chestxray14.phantom import draw_cohort

from chestxray14.archive import Archive, open_archive
from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.metadata import detect_label_version, read_labels, read_list
from chestxray14.outputs import read_json
from chestxray14.packed import INDEX_COLUMNS, pack_images
from chestxray14.params import Params, Phantom, load_params
from chestxray14.progress import track
from chestxray14.raw import RAW_VARIABLE, locate
from chestxray14.stage import run

METRICS = Path("metrics/prepare.json")
LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}

log = logging.getLogger("prepare")


def main() -> None:
    """Open, parse, decode, write."""
    params = load_params()
    dataset = params.active
    folder = Path(f"data/packed/{params.dataset}")
    archive = _open_verified(params)
    labels = read_labels(archive.read(dataset.labels), name=dataset.labels)
    lists = {
        part: read_list(archive.read(name), name=name)
        for part, name in LISTS.items()
        if name in archive
    }

    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "images.partial"
    packing = pack_images(
        archive, labels, path=partial, px=dataset.packed_px, workers=os.cpu_count() or 1
    )
    packed = list(track(packing, what="prepare", unit="images", total=len(labels)))
    rejected = [(name, reason) for name, _, reason in packed if reason]
    _check_rejected(rejected, of=len(labels), most=dataset.max_rejected)

    index = labels.assign(row=range(len(labels)), crc32=[crc for _, crc, _ in packed])
    index = index[~index["image"].isin([name for name, _ in rejected])]
    partial.replace(folder / "images.npy")
    index[list(INDEX_COLUMNS)].to_csv(folder / "index.csv", index=False, lineterminator="\n")
    _write_rows(folder / "lists.csv", ("image", "list"), [(i, p) for p in lists for i in lists[p]])
    _write_rows(folder / "rejected.csv", ("image", "reason"), rejected)
    METRICS.parent.mkdir(exist_ok=True)
    METRICS.write_text(json.dumps(_describe(params, labels, index), indent=2) + "\n")
    log.info("%s: %s images packed, %s rejected", folder, f"{len(index):,}", len(rejected))


def _open_verified(params: Params) -> Archive:
    """Return the raw data, sure that it is what the manifest describes."""
    dataset, path = params.active, locate(params.dataset, params.active)
    manifest = read_json(Path(f"data/raw/{params.dataset}.json"), by="download")
    if isinstance(dataset, Phantom):
        # Another machine may draw other bits; drawing again is cheap, and its own manifest.
        draw_cohort(dataset, path, workers=os.cpu_count() or 1)
        return open_archive(path)
    if not path.exists():
        raise InputError(
            f"{path} is not here, though its manifest is: run `python src/stages/download.py`, "
            f"or set {RAW_VARIABLE} to the folder that holds {params.dataset}/"
        )
    archive = open_archive(path)
    if {"source": dataset.source, **archive.describe()} != manifest:
        raise InputError(
            f"{path} is not what data/raw/{params.dataset}.json describes: run "
            "`dvc repro --force --single-item download`"
        )
    return archive


def _check_rejected(rejected: list[tuple[str, str]], *, of: int, most: float) -> None:
    """Say what is left out; stop when it is more than the dataset's share."""
    for name, reason in rejected[:10]:
        log.warning("left out: %s (%s)", name, reason)
    if len(rejected) > most * of:
        name, reason = rejected[0]
        raise InputError(
            f"{len(rejected):,} of {of:,} listed images cannot be read, more than "
            f"max_rejected = {most:g} allows; the first: {name} ({reason})"
        )


def _write_rows(path: Path, header: tuple[str, ...], rows: list[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _describe(params: Params, labels: pd.DataFrame, index: pd.DataFrame) -> dict[str, object]:
    drawn = isinstance(params.active, Phantom)
    return {
        "source": params.active.source,
        "dataset": params.dataset,
        "label_version": "phantom" if drawn else detect_label_version(labels),
        "images": len(index),
        "patients": int(index["patient"].nunique()),
        "rejected": len(labels) - len(index),
        "packed_px": params.active.packed_px,
        "prevalence": {f: round(float(index[f].mean()), 6) for f in FINDINGS},
    }


if __name__ == "__main__":
    run(main)
