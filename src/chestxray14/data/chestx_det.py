"""ChestX-Det: boxes and outlines that three radiologists drew in NIH's images.

Format: Lian et al., IEEE TMI 2021. Its images have names of their own; data/mappings/ has NIH's for
3,543 of the 3,578.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from chestxray14.base.errors import InputError
from chestxray14.data.boxes import SIDES
from chestxray14.data.experts import NO_READERS
from chestxray14.files.cells import decode, read_cells
from chestxray14.files.experts import ExpertSet
from chestxray14.files.packed import IMAGE_PX

NAME = "chestx_det"

DRAWN = (
    *(
        "Atelectasis",
        "Calcification",
        "Cardiomegaly",
        "Consolidation",
        "Diffuse Nodule",
        "Effusion",
    ),
    *("Emphysema", "Fibrosis", "Fracture", "Mass", "Nodule", "Pleural_Thickening", "Pneumothorax"),
)
"""The thirteen findings; the files write `Pleural Thickening`."""

OUTLINE_COLUMNS = ("image", "finding", *SIDES, "outline")


class _Image(BaseModel):
    """One image of a file: names, boxes (x1, y1, x2, y2) and outlines ((x, y), ...) run parallel."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    file_name: str
    syms: list[str]
    boxes: list[tuple[int, int, int, int]]
    polygons: list[list[tuple[int, int]]]


_FILE = TypeAdapter(list[_Image])


def read_names(content: bytes, *, name: str) -> dict[str, str]:
    """Return NIH's name of each image of ChestX-Det from the table of data/mappings/."""
    table = read_cells(content, name=name)
    for column in ("chestx_det", "image"):
        if column not in table:
            raise InputError(f"{name} lacks the column {column!r}; found {list(table.columns)}")
        if (twice := table[column].duplicated()).any():
            raise InputError(f"{name}: {table[column][twice].iloc[0]} is listed twice")
    return dict(zip(table["chestx_det"], table["image"], strict=True))


def read_outlines(
    files: Sequence[tuple[str, bytes]], names: Mapping[str, str]
) -> tuple[ExpertSet, pd.DataFrame, int]:
    """Return the labels of all images, their boxes, and how many images have no name at NIH.

    Files come with the names that an error calls them by; `names` are of `read_names`. In labels a
    Diffuse Nodule is a Nodule; among the boxes it is none. An image may have none of the findings.
    Boxes have `OUTLINE_COLUMNS`: x, y, width and height in a picture of 1024 pixels, and an outline
    as `x y x y ...`. Raises `InputError` naming file and image of what is not as published.
    """
    labels, boxes, unmapped, seen = [], [], 0, set()
    findings = [finding for finding in DRAWN if finding != "Diffuse Nodule"]
    for file, content in files:
        for each in _parse(content, name=file):
            where = f"{file}, {each.file_name}"
            if each.file_name in seen:
                raise InputError(f"{where}: is listed twice")
            seen.add(each.file_name)
            drawn = [_check(where, *row) for row in _rows(each, where=where)]
            image = names.get(each.file_name)
            if image is None:
                unmapped += 1
                continue
            shown = {finding.replace("Diffuse ", "") for finding, *_ in drawn}
            labels.append((image, -1, "", *(int(finding in shown) for finding in findings)))
            boxes += [(image, *row) for row in drawn]
    columns = ["image", "patient", "part", *findings]
    table = pd.DataFrame(labels, columns=columns)
    return (
        ExpertSet(NAME, table, NO_READERS),
        pd.DataFrame(boxes, columns=list(OUTLINE_COLUMNS)),
        unmapped,
    )


def _parse(content: bytes, *, name: str) -> list[_Image]:
    try:
        return _FILE.validate_json(decode(content, name=name))
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"])) or "the whole file"
        raise InputError(
            f"{name}, {place}: {problem['msg']}, found {problem['input']!r:.80}"
        ) from None


def _rows(each: _Image, *, where: str) -> list[tuple[str, Any, Any]]:
    counts = len(each.syms), len(each.boxes), len(each.polygons)
    if len(set(counts)) > 1:
        raise InputError(
            f"{where}: found {counts[0]} findings, {counts[1]} boxes and {counts[2]} outlines, "
            "expected as many of each"
        )
    return list(zip(each.syms, each.boxes, each.polygons, strict=True))


def _check(
    where: str, finding: str, box: tuple[int, int, int, int], polygon: list[tuple[int, int]]
) -> tuple[str, int, int, int, int, str]:
    """Return finding, x, y, width, height and outline, or raise `InputError`."""
    finding = finding.replace("Pleural Thickening", "Pleural_Thickening")
    if finding not in DRAWN:
        raise InputError(f"{where}: found {finding!r}, expected one of {', '.join(DRAWN)}")
    x, y, right, bottom = box
    if not (0 <= x < right <= IMAGE_PX and 0 <= y < bottom <= IMAGE_PX):
        raise InputError(
            f"{where}: found the box {list(box)}, expected x1 < x2 and y1 < y2 within {IMAGE_PX}"
        )
    if len(polygon) < 3 or not all(0 <= value <= IMAGE_PX for point in polygon for value in point):
        raise InputError(
            f"{where}: found an outline of {len(polygon)} points, expected three or more points "
            f"within {IMAGE_PX}"
        )
    outline = " ".join(f"{across} {down}" for across, down in polygon)
    return finding, x, y, right - x, bottom - y, outline
