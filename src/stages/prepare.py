"""Decode every radiograph once into one packed array, and parse the label file.

    python src/stages/prepare.py

Reads   data/raw/<dataset>.json and the raw data it describes
Writes  data/packed/<dataset>/images.npy    (N, P, P) uint8
        data/packed/<dataset>/index.csv     what each row shows, with the CRC-32 of its pixels
        data/packed/<dataset>/lists.csv     NIH's official lists, where the dataset has them
        data/packed/<dataset>/boxes.csv     the radiologists' boxes, where the dataset has them
        data/packed/<dataset>/{experts,readers,outlines}.csv   what radiologists say and drew, in
                                            the sets that the dataset has
        data/packed/<dataset>/rejected.csv  images that could not be read, and why
        metrics/prepare.json
"""

import logging
from pathlib import Path

import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import load_block
from chestxray14.base.progress import track
from chestxray14.base.stage import count_processors, run
from chestxray14.data.boxes import BOX_COLUMNS, read_boxes
from chestxray14.data.chestx_det import OUTLINE_COLUMNS
from chestxray14.data.expert_files import read_outlines
from chestxray14.data.experts import PANEL, check_counts, match_images, read_experts
from chestxray14.data.labels import detect_label_version, read_labels, read_list
from chestxray14.data.packing import pack_images
from chestxray14.files.experts import ExpertSet, describe_set, write_sets
from chestxray14.files.metrics import Manifest
from chestxray14.files.names import is_image
from chestxray14.files.outputs import write_json, write_text
from chestxray14.files.packed import INDEX_COLUMNS
from chestxray14.files.records import read_record
from chestxray14.raw.archive import Archive, open_archive
from chestxray14.raw.experts import read_expert_file
from chestxray14.raw.params import DATASET, AnyDataset, ExpertFile, Phantom
from chestxray14.raw.place import RAW_VARIABLE, locate

LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}
BOXES = "BBox_List_2017.csv"

log = logging.getLogger("prepare")


def main() -> None:
    """Open, parse, decode, write."""
    source = load_block("dataset", str)
    dataset = load_block(f"datasets.{source}", DATASET)
    folder = Path(f"data/packed/{source}")
    archive = _open_verified(source, dataset)
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
    experts, outlines = _read_experts(dataset, archive)
    listed_in = {image: part for part, images in lists.items() for image in images}
    for each in experts:
        check_counts(each)
    experts = [match_images(each, labels, lists=listed_in) for each in experts]

    # What is absent is known before hours of decoding.
    absent = [(name, f"not in {archive.path}") for name in labels["image"] if name not in archive]
    _check_rejected(absent, of=len(labels), most=dataset.max_rejected)
    unlabelled = sum(map(is_image, archive.members)) - (len(labels) - len(absent))
    if unlabelled:
        log.info("%s images without a row in %s are passed over", unlabelled, dataset.labels)

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

    reasons = [reason for _, _, reason in packed]
    table = labels.assign(row=range(len(labels)), crc32=[c for _, c, _ in packed], reason=reasons)
    index = table.loc[table["reason"] == "", list(INDEX_COLUMNS)]
    left_out = table.loc[table["reason"] != "", ["image", "patient", "reason"]]
    listed = pd.DataFrame(
        [(image, part) for part, images in lists.items() for image in images],
        columns=["image", "list"],
    )
    experts = [each.restrict(index["image"]) for each in experts]
    outlines = outlines[outlines["image"].isin(index["image"])]
    tables = {
        "index": index,
        "rejected": left_out,
        "lists": listed,
        "boxes": boxes,
        "outlines": outlines,
    }
    for name, rows in tables.items():
        write_text(folder / f"{name}.csv", rows.to_csv(index=False, lineterminator="\n"))
    write_sets(folder, experts)
    for each in experts:
        log.info("experts %s: %s of the images are read", each.name, f"{len(each.labels):,}")
    write_json(
        Path("metrics/prepare.json"),
        _describe(source, dataset, labels=labels, index=index)
        | {"experts": {each.name: describe_set(each) for each in experts}},
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
    archive = open_archive(path)
    if {"source": dataset.source, **archive.describe()} != manifest.model_dump():
        raise InputError(
            f"{path} is not what data/raw/{name}.json describes: run "
            "`dvc repro --force --single-item download`"
        )
    return archive


def _read_experts(dataset: AnyDataset, archive: Archive) -> tuple[list[ExpertSet], pd.DataFrame]:
    """Return the sets of radiologists' readings that a dataset has, and their outlines."""
    sets, outlines = [], pd.DataFrame(columns=OUTLINE_COLUMNS)
    if isinstance(dataset, Phantom):
        labels, readers = ((name, archive.read(name)) for name in PANEL)
        sets.append(read_experts("panel", [labels], readers))
    chosen = dataset.experts
    if chosen and chosen.all_findings:
        labels, readers = map(_read, (chosen.all_findings.labels, chosen.all_findings.readers))
        sets.append(read_experts("all_findings", [labels], readers))
    if chosen and (four := chosen.four_findings):
        read = _read(four.readers) if four.readers else None
        sets.append(read_experts("four_findings", list(map(_read, four.labels)), read))
    if chosen and chosen.chestx_det:
        found, outlines, unnamed = read_outlines(list(map(_read, chosen.chestx_det.outlines)))
        log.info("chestx_det: %d images have no name at NIH and are left out", unnamed)
        sets.append(found)
    return sets, outlines


def _read(file: ExpertFile) -> tuple[str, bytes]:
    return file.path, read_expert_file(file)


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
    drawn = isinstance(dataset, Phantom)
    return {
        "source": dataset.source,
        "dataset": name,
        "label_version": "phantom" if drawn else detect_label_version(labels),
        "images": len(index),
        "patients": int(index["patient"].nunique()),
        "rejected": len(labels) - len(index),
        "packed_px": dataset.packed_px,
        "prevalence": {f: round(float(index[f].mean()), 6) for f in FINDINGS},
    }


if __name__ == "__main__":
    run(main)
