"""What a raw dataset is: how it is opened, and the manifest by which it is known again."""

import hashlib
from pathlib import Path

from chestxray14.base.errors import InputError
from chestxray14.raw.archive import Archive, open_archive
from chestxray14.raw.chestmnist import ChestMnist, open_chestmnist
from chestxray14.raw.nih_box import NUMBERS, PAGE, Tarballs, open_tarballs
from chestxray14.raw.params import AnyDataset, ChestMnistDataset, Folder, NihBox, Phantom, Table
from chestxray14.raw.place import locate_record, locate_table
from chestxray14.raw.tables import Tables, find_tables

Raw = Archive | Tarballs | ChestMnist


def open_dataset(path: Path, dataset: AnyDataset) -> tuple[Raw, Tables]:
    """Return the raw dataset at `path` and which of its files are NIH's tables.

    Its files are known by basename, beside anybody's table by path. Raises `InputError` as
    `find_tables` does, and where it is no such dataset.
    """
    if isinstance(dataset, ChestMnistDataset):
        raw = open_chestmnist(path, side=dataset.side, images=dataset.images, seed=dataset.seed)
        return raw, Tables(labels=None, boxes=None, train_val=None, test=None)
    if isinstance(dataset, Table):
        archive = open_archive(path, by_path=True, record=locate_record(path))
        return archive, find_tables(archive, labels=None)
    archive = _open_tables(path, dataset)
    if isinstance(dataset, Folder | NihBox) and path.is_dir():
        tarballs = open_tarballs(path, archive, numbers=dataset.archives or NUMBERS)
        if tarballs.sizes:
            return tarballs, find_tables(archive, labels=dataset.labels, images=False)
    return archive, find_tables(archive, labels=dataset.labels)


def check_tables(dataset: NihBox) -> None:
    """Raise `InputError` where NIH's label file is not where the user says."""
    archive = _open_tables(Path(), dataset)
    try:
        find_tables(archive, labels=dataset.labels, images=False)
    except InputError as error:
        raise InputError(f"{error}; NIH's tables are at {PAGE}") from None


def _open_tables(path: Path, dataset: AnyDataset) -> Archive:
    beside = locate_table(dataset.tables) if isinstance(dataset, NihBox) else path
    return open_archive(beside, record=locate_record(beside))


def read_tables(archive: Archive, dataset: Table) -> dict[str, bytes]:
    """Return the files of a dataset's table by name: each at its path, or else among the images."""
    contents = {}
    for name in dataset.files:
        path = locate_table(name)
        contents[name] = path.read_bytes() if path.is_file() else archive.call([name]).read(name)
    return contents


def describe_dataset(raw: Raw, tables: Tables, dataset: AnyDataset) -> dict[str, object]:
    """Return what identifies a dataset and how its labels are read, the same on every machine."""
    described = {"source": dataset.source, "labels": dataset.reading}
    if isinstance(raw, ChestMnist):
        return described | raw.describe()
    # A drawn cohort has its panel's readings beside them.
    read = (
        raw.tables if isinstance(dataset, Phantom) and isinstance(raw, Archive) else tables.names
    )
    described |= raw.describe(tables=read)
    if isinstance(dataset, Table) and isinstance(raw, Archive):
        contents = read_tables(raw, dataset).values()
        described["hashes"] = [hashlib.sha256(content).hexdigest() for content in contents]
    if isinstance(dataset, Folder | NihBox) and dataset.archives:
        described["archives"] = dataset.archives
    return described
