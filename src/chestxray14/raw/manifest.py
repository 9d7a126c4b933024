"""What a raw dataset is: how it is opened, and the manifest by which it is known again."""

import hashlib
from pathlib import Path

from chestxray14.raw.archive import Archive, open_archive
from chestxray14.raw.params import AnyDataset, Phantom, Table
from chestxray14.raw.place import locate_record, locate_table
from chestxray14.raw.tables import Tables, find_tables


def open_dataset(path: Path, dataset: AnyDataset) -> tuple[Archive, Tables]:
    """Return the raw dataset at `path` and which of its files are NIH's tables.

    Its files are known by basename, beside anybody's table by path. Raises `InputError` as
    `find_tables` does.
    """
    by_path = isinstance(dataset, Table)
    archive = open_archive(path, by_path=by_path, record=locate_record(path))
    labels = None if isinstance(dataset, Table) else dataset.labels
    return archive, find_tables(archive, labels=labels)


def read_tables(archive: Archive, dataset: Table) -> dict[str, bytes]:
    """Return the files of a dataset's table by name: each at its path, or else among the images."""
    contents = {}
    for name in dataset.files:
        path = locate_table(name)
        contents[name] = path.read_bytes() if path.is_file() else archive.call([name]).read(name)
    return contents


def describe_dataset(archive: Archive, tables: Tables, dataset: AnyDataset) -> dict[str, object]:
    """Return what identifies a dataset and how its labels are read, the same on every machine."""
    # A drawn cohort has its panel's readings beside them.
    read = archive.tables if isinstance(dataset, Phantom) else tables.names
    described = archive.describe(tables=read)
    described = {"source": dataset.source, "labels": dataset.reading, **described}
    if isinstance(dataset, Table):
        contents = read_tables(archive, dataset).values()
        described["hashes"] = [hashlib.sha256(content).hexdigest() for content in contents]
    return described
