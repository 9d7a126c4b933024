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
from chestxray14.data.contents import Contents, check_rejected, read_contents
from chestxray14.data.packing import Packed, load_images, pack_images
from chestxray14.data.splits import measure_prevalence
from chestxray14.files.experts import describe_set, write_sets
from chestxray14.files.metrics import Manifest
from chestxray14.files.outputs import write_json, write_text
from chestxray14.files.packed import (
    INDEX_COLUMNS,
    count_patients,
    have_own_patients,
    list_findings,
)
from chestxray14.files.records import read_record
from chestxray14.raw.manifest import Raw, describe_dataset, open_dataset
from chestxray14.raw.nih_box import Tarballs
from chestxray14.raw.params import DATASET, AnyDataset, NihBox
from chestxray14.raw.place import RAW_VARIABLE, locate
from chestxray14.raw.tables import Tables

FLAT_NAMES = 20
"""How many flat images metrics/prepare.json names."""

log = logging.getLogger("prepare")


def main() -> None:
    """Open, parse, decode, write."""
    name, active = choose_dataset(doc=__doc__)
    dataset = load_block(f"datasets.{name}", DATASET)
    raw, tables = _open_verified(name, dataset)
    contents = read_contents(raw, tables, dataset, name=name)
    folder = Path(f"data/packed/{name}")
    packed = _pack(contents, dataset, folder)

    table = contents.labels.assign(
        row=range(len(packed)),
        crc32=[each.crc32 for each in packed],
        reason=[each.reason for each in packed],
    )
    read = table["reason"] == ""
    index = table.loc[read, [*INDEX_COLUMNS, *list_findings(contents.labels)]]
    rejected = table.loc[~read, ["image", "patient", "reason"]]
    listed = [(image, part) for part, images in contents.lists.items() for image in images]
    written = {
        "index": index,
        "rejected": rejected,
        "lists": pd.DataFrame(listed, columns=["image", "list"]),
        "boxes": contents.boxes,
        "outlines": contents.outlines[contents.outlines["image"].isin(index["image"])],
    }
    for file, rows in written.items():
        write_text(folder / f"{file}.csv", rows.to_csv(index=False, lineterminator="\n"))
    experts = [each.restrict(index["image"]) for each in contents.experts]
    write_sets(folder, experts)
    for each in experts:
        log.info("experts %s: %s of the images are read", each.name, f"{len(each.labels):,}")
    flat = [each.name for each in packed if each.flat]
    if flat:
        log.warning("flat, and kept: %s", name_some(flat, most=10))
    special: dict[str, object] = {"own_patients": True} if have_own_patients(index) else {}
    if dataset.protocol:
        special["protocol"] = dataset.protocol
    write_json(
        Path("metrics/prepare.json" if active else f"metrics/prepare/{name}.json"),
        special
        | {
            "source": dataset.source,
            "dataset": name,
            "label_version": contents.label_version,
            "images": len(index),
            "patients": count_patients(index),
            "rejected": len(rejected),
            "flat": len(flat),
            "flat_images": ", ".join(flat[:FLAT_NAMES]),
            "packed_px": dataset.packed_px,
            "prevalence": measure_prevalence(index),
            "experts": {each.name: describe_set(each) for each in experts},
        },
    )
    log.info("%s: %s images packed, %s rejected", folder, f"{len(index):,}", len(rejected))
    if isinstance(dataset, NihBox) and dataset.delete and isinstance(raw, Tarballs):
        raw.delete()
        log.info("%s: deleted the archives, as datasets.%s.delete says", raw.path, name)


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


def _pack(contents: Contents, dataset: AnyDataset, folder: Path) -> list[Packed]:
    """Write images.npy whole or not at all; return what became of each image, in its order."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "images.partial"
    names = contents.labels["image"].tolist()
    try:
        packing = pack_images(
            load_images(contents.images, names),
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
        check_rejected(rejected, of=len(names), most=dataset.max_rejected)
        # New images are never found beside an old index, wherever this is cut off.
        (folder / "index.csv").unlink(missing_ok=True)
        partial.replace(folder / "images.npy")
    finally:
        partial.unlink(missing_ok=True)
    return packed


if __name__ == "__main__":
    run(main)
