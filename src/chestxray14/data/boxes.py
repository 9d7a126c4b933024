"""The boxes that radiologists drew: NIH's list, and which of them count.

A box is x, y, width and height in a picture of 1024 pixels a side, from its upper left corner.
"""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.base.findings import BOXED_FINDINGS, spell_finding
from chestxray14.files.cells import pick_columns, read_cells
from chestxray14.files.names import spell
from chestxray14.files.packed import IMAGE_PX

SIDES = ("x", "y", "width", "height")

BOX_COLUMNS = ("image", "finding", *SIDES)

TOLERANCE_PX = 1
"""How far a box may reach out of the picture: the list has been scaled from original sizes."""

COLUMNS = {
    "Image Index": "image",
    "Finding Label": "finding",
    **dict(zip(("Bbox [x", "y", "w", "h]"), SIDES, strict=True)),
}
"""The header's `Bbox [x,y,w,h]` has commas of its own, so that it names four columns."""


def read_boxes(content: bytes, *, name: str) -> pd.DataFrame:
    """Return one row a box from a list such as `BBox_List_2017.csv`, in the file's order.

    Columns: image, finding (`Infiltrate` is read as Infiltration), then x, y, width and height as
    floats. An image may have several boxes, and a list none. Raises `InputError` naming the file,
    and the row where there is one, for a missing column, a finding without boxes in ChestX-ray14,
    a box that is no number, has no area, leaves the picture or is listed twice.
    """
    raw = read_cells(content, name=name)
    called = pick_columns(raw, COLUMNS, name=name)
    table = pd.DataFrame({ours: raw[theirs] for ours, theirs in called.items()})
    table["image"] = table["image"].map(spell)
    table["finding"] = table["finding"].map(spell_finding)
    return check_boxes(table, name=name)


def check_boxes(table: pd.DataFrame, *, name: str) -> pd.DataFrame:
    """Return a table of `BOX_COLUMNS` with its sides as floats.

    Raises `InputError` naming the file and row as `read_boxes` does.
    """
    written, table = table, table.copy()
    for side in SIDES:
        table[side] = pd.to_numeric(table[side], errors="coerce").astype("float64")

    def refuse(bad: "pd.Series[bool]", column: str, expected: str) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"{name} row {row + 2}, {column}: found {str(written[column].iloc[row])!r}, "
                f"expected {expected}"
            )

    refuse(table["image"].isin(["", np.nan]), "image", "an image name")
    refuse(
        ~table["finding"].isin(BOXED_FINDINGS), "finding", "one of " + ", ".join(BOXED_FINDINGS)
    )
    for side in SIDES:
        refuse(table[side].isna(), side, "a number")
    for start, length in (("x", "width"), ("y", "height")):
        refuse(table[length] <= 0, length, "a number above 0")
        inside = f"a box within 0 to {IMAGE_PX}"
        refuse(table[start] < -TOLERANCE_PX, start, inside)
        end = table[start] + table[length]
        refuse(end > IMAGE_PX + TOLERANCE_PX, length, f"{inside}, it ends beyond")
    refuse(table.duplicated(), "image", "a box that no earlier row has")
    return table


def choose_boxes(
    boxes: pd.DataFrame, *, part_of: Mapping[str, str], findings: Collection[str]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the boxes that count, and how many are left out, by reason.

    Those count that lie on test images, `part_of` naming the part of each image that has one, and
    show one of the `findings` a network predicts. `boxes` are those of `read_boxes`.
    """
    part = boxes["image"].map(part_of)
    tested, predicted = part == "test", boxes["finding"].isin(findings)
    left_out = {
        "train": int((part == "train").sum()),
        "val": int((part == "val").sum()),
        "in_no_part": int(part.isna().sum()),
        "not_predicted": int((tested & ~predicted).sum()),
    }
    return boxes[tested & predicted].reset_index(drop=True), left_out
