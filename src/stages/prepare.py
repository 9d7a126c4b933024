"""Decode every radiograph once into one packed array, and parse the label file.

    python src/stages/prepare.py

Reads   data/raw/<dataset>.json and the raw data it describes
Writes  data/packed/<dataset>/images.npy    (N, P, P) uint8
        data/packed/<dataset>/index.csv     what each row shows, with the CRC-32 of its pixels
        data/packed/<dataset>/lists.csv     NIH's official lists, where the dataset has them
        data/packed/<dataset>/boxes.csv     the radiologists' boxes, where the dataset has them
        data/packed/<dataset>/rejected.csv  images that could not be read, and why
        metrics/prepare.json
"""

import logging
from pathlib import Path

import pandas as pd

from chestxray14.base.errors import InputError, name_some
from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import load_block
from chestxray14.base.progress import track
from chestxray14.base.stage import count_processors, run
from chestxray14.data.boxes import BOX_COLUMNS, read_boxes
from chestxray14.data.labels import detect_label_version, read_labels, read_list
from chestxray14.data.packing import pack_images
from chestxray14.files.metrics import Manifest
from chestxray14.files.outputs import write_json, write_text
from chestxray14.files.packed import INDEX_COLUMNS
from chestxray14.files.records import read_record
from chestxray14.raw.archive import Archive, open_archive
from chestxray14.raw.params import DATASET, AnyDataset, Phantom
from chestxray14.raw.place import RAW_VARIABLE, locate, locate_record
from chestxray14.raw.tables import Tables, find_tables

FLAT_NAMES = 20
"""How many flat images metrics/prepare.json names."""

log = logging.getLogger("prepare")


def main() -> None:
    """Open, parse, decode, write."""
    source = load_block("dataset", str)
    dataset = load_block(f"datasets.{source}", DATASET)
    folder = Path(f"data/packed/{source}")
    archive, tables = _open_verified(source, dataset)
    labels = read_labels(archive.read(tables.labels), name=tables.labels)
    lists = {
        part: read_list(archive.read(name), name=name)
        for part, name in (("train_val", tables.train_val), ("test", tables.test))
        if name
    }
    boxes = (
        read_boxes(archive.read(tables.boxes), name=tables.boxes)
        if tables.boxes
        else pd.DataFrame(columns=BOX_COLUMNS)
    )
    # What is absent is known before hours of decoding.
    absent = [(name, f"not in {archive.path}") for name in labels["image"] if name not in archive]
    if len(absent) == len(labels):
        raise InputError(
            f"{archive.path} holds none of the {len(labels):,} images that {tables.labels} lists, "
            f"such as {absent[0][0]}; found {archive.describe_content()}"
        )
    _check_rejected(absent, of=len(labels), most=dataset.max_rejected)
    unlabelled = len(archive.images) - (len(labels) - len(absent))
    if unlabelled:
        log.info("%s images without a row in %s are passed over", unlabelled, dataset.labels)

    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "images.partial"
    try:
        packing = pack_images(
            archive, labels, path=partial, px=dataset.packed_px, workers=count_processors()
        )
        packed = list(track(packing, what="prepare", unit="images", total=len(labels)))
        rejected = [(each.name, each.reason) for each in packed if each.reason]
        for name, reason in rejected[:10]:
            log.warning("left out: %s (%s)", name, reason)
        _check_rejected(rejected, of=len(labels), most=dataset.max_rejected)
        # New images are never found beside an old index, wherever this is cut off.
        (folder / "index.csv").unlink(missing_ok=True)
        partial.replace(folder / "images.npy")
    finally:
        partial.unlink(missing_ok=True)

    table = labels.assign(
        row=range(len(labels)),
        crc32=[each.crc32 for each in packed],
        reason=[each.reason for each in packed],
    )
    index = table.loc[table["reason"] == "", list(INDEX_COLUMNS)]
    left_out = table.loc[table["reason"] != "", ["image", "patient", "reason"]]
    listed = pd.DataFrame(
        [(image, part) for part, images in lists.items() for image in images],
        columns=["image", "list"],
    )
    written = {"index": index, "rejected": left_out, "lists": listed, "boxes": boxes}
    for name, rows in written.items():
        write_text(folder / f"{name}.csv", rows.to_csv(index=False, lineterminator="\n"))
    flat = [each.name for each in packed if each.flat]
    if flat:
        log.warning("flat, and kept: %s", name_some(flat, most=10))
    write_json(
        Path("metrics/prepare.json"),
        _describe(source, dataset, labels=labels, index=index, flat=flat),
    )
    log.info("%s: %s images packed, %s rejected", folder, f"{len(index):,}", len(left_out))


def _open_verified(name: str, dataset: AnyDataset) -> tuple[Archive, Tables]:
    """Return the raw data and its tables, sure that they are what the manifest describes."""
    path = locate(name, dataset)
    manifest = read_record(Path(f"data/raw/{name}.json"), Manifest, by="download")
    if not path.exists():
        raise InputError(
            f"{path} is not here, though its manifest is: put it back, remove data/raw/{name}.json "
            f"to have it brought again, or set {RAW_VARIABLE} to the folder that holds {name}/"
        )
    archive = open_archive(path, record=locate_record(path))
    tables = find_tables(archive, labels=dataset.labels)
    described = {"source": dataset.source, **archive.describe(tables=tables.names)}
    if described != manifest.model_dump():
        raise InputError(f"{path} is not what data/raw/{name}.json describes: run `dvc repro`")
    return archive, tables


def _check_rejected(rejected: list[tuple[str, str]], *, of: int, most: float) -> None:
    """Stop when more images cannot be read than the dataset's share, or none can."""
    if len(rejected) / of > most or len(rejected) == of:
        name, reason = rejected[0]
        why = (
            "none is left" if len(rejected) == of else f"more than max_rejected = {most:g} allows"
        )
        raise InputError(
            f"{len(rejected):,} of {of:,} listed images cannot be read, {why}; "
            f"the first: {name} ({reason})"
        )


def _describe(
    name: str,
    dataset: AnyDataset,
    *,
    labels: pd.DataFrame,
    index: pd.DataFrame,
    flat: list[str],
) -> dict[str, object]:
    drawn = isinstance(dataset, Phantom)
    return {
        "source": dataset.source,
        "dataset": name,
        "label_version": "phantom" if drawn else detect_label_version(labels),
        "images": len(index),
        "patients": int(index["patient"].nunique()),
        "rejected": len(labels) - len(index),
        "flat": len(flat),
        "flat_images": flat[:FLAT_NAMES],
        "packed_px": dataset.packed_px,
        "prevalence": {f: round(float(index[f].mean()), 6) for f in FINDINGS},
    }


if __name__ == "__main__":
    run(main)
