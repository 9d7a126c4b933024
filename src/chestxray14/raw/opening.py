"""The raw dataset of a block of params.yaml, opened where it lies."""

from pathlib import Path

from chestxray14.base.errors import InputError
from chestxray14.raw.archive import Archive, open_archive
from chestxray14.raw.chestmnist import ChestMnist, open_chestmnist
from chestxray14.raw.nih_box import NUMBERS, PAGE, Tarballs, open_tarballs
from chestxray14.raw.params import AnyDataset, ChestMnistDataset, Folder, NihBox

Raw = Archive | Tarballs | ChestMnist


def open_raw(path: Path, dataset: AnyDataset) -> Raw:
    """Return what lies at `path`; raises `InputError` where it is not such a dataset."""
    if isinstance(dataset, ChestMnistDataset):
        return open_chestmnist(path, side=dataset.side, images=dataset.images, seed=dataset.seed)
    tables = open_tables(path, dataset)
    if isinstance(dataset, Folder | NihBox) and path.is_dir():
        tarballs = open_tarballs(path, tables, numbers=dataset.archives or NUMBERS)
        return tarballs if tarballs.sizes else tables
    return tables


def open_tables(path: Path, dataset: AnyDataset) -> Archive:
    """Return what holds the label file, be it alone; raises `InputError` where there is none."""
    archive = open_archive(Path(dataset.tables) if isinstance(dataset, NihBox) else path)
    if dataset.labels not in archive:
        hint = f"; take it from {PAGE}" if isinstance(dataset, NihBox) else ""
        raise InputError(f"{archive.path} holds no label file named {dataset.labels}{hint}")
    return archive


def describe_raw(raw: Raw, dataset: AnyDataset) -> dict[str, object]:
    """Return what a manifest says of a raw dataset, the same on every machine."""
    described = {"source": dataset.source, **raw.describe()}
    if isinstance(dataset, Folder | NihBox) and dataset.archives:
        described["archives"] = list(dataset.archives)
    return described
