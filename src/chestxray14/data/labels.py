"""NIH's label and list files, in all the spellings that circulate."""

import re
from typing import Any

import numpy as np
import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS, parse_label
from chestxray14.files.cells import decode, pick_columns, read_cells
from chestxray14.files.names import spell

FULL_IMAGES = 112_120
"""Rows of the whole `Data_Entry_2017.csv`."""

PNEUMONIA_POSITIVES = {1353: "original", 1431: "v2020"}
"""The two label versions differ on 181 images; Pneumonia's count in the full file tells them apart."""

COLUMNS = {
    "Image Index": "image",
    "Finding Labels": "label",
    "Follow-up #": "follow_up",
    "Patient ID": "patient",
    "Patient Age": "age",
    "Patient Gender": "sex",
    "Patient Sex": "sex",
    "View Position": "view",
}
"""Our columns by NIH's, whose present file calls one otherwise than its older copies."""

_SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}

OLDEST = 120
"""Years above which an age is a typing error (the original file has sixteen, from 148 to 414)."""

_YEARS = {"": 1.0, "Y": 1.0, "M": 1 / 12, "D": 1 / 365.25}

_LABELLED = re.compile(r"\S+([ ,;\t]+-?[01](\.0)?)+\s*")
"""A line of the lists that go with CheXNet's copies: a name, then zeros and ones."""


def read_labels(content: bytes, *, name: str) -> pd.DataFrame:
    """Return one row an image from a label file such as `Data_Entry_2017.csv`.

    Reads the original spelling (ids like `00000001`, ages like `058Y`), the numeric variant and
    v2020 alike, and what others made of them: `No_Finding`, `058y`, `male`. Columns: image, patient
    (int, or text where one is no number), follow_up (int), age (years, NaN where impossible), sex (F
    or M), view (AP or PA), then the 14 findings as 0 and 1. Rows keep the file's order.

    Raises `InputError` naming the file, and row and value where there is one, for a missing column,
    an unknown finding, a repeated image or a value that is none.
    """
    raw = read_cells(content, name=name)
    called = pick_columns(raw, COLUMNS, name=name)
    raw = pd.DataFrame({ours: raw[theirs] for ours, theirs in called.items()})
    if raw.empty:
        raise InputError(f"{name} lists no image")
    image = raw["image"].map(spell)
    sex, view = raw["sex"].str.lower().map(_SEXES), raw["view"].str.upper()

    def refuse(bad: "pd.Series[bool]", column: str, expected: str) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"{name} row {row + 2}, {called[column]}: found {raw[column].iloc[row]!r}, "
                f"expected {expected}"
            )

    for column in ("image", "label", "patient"):
        refuse(raw[column] == "", column, "a name")
    refuse(image.str.contains(r"[/\\]", regex=True), "image", "a file's name without folders")
    refuse(image.duplicated(), "image", "an image that no earlier row names")
    refuse(sex.isna(), "sex", "F or M")
    refuse(~view.isin(["AP", "PA"]), "view", "AP or PA")
    follow_up = raw["follow_up"].str.extract(r"^([0-9]{1,9})(?:\.0+)?$")[0]
    refuse(follow_up.isna(), "follow_up", "a whole number")
    age = raw["age"].str.upper().str.extract(r"^([0-9]{1,4}(?:\.[0-9]+)?) ?([YMD]?)$")
    refuse(age[0].isna(), "age", "years, or a text like 058Y, 018M or 013D")

    labels = raw["label"].unique()
    vectors = {}
    for label in labels:
        try:
            vectors[label] = parse_label(label)
        except InputError as error:
            row = int(np.argmax(raw["label"] == label)) + 2
            raise InputError(f"{name} row {row}: {error}") from None
    table = pd.DataFrame(
        {
            "image": image,
            "patient": _number(raw["patient"]),
            "follow_up": follow_up.astype("int64"),
            "age": _years(age[0].astype(float), unit=age[1]),
            "sex": sex,
            "view": view,
        }
    )
    matrix = np.stack([vectors[label] for label in raw["label"]])
    return table.assign(**{finding: matrix[:, i] for i, finding in enumerate(FINDINGS)})


def detect_label_version(table: pd.DataFrame) -> str:
    """Return `original`, `v2020`, or `undetermined` for a part of the full label file."""
    if len(table) != FULL_IMAGES:
        return "undetermined"
    return PNEUMONIA_POSITIVES.get(int(table["Pneumonia"].sum()), "undetermined")


def read_list(content: bytes, *, name: str) -> list[str]:
    """Return the image names of a list file, one a line, with or without a final newline.

    Raises `InputError` naming the file and line of a repeated name or of text that is no name.
    """
    names = [spell(line) for line in decode(content, name=name).splitlines()]
    while names and not names[-1].strip():
        names.pop()
    seen: set[str] = set()
    for line, image in enumerate(names, start=1):
        if _LABELLED.fullmatch(image):
            raise InputError(
                f"{name} line {line}: found {image!r}, a name and labels, expected image names alone, "
                f"one a line; `grep -oE '^[^ ,;]+' {name}` prints them"
            )
        if not image or image != image.strip() or "/" in image or "," in image:
            raise InputError(f"{name} line {line}: found {image!r}, expected an image name")
        if image in seen:
            raise InputError(f"{name} line {line}: {image} is listed twice")
        seen.add(image)
    return names


def _number(patients: "pd.Series[str]") -> "pd.Series[Any]":
    """Return ids as numbers where all are, so that `00000001` and `1` are one patient."""
    whole = patients.str.fullmatch("[0-9]{1,18}")
    return patients.astype("int64") if whole.all() else patients


def _years(age: "pd.Series[float]", *, unit: "pd.Series[str]") -> "pd.Series[float]":
    """Return ages in years, NaN where nobody is as old."""
    years = age * unit.map(_YEARS)
    return years.where(years <= OLDEST).round(4)
