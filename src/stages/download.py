"""Bring the raw dataset, and look whether it is what it was.

    python src/stages/download.py [dataset]

Reads   params.yaml: dataset, datasets.<dataset>
Writes  data/raw/<dataset>.json         a manifest of its content, the same on every machine
        data/raw/<dataset>.origin.json  where that came from

The raw data itself is no DVC output (see raw/place.py): what is already there is looked at, not
brought again, and of a folder only what has another length or time than last time is read. So a
second look takes seconds, and where the content is the same nothing behind it runs. Raw data that
was removed after packing counts as unchanged; remove the manifest too to have it brought again. Of
radiologists' readings (`experts`) what has a plain address is fetched; of the others it is said
where they are published.
"""

import json
import logging
from pathlib import Path

from chestxray14.base.errors import InputError
from chestxray14.base.params import load_block
from chestxray14.base.stage import choose_dataset, count_processors, run
from chestxray14.files.metrics import Manifest
from chestxray14.files.outputs import write_json
from chestxray14.files.records import read_record
from chestxray14.phantom.cohort import describe_cohort, draw_cohort
from chestxray14.raw.chestmnist import CREDITS, ChestMnist, download_chestmnist
from chestxray14.raw.experts import bring_experts
from chestxray14.raw.kaggle_dataset import download_dataset
from chestxray14.raw.manifest import check_tables, describe_dataset, open_dataset
from chestxray14.raw.nih_box import NUMBERS, Tarballs, download_archives, name_archive
from chestxray14.raw.params import (
    DATASET,
    AnyDataset,
    ChestMnistDataset,
    Folder,
    KaggleDataset,
    NihBox,
    Phantom,
    Table,
)
from chestxray14.raw.place import locate
from chestxray14.raw.tables import list_oddities

log = logging.getLogger("download")


def main() -> None:
    """Bring, look, describe."""
    name, _ = choose_dataset(doc=__doc__)
    dataset = load_block(f"datasets.{name}", DATASET)
    path = locate(name, dataset)
    manifest, origin = (Path(f"data/raw/{name}.{ending}") for ending in ("json", "origin.json"))
    came_from = _describe_origin(dataset)

    if not path.exists() and _is_described(manifest, origin, came_from):
        log.info("%s is not here; taken to be what %s describes", path, manifest)
        return
    match dataset:
        case KaggleDataset() if not path.is_dir():  # as it is mounted in a Kaggle notebook
            download_dataset(dataset.slug, path.parent)
        case Phantom():
            draw_cohort(dataset, path, workers=count_processors())
        case ChestMnistDataset():
            log.info("%s", CREDITS)
            download_chestmnist(path, side=dataset.side)
        case NihBox():
            check_tables(dataset)  # what lacks would be missed after 42 GB
            download_archives(path, numbers=dataset.archives or NUMBERS)

    if dataset.experts:
        bring_experts(dataset.experts)
    raw, tables = open_dataset(path, dataset)
    described = describe_dataset(raw, tables, dataset)
    write_json(manifest, described)
    write_json(origin, came_from | {"sha256": described["sha256"]})
    if isinstance(raw, Tarballs):
        log.info("%s: %s", path, ", ".join(map(name_archive, raw.sizes)))
    else:
        log.info("%s: %s images", path, f"{described['images']:,}")
    if isinstance(dataset, Table | Phantom) or isinstance(raw, ChestMnist):
        return
    for line in list_oddities(raw.tables if isinstance(raw, Tarballs) else raw, tables):
        log.info("%s: %s", path, line)


def _describe_origin(dataset: AnyDataset) -> dict[str, object]:
    """Return what says where a dataset comes from."""
    match dataset:
        case Phantom():
            return describe_cohort(dataset)
        case KaggleDataset():
            return {"slug": dataset.slug}
        case ChestMnistDataset():
            return dataset.model_dump(include={"side", "images", "seed"})
        case NihBox():
            return dataset.model_dump(include={"tables", "archives"})
        case Folder():
            return dataset.model_dump(include={"path", "archives"})
        case Table():
            return {"path": dataset.images}


def _is_described(manifest: Path, origin: Path, came_from: dict[str, object]) -> bool:
    """Tell whether the manifest is of data from there."""
    try:
        known = read_record(manifest, Manifest, by="download")
        return bool(
            json.loads(origin.read_text(encoding="utf-8")) == came_from | {"sha256": known.sha256}
        )
    except (InputError, OSError, ValueError):
        return False


if __name__ == "__main__":
    run(main)
