"""What radiologists say of NIH's images: Google's two sets, and the drawn panel's.

Formats: Nabulsi et al., Scientific Reports 2021 (all findings, and the panel, which is written like
it) and Majkowska et al., Radiology 2020 (four findings). Findings are named as NIH names them;
those that NIH has no name for keep theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.files.cells import read_cells
from chestxray14.files.experts import READER_COLUMNS, ExpertSet

NO_READERS = pd.DataFrame(columns=list(READER_COLUMNS))

_YES_NO = {"YES": 1.0, "NO": 0.0}


@dataclass(frozen=True)
class _Format:
    """How a set's files are written.

    `image` is the column of image names in the labels' file; `labels` and `readers` are the column
    of each finding there and in the readers' file, `values` what a finding may be in the latter where
    that is not YES and NO. `reference` are the readers whose majority makes the labels; without them
    all readers are of the panel that made the labels by discussion. `part` is the one of NIH's
    lists, or the column that tells it.
    """

    image: str
    labels: Mapping[str, str]
    readers: Mapping[str, str]
    values: Mapping[str, Mapping[str, float]]
    reference: tuple[str, ...] | None
    part: str


_FOURTEEN = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia"),
    *("Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis"),
    *("Pleural_Thickening", "Hernia"),
)
"""As published, which is NIH's order; the files write `Pleural Thickening`."""

_ALL = {f: f.replace("_", " ") for f in ("Abnormal", *_FOURTEEN, "Other")}
_FOUR = {f: f for f in ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")}
_HEDGED = _YES_NO | {"HEDGE": np.nan}

PANEL = "panel_labels.csv", "panel_readers.csv"
"""The files of the drawn panel, in the drawn dataset itself."""

PANEL_REFERENCE = ("1", "2", "3")
"""The readers of the drawn panel whose majority makes its labels."""

_ALL_FINDINGS = _Format(
    image="Image ID",
    labels=_ALL,
    readers=_ALL,
    values={"Abnormal": {"1": 1.0, "0": 0.0}},
    reference=("4343882785", "4343883593", "4343883996"),
    part="test",
)

FORMATS = {
    "all_findings": _ALL_FINDINGS,
    "four_findings": _Format(
        image="Image Index",
        labels=_FOUR,
        readers=_FOUR | {"Nodule or mass": "Nodule/mass"},
        values=dict.fromkeys(_FOUR, _HEDGED),
        reference=None,
        part="Set Id",
    ),
    "panel": replace(_ALL_FINDINGS, reference=PANEL_REFERENCE, part=""),
}
"""The sets that are tables of images by findings."""

_PARTS = {"test": "test", "val": "train_val"}
"""Google's validation images lie in NIH's train_val list."""


def read_experts(
    name: str,
    labels: Sequence[tuple[str, bytes]],
    readers: tuple[str, bytes] | None = None,
) -> ExpertSet:
    """Return a set of `FORMATS` from its label files and, if any, its readers' file.

    Files come with the names that an error calls them by. Raises `InputError` naming file, row and
    column of whatever is not as published, and where the labels are not the majority of the
    readers that made them.
    """
    form = FORMATS[name]
    parts = [_read_labels(content, form=form, name=file) for file, content in labels]
    table = pd.concat(parts, ignore_index=True)
    if (twice := table["image"].duplicated()).any():
        raise InputError(f"{labels[-1][0]} lists {table['image'][twice].iloc[0]} once more")
    if readers is None:
        return ExpertSet(name, table, NO_READERS)
    file, content = readers
    readings = _read_readers(content, form=form, name=file)
    unknown = sorted(set(readings["image"]) - set(table["image"]))
    if unknown and len(unknown) == readings["image"].nunique():
        raise InputError(f"{file} shares no image with {labels[0][0]}")
    # The readers of both parts are in one file, also where one part is asked for.
    readings = readings[readings["image"].isin(table["image"])].reset_index(drop=True)
    _check_patients(readings, table.set_index("image")["patient"], name=file)
    if form.reference:
        _check_majority(table, readings, form=form, name=file)
    return ExpertSet(name, table, readings.drop(columns="patient"))


PUBLISHED = {
    "all_findings": {"test": 810},
    "four_findings": {"test": 1962, "train_val": 2414},
}
"""Images of each set, by part."""


def check_counts(experts: ExpertSet) -> None:
    """Raise `InputError` where a part of a set has not as many images as were published."""
    for part, found in experts.labels["part"].value_counts().items():
        expected = PUBLISHED.get(experts.name, {}).get(str(part), found)
        if found != expected:
            raise InputError(
                f"experts {experts.name}: found {found:,} images of {part}, expected {expected:,}"
            )


def match_images(
    experts: ExpertSet, known: pd.DataFrame, *, lists: Mapping[str, str] | None = None
) -> ExpertSet:
    """Return the readings of the images that are known, sure that they are of the same patients.

    `known` has image and patient, `lists` names the official list (`test` or `train_val`) of images
    that are in one. Raises `InputError` for an image of another patient or another list.
    """
    patient = known.set_index("image")["patient"]
    kept = experts.restrict(patient.index)
    labels = kept.labels
    if (labels["patient"] >= 0).all():
        _check_patients(labels, patient, name=f"experts {experts.name}")
    listed = labels["image"].map(dict(lists or {}))
    other = listed.notna() & (labels["part"] != "") & (listed != labels["part"])
    if other.any():
        row = int(np.argmax(other))
        raise InputError(
            f"experts {experts.name}: {labels['image'][row]} is of {labels['part'][row]}, "
            f"found in the list {listed[row]}"
        )
    labels = labels.assign(patient=patient.reindex(labels["image"]).to_numpy())
    return ExpertSet(experts.name, labels, kept.readers)


def _read_labels(content: bytes, *, form: _Format, name: str) -> pd.DataFrame:
    raw = read_cells(content, name=name)
    if "Reader ID" in raw:
        raise InputError(f"{name} has a column Reader ID: these are readers', expected labels")
    table = _head(raw, image=form.image, name=name)
    _refuse(table["image"].duplicated(), table["image"], name=name, what="is listed twice")
    table["part"] = form.part
    if form.part in raw:
        table["part"] = _translate(raw, form.part, _PARTS, name=name)
    for finding, column in form.labels.items():
        table[finding] = _translate(raw, column, _YES_NO, name=name).astype("int64")
    return table


def _read_readers(content: bytes, *, form: _Format, name: str) -> pd.DataFrame:
    raw = read_cells(content, name=name)
    table = _head(raw, image="Image ID", name=name)
    table["reader"] = _column(raw, "Reader ID", name=name)
    bad = ~table["reader"].str.fullmatch(r"[1-9][0-9]{0,11}")
    _refuse(bad, table["reader"], name=name, what="is no Reader ID")
    table["reference"] = table["reader"].isin(form.reference or table["reader"]).astype("int64")
    for finding, column in form.readers.items():
        values = form.values.get(finding, _YES_NO)
        table[finding] = _translate(raw, column, values, name=name)
    if form.reference:
        # Four findings has four images that one reader read twice.
        twice = table.duplicated(["image", "reader"])
        _refuse(twice, table["image"], name=name, what="has this reader already")
    return table


def _head(raw: pd.DataFrame, *, image: str, name: str) -> pd.DataFrame:
    """Return image and patient of each row."""
    images, patients = (_column(raw, column, name=name) for column in (image, "Patient ID"))
    if raw.empty:
        raise InputError(f"{name} lists no image")
    _refuse(images == "", images, name=name, what="is no image name")
    bad = ~patients.str.fullmatch(r"[0-9]{1,9}")
    _refuse(bad, patients, name=name, what="is no Patient ID")
    return pd.DataFrame({"image": images, "patient": patients.astype("int64")})


def _column(raw: pd.DataFrame, column: str, *, name: str) -> "pd.Series[str]":
    if column not in raw:
        raise InputError(f"{name} lacks the column {column!r}; found {list(raw.columns)}")
    return raw[column]


def _translate(
    raw: pd.DataFrame, column: str, values: Mapping[str, str | float], *, name: str
) -> "pd.Series[float]":
    """Return a column's values, each one of the keys of `values`, or raise `InputError`."""
    written = _column(raw, column, name=name)
    what = f"in {column}, expected {' or '.join(values)}"
    _refuse(~written.isin(list(values)), written, name=name, what=what)
    translated: pd.Series[float] = written.map(dict(values))
    return translated


def _check_patients(table: pd.DataFrame, patient: "pd.Series[int]", *, name: str) -> None:
    other = table["patient"].to_numpy() != patient.reindex(table["image"]).to_numpy()
    if other.any():
        row = int(np.argmax(other))
        image = table["image"].iloc[row]
        raise InputError(
            f"{name}: {image} is of patient {table['patient'].iloc[row]}, expected {patient[image]}"
        )


def _check_majority(
    labels: pd.DataFrame, readings: pd.DataFrame, *, form: _Format, name: str
) -> None:
    """Raise `InputError` where a label is not what most of the reference's readers say."""
    made = readings[readings["reference"] == 1]
    counts = made.groupby("image").size().reindex(labels["image"], fill_value=0)
    if (counts != len(form.reference or ())).any():
        image = counts.index[int(np.argmax(counts != len(form.reference or ())))]
        raise InputError(
            f"{name}: {counts[image]} readings of {image} by readers "
            f"{', '.join(form.reference or ())}, expected one of each"
        )
    # Of Other, which is no finding of NIH's, the published labels are not the majority.
    findings = [finding for finding in form.labels if finding != "Other"]
    most = made.groupby("image")[findings].mean().reindex(labels["image"]) > 0.5
    differ = most.to_numpy() != (labels[findings] == 1).to_numpy()
    if differ.any():
        row, column = np.argwhere(differ)[0]
        raise InputError(
            f"{name}: the published label of {labels['image'][row]}, {findings[column]}, is not what "
            f"most of the readers {', '.join(form.reference or ())} say"
        )


def _refuse(bad: "pd.Series[bool]", found: "pd.Series[str]", *, name: str, what: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"{name} row {row + 2}: {found.iloc[row]!r} {what}")
