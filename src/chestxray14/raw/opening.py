"""The raw dataset of a block of params.yaml, opened where it lies."""

from pathlib import Path

from chestxray14.raw.archive import Archive, open_archive
from chestxray14.raw.chestmnist import ChestMnist, open_chestmnist
from chestxray14.raw.params import AnyDataset, ChestMnistDataset


def open_raw(path: Path, dataset: AnyDataset) -> Archive | ChestMnist:
    """Return what lies at `path`; raises `InputError` where it is not such a dataset."""
    if isinstance(dataset, ChestMnistDataset):
        return open_chestmnist(path, side=dataset.side, images=dataset.images, seed=dataset.seed)
    return open_archive(path)
