"""What a raw dataset says of its images, whatever its kind: labels, lists, boxes, readings."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.data.boxes import BOX_COLUMNS, read_boxes
from chestxray14.data.chestx_det import OUTLINE_COLUMNS
from chestxray14.data.expert_files import read_outlines
from chestxray14.data.experts import PANEL, check_counts, match_images, read_experts
from chestxray14.data.given import read_given
from chestxray14.data.labels import detect_label_version, read_labels, read_list
from chestxray14.data.splits import OWN
from chestxray14.data.tables import translate_table
from chestxray14.files.experts import ExpertSet
from chestxray14.raw.archive import Archive
from chestxray14.raw.chestmnist import ChestMnist
from chestxray14.raw.experts import read_expert_file
from chestxray14.raw.manifest import Raw, read_tables
from chestxray14.raw.nih_box import Tarballs, find_archive, name_archive
from chestxray14.raw.params import AnyDataset, ExpertFile, Folder, NihBox, Phantom, Table
from chestxray14.raw.tables import Tables

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contents:
    """What a raw dataset says of its images; `images` has them by the names in `labels`.

    `labels` are as `labels.read_labels`. `lists` are names by list: NIH's `train_val` and `test`, and
    the parts that the dataset itself gives, after `splits.OWN`. `outlines` are ChestX-Det's.
    """

    images: Raw
    labels: pd.DataFrame
    label_version: str
    lists: dict[str, list[str]]
    boxes: pd.DataFrame
    experts: list[ExpertSet]
    outlines: pd.DataFrame


def read_contents(raw: Raw, tables: Tables, dataset: AnyDataset, *, name: str) -> Contents:
    """Return everything but the pixels of the dataset that params.yaml calls `name`.

    Raises `InputError` for a table that cannot be read, and where more of the listed images are
    absent than `max_rejected` allows.
    """
    boxes = pd.DataFrame(columns=BOX_COLUMNS)
    outlines = pd.DataFrame(columns=OUTLINE_COLUMNS)
    lists: dict[str, list[str]] = {}
    experts: list[ExpertSet] = []
    if isinstance(raw, ChestMnist):
        labels, version = read_given(raw), "chestmnist"
    else:
        archive = raw.tables if isinstance(raw, Tarballs) else raw
        stored = len(archive.images)
        if isinstance(dataset, Table):
            labels, version = translate_table(read_tables(archive, dataset), dataset), "table"
            raw = archive = archive.call(labels["image"])
            listing = "the table"
        else:
            listing = str(tables.labels)
            labels = read_labels(archive.read(listing), name=listing)
            drawn = isinstance(dataset, Phantom)
            version = "phantom" if drawn else detect_label_version(labels)
        for part, file in (("train_val", tables.train_val), ("test", tables.test)):
            if file:
                lists[part] = read_list(archive.read(file), name=file)
        if tables.boxes:
            boxes = read_boxes(archive.read(tables.boxes), name=tables.boxes)
        experts, outlines = _read_experts(dataset, archive)
        if isinstance(dataset, Folder | NihBox) and dataset.archives:
            labels, lists = _keep_archives(labels, lists, dataset.archives, name=name)
        for each in experts:
            check_counts(each)
        listed_in = {image: part for part, images in lists.items() for image in images}
        experts = [match_images(each, labels, lists=listed_in) for each in experts]
        # What is absent is known before hours of decoding.
        absent = [
            (image, _say_absent(image, raw)) for image in labels["image"] if image not in raw
        ]
        if len(absent) == len(labels):
            raise InputError(
                f"{raw.path} holds none of the {len(labels):,} images that {listing} lists, "
                f"such as {absent[0][0]}; found {archive.describe_content()}"
            )
        check_rejected(absent, of=len(labels), most=dataset.max_rejected)
        if (unlabelled := stored - (len(labels) - len(absent))) > 0:
            log.info("%s images without a row in %s are passed over", unlabelled, listing)
    if "part" in labels:
        for own, rows in labels.groupby("part", sort=False):
            lists[f"{OWN}{own}"] = rows["image"].tolist()
        labels = labels.drop(columns="part")
    return Contents(raw, labels, version, lists, boxes, experts, outlines)


def check_rejected(rejected: Sequence[tuple[str, str]], *, of: int, most: float) -> None:
    """Raise `InputError` where more images cannot be read than a share allows, or none can.

    `rejected` are names with the reason.
    """
    if len(rejected) / of > most or len(rejected) == of:
        name, reason = rejected[0]
        why = (
            "none is left" if len(rejected) == of else f"more than max_rejected = {most:g} allows"
        )
        raise InputError(
            f"{len(rejected):,} of {of:,} listed images cannot be read, {why}; "
            f"the first: {name} ({reason})"
        )


def _say_absent(name: str, raw: Archive | Tarballs) -> str:
    if isinstance(raw, Tarballs):
        return f"not in {raw.path}, which lacks {name_archive(find_archive(name))}"
    return f"not in {raw.path}"


def _keep_archives(
    labels: pd.DataFrame, lists: dict[str, list[str]], archives: list[int], *, name: str
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Return the rows of some of NIH's archives, and name the others."""
    kept = labels["image"].map(find_archive).isin(archives)
    left_out = sorted(set(labels.loc[~kept, "image"].map(find_archive)))
    log.warning(
        "datasets.%s.archives: %s label rows are left out, those of %s",
        *(name, f"{(~kept).sum():,}", ", ".join(map(name_archive, left_out)) or "none"),
    )
    if not kept.any():
        raise InputError(
            f"datasets.{name}.archives: found {archives}, which hold none of the {len(labels):,} "
            "listed images"
        )
    labels = labels[kept].reset_index(drop=True)
    images = set(labels["image"])
    return labels, {part: [i for i in names if i in images] for part, names in lists.items()}


def _read_experts(dataset: AnyDataset, archive: Archive) -> tuple[list[ExpertSet], pd.DataFrame]:
    """Return the sets of radiologists' readings that a dataset has, and their outlines."""
    sets, outlines = [], pd.DataFrame(columns=OUTLINE_COLUMNS)
    if isinstance(dataset, Phantom):
        labels, readers = ((name, archive.read(name)) for name in PANEL)
        sets.append(read_experts("panel", [labels], readers))
    chosen = dataset.experts
    if chosen and chosen.all_findings:
        labels, readers = map(_read, (chosen.all_findings.labels, chosen.all_findings.readers))
        sets.append(read_experts("all_findings", [labels], readers))
    if chosen and (four := chosen.four_findings):
        read = _read(four.readers) if four.readers else None
        sets.append(read_experts("four_findings", list(map(_read, four.labels)), read))
    if chosen and chosen.chestx_det:
        found, outlines, unnamed = read_outlines(list(map(_read, chosen.chestx_det.outlines)))
        log.info("chestx_det: %d images have no name at NIH and are left out", unnamed)
        sets.append(found)
    return sets, outlines


def _read(file: ExpertFile) -> tuple[str, bytes]:
    return file.path, read_expert_file(file)
