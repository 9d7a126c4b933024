"""What a raw dataset is: how it is opened, and the manifest by which it is known again."""

import hashlib
from pathlib import Path

from chestxray14.raw.archive import Archive, open_archive
from chestxray14.raw.params import AnyDataset, Table


def open_dataset(path: Path, dataset: AnyDataset) -> Archive:
    """Return the raw dataset at `path`, its files known by basename, those of a table's by path."""
    return open_archive(path, by_path=isinstance(dataset, Table))


def read_tables(archive: Archive, dataset: Table) -> dict[str, bytes]:
    """Return the files of a dataset's table by name."""
    return {name: archive.read_table(name) for name in dataset.files}


def describe_dataset(archive: Archive, dataset: AnyDataset) -> dict[str, object]:
    """Return what identifies a dataset and how its labels are read, the same on every machine."""
    described = {"source": dataset.source, "labels": dataset.reading, **archive.describe()}
    if isinstance(dataset, Table):
        described["tables"] = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in read_tables(archive, dataset).items()
        }
    return described
