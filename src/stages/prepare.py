"""Decode every radiograph once into one packed array, and parse the label file.

    python src/stages/prepare.py [dataset]

Reads   data/raw/<dataset>.json and the raw data it describes
Writes  data/packed/<dataset>/images.npy    (N, P, P) uint8
        data/packed/<dataset>/index.csv     what each row shows, with the CRC-32 of its pixels
        data/packed/<dataset>/lists.csv     NIH's official lists and the table's own, where it has them
        data/packed/<dataset>/boxes.csv     the radiologists' boxes, where the dataset has them
        data/packed/<dataset>/{experts,readers,outlines}.csv   what radiologists say and drew, in
                                            the sets that the dataset has
        data/packed/<dataset>/rejected.csv  images that could not be read, and why
        metrics/prepare.json, of a dataset that is not the active one metrics/prepare/<dataset>.json
"""

import logging
from pathlib import Path

import pandas as pd

from chestxray14.base.errors import InputError, name_some
from chestxray14.base.params import load_block
from chestxray14.base.progress import track
from chestxray14.base.stage import choose_dataset, count_processors, run
from chestxray14.data.boxes import BOX_COLUMNS, read_boxes
from chestxray14.data.chestx_det import OUTLINE_COLUMNS
from chestxray14.data.expert_files import read_outlines
from chestxray14.data.experts import PANEL, check_counts, match_images, read_experts
from chestxray14.data.given import read_given
from chestxray14.data.labels import detect_label_version, read_labels, read_list
from chestxray14.data.packing import load_images, pack_images
from chestxray14.data.splits import OWN as OWN_LIST
from chestxray14.data.splits import measure_prevalence
from chestxray14.data.tables import translate_table
from chestxray14.files.experts import ExpertSet, describe_set, write_sets
from chestxray14.files.metrics import Manifest
from chestxray14.files.outputs import write_json, write_text
from chestxray14.files.packed import (
    INDEX_COLUMNS,
    count_patients,
    have_own_patients,
    list_findings,
)
from chestxray14.files.records import read_record
from chestxray14.raw.archive import Archive
from chestxray14.raw.chestmnist import ChestMnist
from chestxray14.raw.experts import read_expert_file
from chestxray14.raw.manifest import Raw, describe_dataset, open_dataset, read_tables
from chestxray14.raw.nih_box import Tarballs, find_archive, name_archive
from chestxray14.raw.params import (
    DATASET,
    AnyDataset,
    ChestMnistDataset,
    ExpertFile,
    Folder,
    NihBox,
    Phantom,
    Table,
)
from chestxray14.raw.place import RAW_VARIABLE, locate
from chestxray14.raw.tables import Tables

FLAT_NAMES = 20
"""How many flat images metrics/prepare.json names."""

log = logging.getLogger("prepare")


def main() -> None:
    """Open, parse, decode, write."""
    source, active = choose_dataset(doc=__doc__)
    dataset = load_block(f"datasets.{source}", DATASET)
    folder = Path(f"data/packed/{source}")
    raw, tables = _open_verified(source, dataset)
    archive = raw.tables if isinstance(raw, Tarballs) else raw
    lists: dict[str, list[str]] = {}
    boxes = pd.DataFrame(columns=BOX_COLUMNS)
    experts: list[ExpertSet] = []
    outlines = pd.DataFrame(columns=OUTLINE_COLUMNS)
    if isinstance(archive, ChestMnist):
        labels = read_given(archive)
    else:
        found = len(archive.images)
        if isinstance(dataset, Table):
            labels, listing = translate_table(read_tables(archive, dataset), dataset), "the table"
            raw = archive = archive.call(labels["image"])
        else:
            listing = str(tables.labels)
            labels = read_labels(archive.read(listing), name=listing)
        for role, name in (("train_val", tables.train_val), ("test", tables.test)):
            if name:
                lists[role] = read_list(archive.read(name), name=name)
        if tables.boxes:
            boxes = read_boxes(archive.read(tables.boxes), name=tables.boxes)
        experts, outlines = _read_experts(dataset, archive)
    version = _name_version(dataset, labels)
    if isinstance(dataset, Folder | NihBox) and dataset.archives:
        labels, lists = _keep_archives(labels, lists, dataset.archives, name=source)
    listed_in = {image: part for part, images in lists.items() for image in images}
    for each in experts:
        check_counts(each)
    experts = [match_images(each, labels, lists=listed_in) for each in experts]
    if not isinstance(raw, ChestMnist) and not isinstance(archive, ChestMnist):
        # What is absent is known before hours of decoding.
        absent = [(name, _say_absent(name, raw)) for name in labels["image"] if name not in raw]
        if len(absent) == len(labels):
            raise InputError(
                f"{raw.path} holds none of the {len(labels):,} images that {listing} lists, "
                f"such as {absent[0][0]}; found {archive.describe_content()}"
            )
        _check_rejected(absent, of=len(labels), most=dataset.max_rejected)
        if (unlabelled := found - (len(labels) - len(absent))) > 0:
            log.info("%s images without a row in %s are passed over", unlabelled, listing)

    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "images.partial"
    try:
        names = labels["image"].tolist()
        packing = pack_images(
            load_images(raw, names),
            names,
            path=partial,
            px=dataset.packed_px,
            workers=count_processors(),
        )
        done = track(packing, what="prepare", unit="images", total=len(names))
        of_name = {each.name: each for each in done}
        packed = [of_name[name] for name in names]
        rejected = [(each.name, each.reason) for each in packed if each.reason]
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
    table = labels.assign(
        row=range(len(labels)),
        crc32=[each.crc32 for each in packed],
        reason=[each.reason for each in packed],
    )
    index = table.loc[table["reason"] == "", [*INDEX_COLUMNS, *list_findings(labels)]]
    left_out = table.loc[table["reason"] != "", ["image", "patient", "reason"]]
    listed = pd.DataFrame(
        [(image, part) for part, images in lists.items() for image in images],
        columns=["image", "list"],
    )
    experts = [each.restrict(index["image"]) for each in experts]
    outlines = outlines[outlines["image"].isin(index["image"])]
    written = {
        "index": index,
        "rejected": left_out,
        "lists": listed,
        "boxes": boxes,
        "outlines": outlines,
    }
    for name, rows in written.items():
        write_text(folder / f"{name}.csv", rows.to_csv(index=False, lineterminator="\n"))
    write_sets(folder, experts)
    flat = [each.name for each in packed if each.flat]
    if flat:
        log.warning("flat, and kept: %s", name_some(flat, most=10))
    for each in experts:
        log.info("experts %s: %s of the images are read", each.name, f"{len(each.labels):,}")
    write_json(
        Path("metrics/prepare.json" if active else f"metrics/prepare/{source}.json"),
        _describe(source, dataset, label_version=version, index=index, of=len(labels), flat=flat)
        | {"experts": {each.name: describe_set(each) for each in experts}},
    )
    log.info("%s: %s images packed, %s rejected", folder, f"{len(index):,}", len(left_out))
    if isinstance(dataset, NihBox) and dataset.delete and isinstance(raw, Tarballs):
        raw.delete()
        log.info("%s: deleted the archives, as datasets.%s.delete says", raw.path, source)


def _say_absent(name: str, raw: Archive | Tarballs) -> str:
    if isinstance(raw, Tarballs):
        return f"not in {raw.path}, which lacks {name_archive(find_archive(name))}"
    return f"not in {raw.path}"


def _keep_archives(
    labels: pd.DataFrame, lists: dict[str, list[str]], archives: list[int], *, name: str
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Return the rows of some of NIH's archives, and name the others."""
    kept = labels["image"].map(find_archive).isin(archives)
    left_out = sorted(set(labels.loc[~kept, "image"].map(find_archive)))
    log.warning(
        "datasets.%s.archives: %s label rows are left out, those of %s",
        *(name, f"{(~kept).sum():,}", ", ".join(map(name_archive, left_out)) or "none"),
    )
    labels = labels[kept].reset_index(drop=True)
    images = set(labels["image"])
    return labels, {part: [i for i in names if i in images] for part, names in lists.items()}


def _open_verified(name: str, dataset: AnyDataset) -> tuple[Raw, Tables]:
    """Return the raw data and its tables, sure that they are what the manifest describes."""
    path = locate(name, dataset)
    manifest = read_record(Path(f"data/raw/{name}.json"), Manifest, by="download")
    if not path.exists():
        raise InputError(
            f"{path} is not here, though its manifest is: put it back, remove data/raw/{name}.json "
            f"to have it brought again, or set {RAW_VARIABLE} to the folder that holds {name}/"
        )
    raw, tables = open_dataset(path, dataset)
    if describe_dataset(raw, tables, dataset) != manifest.model_dump(exclude_unset=True):
        raise InputError(f"{path} is not what data/raw/{name}.json describes: run `dvc repro`")
    return raw, tables


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


def _name_version(dataset: AnyDataset, labels: pd.DataFrame) -> str:
    match dataset:
        case Phantom():
            return "phantom"
        case Table():
            return "table"
        case ChestMnistDataset():
            return "chestmnist"
        case _:
            return detect_label_version(labels)


def _describe(
    name: str,
    dataset: AnyDataset,
    *,
    label_version: str,
    index: pd.DataFrame,
    of: int,
    flat: list[str],
) -> dict[str, object]:
    special: dict[str, object] = {}
    if have_own_patients(index):
        special["own_patients"] = True
    if dataset.protocol:
        special["protocol"] = dataset.protocol
    return special | {
        "source": dataset.source,
        "dataset": name,
        "label_version": label_version,
        "images": len(index),
        "patients": count_patients(index),
        "rejected": of - len(index),
        "flat": len(flat),
        "flat_images": ", ".join(flat[:FLAT_NAMES]),
        "packed_px": dataset.packed_px,
        "prevalence": measure_prevalence(index),
    }


if __name__ == "__main__":
    run(main)
