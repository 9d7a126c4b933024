"""ChestX-Det's files: names, labels, boxes, outlines."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT

from chestxray14.base.errors import InputError
from chestxray14.data.chestx_det import read_names, read_outlines
from chestxray14.data.experts import match_images
from chestxray14.data.labels import read_labels, read_list
from chestxray14.files.foreign import read_foreign

SQUARE = [[10, 20], [40, 20], [40, 60], [10, 60]]


def image(name: str = "1.png", **changes: Any) -> dict[str, Any]:
    """Return an image with one effusion, from (10, 20) to (40, 60)."""
    one = {"file_name": name, "syms": ["Effusion"], "boxes": [[10, 20, 40, 60]]}
    return one | {"polygons": [SQUARE]} | changes


def write(*images: dict[str, Any]) -> list[tuple[str, bytes]]:
    return [("det.json", json.dumps(images).encode())]


NAMES = {"1.png": "a.png", "2.png": "b.png"}


def test_boxes_become_corner_and_sides_and_outlines_text() -> None:
    _, boxes, unnamed = read_outlines(write(image()), NAMES)
    (row,) = boxes.to_dict("records")
    assert row == {
        "image": "a.png",
        "finding": "Effusion",
        "x": 10,
        "y": 20,
        "width": 30,
        "height": 40,
        "outline": "10 20 40 20 40 60 10 60",
    }
    assert unnamed == 0


def test_a_diffuse_nodule_is_a_nodule_in_labels_and_none_among_boxes() -> None:
    diffuse = image(syms=["Diffuse Nodule"])
    experts, boxes, _ = read_outlines(write(diffuse, image("2.png")), NAMES)
    assert experts.labels["Nodule"].tolist() == [1, 0]
    assert experts.labels["Effusion"].tolist() == [0, 1]
    assert "Diffuse Nodule" not in experts.findings
    assert boxes["finding"].tolist() == ["Diffuse Nodule", "Effusion"]


def test_an_image_may_have_nothing_or_several_boxes_of_a_finding() -> None:
    nothing = image("2.png", syms=[], boxes=[], polygons=[])
    two = image(syms=["Pleural Thickening"] * 2, boxes=[[0, 0, 5, 5]] * 2, polygons=[SQUARE] * 2)
    experts, boxes, _ = read_outlines(write(nothing, two), NAMES)
    assert boxes["finding"].tolist() == ["Pleural_Thickening"] * 2
    labels = experts.labels.set_index("image")[list(experts.findings)].sum(axis=1)
    assert labels.to_dict() == {"b.png": 0, "a.png": 1}


def test_images_without_a_name_at_nih_are_counted() -> None:
    experts, boxes, unnamed = read_outlines(write(image(), image("9.png")), NAMES)
    assert experts.labels["image"].tolist() == ["a.png"]
    assert len(boxes) == 1
    assert unnamed == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"syms": ["Edema"]}, "det.json, 1.png: found 'Edema', expected one of Atelectasis"),
        ({"syms": ["Effusion"] * 2}, "found 2 findings, 1 boxes and 1 outlines"),
        ({"boxes": [[10, 20, 10, 60]]}, r"found the box \[10, 20, 10, 60\], expected x1 < x2"),
        ({"boxes": [[10, 20, 1025, 60]]}, "expected x1 < x2 and y1 < y2 within 1024"),
        ({"boxes": [[10, 20.5, 40, 60]]}, r"det.json, 0.boxes.0.1: .* found 20.5"),
        ({"boxes": [["10", 20, 40, 60]]}, "det.json, 0.boxes.0.0: .* found '10'"),
        ({"polygons": [SQUARE[:2]]}, "found an outline of 2 points, expected three"),
        ({"polygons": [[*SQUARE, [2000, 1]]]}, "expected three or more points within 1024"),
        ({"more": 1}, "det.json, 0.more: Extra inputs"),
    ],
)
def test_what_is_not_as_published_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_outlines(write(image(**changes)), NAMES)


def test_files_that_are_no_lists_and_images_listed_twice_are_refused() -> None:
    with pytest.raises(InputError, match=r"det\.json, the whole file: Invalid JSON"):
        read_outlines([("det.json", b"[{")], NAMES)
    with pytest.raises(InputError, match=r"det\.json, 1\.png: is listed twice"):
        read_outlines(write(image(), image()), NAMES)


def test_names_are_refused_where_one_occurs_twice() -> None:
    with pytest.raises(InputError, match=r"m\.csv: a\.png is listed twice"):
        read_names(
            b"chestx_det,image,det_part\n1.png,a.png,test\n2.png,a.png,test\n", name="m.csv"
        )
    with pytest.raises(InputError, match=r"m\.csv lacks the column 'image'"):
        read_names(b"chestx_det,nih\n1.png,a.png\n", name="m.csv")


def test_the_real_boxes_have_the_published_counts(
    experts_folder: Path, nih_metadata: dict[str, bytes]
) -> None:
    files = [
        (name, read_foreign(experts_folder / f"{name}.gz"))
        for name in ("ChestX_Det_train.json", "ChestX_Det_test.json")
    ]
    table = ROOT / "data/mappings/chestx_det_to_nih.csv"
    experts, boxes, unnamed = read_outlines(files, read_names(table.read_bytes(), name="m"))
    known = read_labels(nih_metadata["Data_Entry_2017_v2020.csv"], name="labels")
    matched = match_images(experts, known)
    assert (len(matched.labels), matched.labels["patient"].nunique(), unnamed) == (3543, 1677, 35)
    assert (matched.labels[list(experts.findings)].sum(axis=1) == 0).sum() == 611
    test = set(read_list(nih_metadata["test_list.txt"], name="list"))
    assert matched.labels["image"].isin(test).sum() == 683
    official = boxes[boxes["image"].isin(test)]
    assert (len(official), official["image"].nunique()) == (2098, 620)
    counts = official.groupby("finding")["image"].agg(["size", "nunique"]).to_numpy().tolist()
    # Atelectasis, Calcification, Cardiomegaly, Consolidation, Diffuse Nodule, Effusion, ...
    assert counts == [
        *([82, 74], [41, 30], [94, 94], [650, 419], [41, 25], [539, 350], [51, 34], [154, 99]),
        *([109, 82], [20, 20], [87, 47], [148, 125], [82, 75]),
    ]
    # Outlines lie in their boxes.
    inside = [
        pd.Series(outline.split(" ")).astype(int).iloc[::2].between(x - 1, x + width + 1).all()
        for outline, x, width in zip(boxes["outline"], boxes["x"], boxes["width"], strict=True)
    ][:200]
    assert all(inside)
