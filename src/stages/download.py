"""Bring the raw dataset and verify it.

    python src/stages/download.py

Reads   params.yaml: dataset, datasets.<dataset>
Writes  data/raw/<dataset>.json, a manifest that is the same on every machine

The raw data itself is no DVC output (see raw/place.py): what is already there is verified, not brought
again. A phantom is drawn; a folder, and what a Kaggle notebook has mounted, is only looked at.
"""

import logging
from pathlib import Path

from chestxray14.base.errors import InputError
from chestxray14.base.params import load_block
from chestxray14.base.stage import count_processors, run
from chestxray14.files.outputs import write_json
from chestxray14.phantom.cohort import draw_cohort
from chestxray14.raw.chestmnist import CREDITS, download_chestmnist
from chestxray14.raw.kaggle_dataset import download_dataset
from chestxray14.raw.nih_box import NUMBERS, Tarballs, download_archives, name_archive
from chestxray14.raw.opening import describe_raw, open_raw, open_tables
from chestxray14.raw.params import DATASET, ChestMnistDataset, KaggleDataset, NihBox, Phantom
from chestxray14.raw.place import locate

log = logging.getLogger("download")


def main() -> None:
    """Bring, verify, describe."""
    name = load_block("dataset", str)
    dataset = load_block(f"datasets.{name}", DATASET)
    path = locate(name, dataset)
    manifest = Path(f"data/raw/{name}.json")

    match dataset:
        case KaggleDataset() if not path.is_dir():  # as it is mounted in a Kaggle notebook
            download_dataset(dataset.slug, path.parent)
        case Phantom():
            draw_cohort(dataset, path, workers=count_processors())
        case ChestMnistDataset():
            log.info("%s", CREDITS)
            download_chestmnist(path, side=dataset.side)
        case NihBox():
            open_tables(path, dataset)  # what lacks would be missed after 42 GB
            download_archives(path, numbers=dataset.archives or NUMBERS)

    raw = open_raw(path, dataset)
    description = describe_raw(raw, dataset)
    if not description["images"] and not isinstance(raw, Tarballs):
        raise InputError(f"{path} holds no image")

    write_json(manifest, description)
    if isinstance(raw, Tarballs):
        log.info("%s: %s", path, ", ".join(map(name_archive, raw.sizes)))
    else:
        log.info("%s: %s images", path, f"{description['images']:,}")


if __name__ == "__main__":
    run(main)
