"""Bring the raw dataset and verify it.

    python src/stages/download.py

Reads   params.yaml: dataset, datasets.<dataset>
Writes  data/raw/<dataset>.json, a manifest that is the same on every machine

The raw data itself is no DVC output (see raw/place.py): what is already there is verified, not brought
again. A phantom is drawn, a folder is only looked at. Of radiologists' readings (`experts`) what has a
plain address is fetched; of the others it is said where they are published.
"""

import logging
from pathlib import Path

from chestxray14.base.errors import InputError
from chestxray14.base.params import load_block
from chestxray14.base.stage import count_processors, run
from chestxray14.files.outputs import write_json
from chestxray14.phantom.cohort import draw_cohort
from chestxray14.raw.archive import open_archive
from chestxray14.raw.experts import bring_experts
from chestxray14.raw.kaggle_dataset import download_dataset
from chestxray14.raw.params import DATASET, KaggleDataset, Phantom
from chestxray14.raw.place import locate

log = logging.getLogger("download")


def main() -> None:
    """Bring, verify, describe."""
    name = load_block("dataset", str)
    dataset = load_block(f"datasets.{name}", DATASET)
    path = locate(name, dataset)
    manifest = Path(f"data/raw/{name}.json")

    if isinstance(dataset, KaggleDataset):
        download_dataset(dataset.slug, path.parent)
    elif isinstance(dataset, Phantom):
        draw_cohort(dataset, path, workers=count_processors())

    if dataset.experts:
        bring_experts(dataset.experts)
    archive = open_archive(path)
    if dataset.labels not in archive:
        raise InputError(f"{path} holds no label file named {dataset.labels}")
    description = {"source": dataset.source, **archive.describe()}
    if not description["images"]:
        raise InputError(f"{path} holds no image")

    write_json(manifest, description)
    log.info("%s: %s images", path, f"{description['images']:,}")


if __name__ == "__main__":
    run(main)
