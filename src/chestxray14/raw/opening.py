"""The raw dataset of a block of params.yaml, opened where it lies."""

from pathlib import Path

from chestxray14.base.errors import InputError
from chestxray14.raw.archive import Archive, open_archive
from chestxray14.raw.chestmnist import ChestMnist, open_chestmnist
from chestxray14.raw.nih_box import NUMBERS, PAGE, Tarballs, open_tarballs
from chestxray14.raw.params import AnyDataset, ChestMnistDataset, Folder, NihBox
from chestxray14.raw.place import locate_record
from chestxray14.raw.tables import Tables, find_tables

Raw = Archive | Tarballs | ChestMnist


def open_raw(path: Path, dataset: AnyDataset) -> Raw:
    """Return what lies at `path`; raises `InputError` where it is not such a dataset."""
    if isinstance(dataset, ChestMnistDataset):
        return open_chestmnist(path, side=dataset.side, images=dataset.images, seed=dataset.seed)
    beside = Path(dataset.tables) if isinstance(dataset, NihBox) else path
    archive = open_archive(beside, record=locate_record(beside))
    if isinstance(dataset, Folder | NihBox) and path.is_dir():
        tarballs = open_tarballs(path, archive, numbers=dataset.archives or NUMBERS)
        return tarballs if tarballs.sizes else archive
    return archive


def open_tables(raw: Archive | Tarballs, dataset: AnyDataset) -> tuple[Archive, Tables]:
    """Return what holds NIH's tables, and their names there; `InputError` where labels lack."""
    archive = raw.tables if isinstance(raw, Tarballs) else raw
    try:
        return archive, find_tables(
            archive, labels=str(dataset.labels), images=isinstance(raw, Archive)
        )
    except InputError as error:
        if isinstance(dataset, NihBox):
            raise InputError(f"{error}; NIH's tables are at {PAGE}") from None
        raise


def check_tables(dataset: NihBox) -> None:
    """Raise `InputError` where NIH's label file is not where the user says."""
    folder = Path(dataset.tables)
    open_tables(Tarballs(folder, tables=open_archive(folder), sizes={}), dataset)


def describe_raw(raw: Raw, dataset: AnyDataset) -> dict[str, object]:
    """Return what a manifest says of a raw dataset, the same on every machine."""
    if isinstance(raw, ChestMnist):
        return {"source": dataset.source, **raw.describe()}
    _, tables = open_tables(raw, dataset)
    described = {"source": dataset.source, **raw.describe(tables=tables.names)}
    if isinstance(dataset, Folder | NihBox) and dataset.archives:
        described["archives"] = dataset.archives
    return described
