"""Decode every radiograph once into one packed array, and parse the label file.

    python src/stages/prepare.py [dataset]

Reads   data/raw/<dataset>.json and the raw data it describes
Writes  data/packed/<dataset>/images.npy    (N, P, P) uint8
        data/packed/<dataset>/index.csv     what each row shows, with the CRC-32 of its pixels
        data/packed/<dataset>/lists.csv     NIH's official lists and the table's own, where it has them
        data/packed/<dataset>/boxes.csv     the radiologists' boxes, where the dataset has them
        data/packed/<dataset>/rejected.csv  images that could not be read, and why
        metrics/prepare.json, of a dataset that is not the active one metrics/prepare/<dataset>.json
"""

import logging
from pathlib import Path

import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.base.params import load_block
from chestxray14.base.progress import track
from chestxray14.base.stage import choose_dataset, count_processors, run
from chestxray14.data.boxes import BOX_COLUMNS, read_boxes
from chestxray14.data.labels import detect_label_version, read_labels, read_list
from chestxray14.data.packing import pack_images
from chestxray14.data.splits import OWN as OWN_LIST
from chestxray14.data.splits import measure_prevalence
from chestxray14.data.tables import translate_table
from chestxray14.files.metrics import Manifest
from chestxray14.files.names import is_image
from chestxray14.files.outputs import write_json, write_text
from chestxray14.files.packed import INDEX_COLUMNS, list_findings
from chestxray14.files.records import read_record
from chestxray14.raw.archive import Archive
from chestxray14.raw.manifest import describe_dataset, open_dataset, read_tables
from chestxray14.raw.params import DATASET, AnyDataset, Phantom, Table
from chestxray14.raw.place import RAW_VARIABLE, locate
from chestxray14.raw.reading import OWN

LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}
BOXES = "BBox_List_2017.csv"

log = logging.getLogger("prepare")


def main() -> None:
    """Open, parse, decode, write."""
    source, active = choose_dataset(doc=__doc__)
    dataset = load_block(f"datasets.{source}", DATASET)
    folder = Path(f"data/packed/{source}")
    archive = _open_verified(source, dataset)
    members = sum(map(is_image, archive.members))
    if isinstance(dataset, Table):
        labels = translate_table(read_tables(archive, dataset), dataset)
        archive = archive.call([*labels["image"], *LISTS.values(), BOXES])
    else:
        labels = read_labels(archive.read(dataset.labels), name=dataset.labels)
    lists = {
        part: read_list(archive.read(name), name=name)
        for part, name in LISTS.items()
        if name in archive
    }
    boxes = (
        read_boxes(archive.read(BOXES), name=BOXES)
        if BOXES in archive
        else pd.DataFrame(columns=BOX_COLUMNS)
    )
    # What is absent is known before hours of decoding.
    absent = [(name, f"not in {archive.path}") for name in labels["image"] if name not in archive]
    _check_rejected(absent, of=len(labels), most=dataset.max_rejected)
    if unlabelled := members - (len(labels) - len(absent)):
        log.info("%s images without a row in the labels are passed over", f"{unlabelled:,}")

    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "images.partial"
    try:
        packing = pack_images(
            archive, labels, path=partial, px=dataset.packed_px, workers=count_processors()
        )
        packed = list(track(packing, what="prepare", unit="images", total=len(labels)))
        rejected = [(name, reason) for name, _, reason in packed if reason]
        for name, reason in rejected[:10]:
            log.warning("left out: %s (%s)", name, reason)
        _check_rejected(rejected, of=len(labels), most=dataset.max_rejected)
        # New images are never found beside an old index, wherever this is cut off.
        (folder / "index.csv").unlink(missing_ok=True)
        partial.replace(folder / "images.npy")
    finally:
        partial.unlink(missing_ok=True)

    if "part" in labels:
        for part, rows in labels.groupby("part", sort=False):
            lists[f"{OWN_LIST}{part}"] = rows["image"].tolist()
        labels = labels.drop(columns="part")
    reasons = [reason for _, _, reason in packed]
    table = labels.assign(row=range(len(labels)), crc32=[c for _, c, _ in packed], reason=reasons)
    index = table.loc[table["reason"] == "", [*INDEX_COLUMNS, *list_findings(labels)]]
    left_out = table.loc[table["reason"] != "", ["image", "patient", "reason"]]
    listed = pd.DataFrame(
        [(image, part) for part, images in lists.items() for image in images],
        columns=["image", "list"],
    )
    tables = {"index": index, "rejected": left_out, "lists": listed, "boxes": boxes}
    for name, rows in tables.items():
        write_text(folder / f"{name}.csv", rows.to_csv(index=False, lineterminator="\n"))
    write_json(
        Path("metrics/prepare.json" if active else f"metrics/prepare/{source}.json"),
        _describe(source, dataset, labels=labels, index=index),
    )
    log.info("%s: %s images packed, %s rejected", folder, f"{len(index):,}", len(left_out))


def _open_verified(name: str, dataset: AnyDataset) -> Archive:
    """Return the raw data, sure that it is what the manifest describes."""
    path = locate(name, dataset)
    manifest = read_record(Path(f"data/raw/{name}.json"), Manifest, by="download")
    if not path.exists():
        raise InputError(
            f"{path} is not here, though its manifest is: run `python src/stages/download.py`, "
            f"or set {RAW_VARIABLE} to the folder that holds {name}/"
        )
    archive = open_dataset(path, dataset)
    if describe_dataset(archive, dataset) != manifest.model_dump(exclude_unset=True):
        raise InputError(
            f"{path} is not what data/raw/{name}.json describes: run "
            "`dvc repro --force --single-item download`"
        )
    return archive


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
    name: str, dataset: AnyDataset, *, labels: pd.DataFrame, index: pd.DataFrame
) -> dict[str, object]:
    match dataset:
        case Phantom():
            version = "phantom"
        case Table():
            version = "table"
        case _:
            version = detect_label_version(labels)
    own = (
        {"own_patients": True}
        if isinstance(dataset, Table) and dataset.columns.patient == OWN
        else {}
    )
    return own | {
        "source": dataset.source,
        "dataset": name,
        "label_version": version,
        "images": len(index),
        "patients": int(index["patient"].nunique()),
        "rejected": len(labels) - len(index),
        "packed_px": dataset.packed_px,
        "prevalence": measure_prevalence(index),
    }


if __name__ == "__main__":
    run(main)
