"""Bring the raw dataset, and look whether it is what it was.

    python src/stages/download.py

Reads   params.yaml: dataset, datasets.<dataset>
Writes  data/raw/<dataset>.json         a manifest of its content, the same on every machine
        data/raw/<dataset>.origin.json  where that came from

The raw data itself is no DVC output (see raw/place.py): what is already there is looked at, not
brought again, and of a folder only what has another length or time than last time is read. So a
second look takes seconds, and where the content is the same nothing behind it runs. Raw data that
was removed after packing counts as unchanged; remove the manifest too to have it brought again.
"""

import json
import logging
from pathlib import Path

from chestxray14.base.errors import InputError
from chestxray14.base.params import load_block
from chestxray14.base.stage import count_processors, run
from chestxray14.files.metrics import Manifest
from chestxray14.files.outputs import write_json
from chestxray14.files.records import read_record
from chestxray14.phantom.cohort import describe_cohort, draw_cohort
from chestxray14.raw.archive import open_archive
from chestxray14.raw.kaggle_dataset import download_dataset
from chestxray14.raw.params import DATASET, AnyDataset, KaggleDataset, Phantom
from chestxray14.raw.place import locate, locate_record
from chestxray14.raw.tables import find_tables, list_oddities

log = logging.getLogger("download")


def main() -> None:
    """Bring, look, describe."""
    name = load_block("dataset", str)
    dataset = load_block(f"datasets.{name}", DATASET)
    path = locate(name, dataset)
    manifest, origin = (Path(f"data/raw/{name}.{ending}") for ending in ("json", "origin.json"))
    came_from = _describe_origin(dataset)

    if not path.exists() and _is_described(manifest, origin, came_from):
        log.info("%s is not here; taken to be what %s describes", path, manifest)
        return
    if isinstance(dataset, KaggleDataset):
        download_dataset(dataset.slug, path.parent)
    elif isinstance(dataset, Phantom):
        draw_cohort(dataset, path, workers=count_processors())

    archive = open_archive(path, record=locate_record(path))
    tables = find_tables(archive, labels=dataset.labels)
    described = {"source": dataset.source, **archive.describe(tables=tables.names)}
    write_json(manifest, described)
    write_json(origin, came_from | {"sha256": described["sha256"]})
    log.info("%s: %s images", path, f"{len(archive.images):,}")
    for line in list_oddities(archive, tables):
        log.info("%s: %s", path, line)


def _describe_origin(dataset: AnyDataset) -> dict[str, object]:
    """Return what says where a dataset comes from."""
    if isinstance(dataset, Phantom):
        return describe_cohort(dataset)
    if isinstance(dataset, KaggleDataset):
        return {"slug": dataset.slug}
    return {"path": dataset.path}


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
