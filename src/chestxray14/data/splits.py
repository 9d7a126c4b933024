"""Who is trained on, who validates, who tests: the protocols and their leakage check."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chestxray14.base.draws import generator
from chestxray14.base.errors import InputError, name_some
from chestxray14.data.labels import read_list
from chestxray14.data.params import ListSplit, OfficialSplit, RandomSplit
from chestxray14.files.names import hash_names
from chestxray14.files.packed import count_patients, list_findings

PARTS = ("train", "val", "test")

OFFICIAL = ("train_val", "test")
"""NIH's two lists, as lists.csv has them."""

OWN = "own "
"""What lists.csv puts before the parts of a dataset's own table."""


def require_patients(index: pd.DataFrame) -> None:
    """Raise `InputError` where a dataset names no patients."""
    if index["patient"].isna().any():
        raise InputError(
            "the dataset names no patients, and so no split of it can be checked for leakage; say "
            "`patient: image` in its `columns` if every image is its own patient"
        )


def split_at_random(index: pd.DataFrame, protocol: RandomSplit) -> "pd.Series[str]":
    """Return the part of each image: whole patients drawn at random, or single images (LEAKY).

    Shares are of what is drawn, rounded to whole patients or images. The draw depends on the
    seed and on the set of them, not on the order of rows. Where the protocol says `at_most`, each
    part keeps the first of its patients (or images) drawn, as many as fit; the part of the
    others is NaN. So with one seed the smaller split lies within the larger one.
    """
    unit = index[protocol.kind]
    shuffled = generator("split", protocol.seed).permutation(np.sort(unit.unique()))
    train = round(protocol.train * len(shuffled))
    val = round(protocol.val * len(shuffled))
    sizes = (train, val, len(shuffled) - train - val)
    parts = np.repeat(PARTS, sizes).tolist()
    part = unit.map(dict(zip(shuffled.tolist(), parts, strict=True)))
    if protocol.at_most is None:
        return part
    drawn = pd.DataFrame({"unit": shuffled, "part": parts})
    drawn["images"] = drawn["unit"].map(unit.value_counts())
    most = drawn["part"].map(protocol.at_most.model_dump())
    kept = drawn.loc[drawn.groupby("part")["images"].cumsum() <= most, "unit"]
    return part.where(unit.isin(kept))


def name_absent(lists: pd.DataFrame) -> str:
    """Return which of NIH's two lists a dataset lacks, nothing where it has both."""
    return " and ".join(f"{part}_list.txt" for part in OFFICIAL if part not in set(lists["list"]))


def split_officially(
    index: pd.DataFrame, protocol: OfficialSplit, *, lists: pd.DataFrame
) -> "pd.Series[str]":
    """Return the part of each image by NIH's two lists.

    `lists` has the columns image and list (`train_val` or `test`); a share `protocol.val` of the
    train_val patients is drawn for validation. Raises `InputError` when the lists share an image, or do not name exactly the images of the label file.
    """
    lists = lists[lists["list"].isin(OFFICIAL)]
    twice = lists.loc[lists["image"].duplicated(), "image"]
    if len(twice):
        raise InputError(f"the official lists share {len(twice):,} images: {name_some(twice)}")
    official = dict(zip(lists["image"], lists["list"], strict=True))
    known = set(index["image"])
    unknown = sorted(set(official) - known)
    if unknown:
        raise InputError(
            f"the official lists name {len(unknown):,} images that the label file lacks: "
            f"{name_some(unknown)}"
        )
    unlisted = sorted(known - set(official))
    if unlisted:
        raise InputError(
            f"the label file names {len(unlisted):,} images that neither official list has: "
            f"{name_some(unlisted)}"
        )
    side = index["image"].map(official)
    patients = np.sort(index.loc[side == "train_val", "patient"].unique())
    shuffled = generator("official", protocol.seed).permutation(patients)
    val = set(shuffled[: round(protocol.val * len(shuffled))].tolist())
    return side.where(
        side == "test", index["patient"].map(lambda patient: "val" if patient in val else "train")
    )


def split_by_table(index: pd.DataFrame, *, lists: pd.DataFrame) -> "pd.Series[str]":
    """Return the part of each image by the parts in which the dataset's own table comes.

    `lists` is as of `split_officially`, its own parts called `own train` and so on. Raises
    `InputError` when there are none.
    """
    own = lists[lists["list"].str.startswith(OWN)]
    if own.empty:
        raise InputError("the dataset's table does not come in train, val and test")
    return index["image"].map(
        dict(zip(own["image"], own["list"].str.removeprefix(OWN), strict=True))
    )


def count_mixed(lists: pd.DataFrame) -> int:
    """Return how many images the dataset's own train and val have of NIH's test list."""
    learned = lists["list"].isin([f"{OWN}train", f"{OWN}val"])
    official = lists.loc[lists["list"] == "test", "image"]
    return int(lists.loc[learned, "image"].isin(official).sum())


def split_by_lists(index: pd.DataFrame, protocol: ListSplit) -> "pd.Series[str]":
    """Return the part of each image by three list files, NaN where none names it.

    Raises `InputError` when a file is absent, has another hash, names an unknown image, or one
    that another list has.
    """
    part_of: dict[str, str] = {}
    known = set(index["image"])
    for part in PARTS:
        path = Path(getattr(protocol, part))
        try:
            names = read_list(path.read_bytes(), name=str(path))
        except OSError as error:
            raise InputError(f"list {path} cannot be read: {error.strerror}") from None
        found, expected = hash_names(names), getattr(protocol.sha256, part)
        if found != expected:
            raise InputError(f"{path} has sha256 {found}, expected {expected}")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InputError(
                f"{path} names {len(unknown):,} images that the dataset lacks: "
                f"{name_some(unknown)}"
            )
        twice = [name for name in names if name in part_of]
        if twice:
            raise InputError(f"{path} names {twice[0]}, which the {part_of[twice[0]]} list has")
        part_of.update(dict.fromkeys(names, part))
    return index["image"].map(part_of)


def check_parts(index: pd.DataFrame, parts: "pd.Series[str]", *, leaky: bool) -> int:
    """Return how many patients are in more than one part.

    Raises `InputError` when there is one (the `leaky` control excepted), when a part is empty, or
    when there is but one image to train on.
    """
    for part in PARTS:
        if not (parts == part).any():
            raise InputError(
                f"the {part} part has no image; the dataset, or the split's at_most, is too small"
            )
    if (parts == "train").sum() == 1:
        raise InputError(
            "the train part has one image; the dataset, or the split's at_most, is too small"
        )
    sides = parts.groupby(index["patient"]).nunique()
    shared = sides[sides > 1].index
    if len(shared) and not leaky:
        raise InputError(
            f"LEAK: {len(shared):,} patients are in more than one part, for example patient "
            f"{shared[0]}; a patient must be on one side only"
        )
    return len(shared)


def measure_prevalence(index: pd.DataFrame) -> dict[str, float]:
    """Return the share of the images that show each finding, of those of which it is known."""
    shares = index[list(list_findings(index))].mean().fillna(0)
    return {str(finding): round(float(share), 6) for finding, share in shares.items()}


def describe_split(index: pd.DataFrame, parts: "pd.Series[str]", *, kind: str) -> dict[str, Any]:
    """Return the metrics of a split: images, patients, prevalence and hash of each part."""
    metrics: dict[str, Any] = {"kind": kind}
    for part in PARTS:
        rows = index[parts == part]
        metrics[part] = {
            "images": len(rows),
            "patients": count_patients(rows),
            "sha256": hash_names(rows["image"]),
            "prevalence": measure_prevalence(rows),
        }
        if unknown := {f: n for f in list_findings(rows) if (n := int(rows[f].isna().sum()))}:
            metrics[part] |= {"unknown": unknown}
    return metrics
