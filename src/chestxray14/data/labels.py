"""NIH's label and list files, in all the spellings that circulate."""

import numpy as np
import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS, parse_label
from chestxray14.files.cells import decode, read_cells

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
    "View Position": "view",
}

OLDEST = 120
"""Years above which an age is a typing error (the original file has sixteen, from 148 to 414)."""

_YEARS = {"Y": 1.0, "M": 1 / 12, "D": 1 / 365.25}


def read_labels(content: bytes, *, name: str) -> pd.DataFrame:
    """Return one row an image from a label file such as `Data_Entry_2017.csv`.

    Reads the original spelling (ids like `00000001`, ages like `058Y`), the numeric variant and
    v2020 alike. Columns: image, patient (int), follow_up (int), age (years, NaN where impossible),
    sex (F or M), view (AP or PA), then the 14 findings as 0 and 1. Rows keep the file's order.

    Raises `InputError` naming the file, and the row where there is one, for a missing column, an
    unknown finding, a repeated image or a value that is none.
    """
    raw = read_cells(content, name=name)
    missing = [column for column in COLUMNS if column not in raw.columns]
    if missing:
        raise InputError(f"{name} lacks the column {missing[0]!r}; found {list(raw.columns)}")
    raw = raw[list(COLUMNS)].rename(columns=COLUMNS)
    if raw.empty:
        raise InputError(f"{name} lists no image")
    for column in ("image", "label"):
        _refuse_first(raw[column] == "", name=name, what=f"no {column}")
    _refuse_first(
        raw["image"].str.contains(r"[/\\]", regex=True), name=name, what="a path as image name"
    )
    _refuse_first(raw["image"].duplicated(), name=name, what="an image that an earlier row names")

    _refuse_first(~raw["sex"].isin(["F", "M"]), name=name, what="Patient Gender is not F or M")
    _refuse_first(~raw["view"].isin(["AP", "PA"]), name=name, what="View Position is not AP or PA")

    labels = raw["label"].unique()
    vectors = {}
    for label in labels:
        try:
            vectors[label] = parse_label(label)
        except InputError as error:
            row = int(np.argmax(raw["label"] == label)) + 2
            raise InputError(f"{name} row {row}: {error}") from None
    ages, bad = parse_ages(raw["age"])
    _refuse_first(bad, name=name, what="Patient Age is neither years nor like 058Y")
    table = pd.DataFrame(
        {
            "image": raw["image"],
            "patient": _integers(raw["patient"], name=name, what="Patient ID"),
            "follow_up": _integers(raw["follow_up"], name=name, what="Follow-up #"),
            "age": ages,
            "sex": raw["sex"],
            "view": raw["view"],
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
    names = decode(content, name=name).splitlines()
    while names and not names[-1].strip():
        names.pop()
    seen: set[str] = set()
    for line, image in enumerate(names, start=1):
        if not image or image != image.strip() or "/" in image or "," in image:
            raise InputError(f"{name} line {line}: found {image!r}, expected an image name")
        if image in seen:
            raise InputError(f"{name} line {line}: {image} is listed twice")
        seen.add(image)
    return names


def _refuse_first(bad: "pd.Series[bool]", *, name: str, what: str) -> None:
    if bad.any():
        raise InputError(f"{name} row {int(np.argmax(bad)) + 2}: {what}")


def _integers(column: "pd.Series[str]", *, name: str, what: str) -> "pd.Series[int]":
    _refuse_first(
        ~column.str.fullmatch(r"[0-9]{1,9}"), name=name, what=f"{what} is not a whole number"
    )
    return column.astype("int64")


def parse_ages(column: "pd.Series[str]") -> "tuple[pd.Series[float], pd.Series[bool]]":
    """Return ages in years from `058Y`, `018M` (months), `013D` (days) or plain years, and which
    are none.

    An age that nobody reaches is NaN.
    """
    parts = column.str.extract(r"^([0-9]{1,4}(?:\.[0-9]+)?)([YMD]?)$")
    years = parts[0].astype(float) * parts[1].map(lambda unit: _YEARS.get(unit, 1.0))
    return years.where(years <= OLDEST).round(4), parts[0].isna()
