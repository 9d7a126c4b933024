from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED
from hypothesis import given
from hypothesis import strategies as st

from chestxray14.base.errors import InputError
from chestxray14.base.findings import BOXED_FINDINGS
from chestxray14.data.boxes import BOX_COLUMNS, SIDES, check_boxes, choose_boxes, read_boxes

HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
ROW = "00000001_000.png,Mass,10.5,20,300.25,40"


def write(table: pd.DataFrame, *, end: str = "\n") -> bytes:
    """Return a list of boxes as NIH spells it."""
    rows = [
        ",".join([image, finding.replace("Infiltration", "Infiltrate"), *map(repr, box)])
        for image, finding, *box in table.itertuples(index=False)
    ]
    return "".join(line + end for line in [HEADER, *rows]).encode()


def spans(most: float) -> st.SearchStrategy[tuple[float, float]]:
    """Return a start and a length that end within `most`."""
    return st.tuples(st.floats(0, most - 1), st.floats(1, most)).map(
        lambda span: (span[0], min(span[1], most - span[0]))
    )


BOX = st.tuples(spans(1024), spans(1024)).map(lambda b: (b[0][0], b[1][0], b[0][1], b[1][1]))
BOXES = st.lists(BOX, max_size=5).map(lambda rows: np.array(rows).reshape(-1, 4))


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n{ROW}",
        f"{HEADER}\r\n{ROW}\r\n",
        f"\ufeff{HEADER}\n{ROW},,,\n",
        f"{HEADER}\n{ROW},\n\n",
        f"Image Index,Finding Label,Bbox [x,y,w,h]\n{ROW}\n",
    ],
)
def test_all_spellings_of_the_list_say_the_same(text: str) -> None:
    table = read_boxes(text.encode(), name="boxes.csv")
    assert list(table.columns) == ["image", "finding", *SIDES]
    assert table.iloc[0].tolist() == ["00000001_000.png", "Mass", 10.5, 20.0, 300.25, 40.0]


def test_infiltrate_is_infiltration() -> None:
    text = f"{HEADER}\n{ROW.replace('Mass', 'Infiltrate')}"
    assert read_boxes(text.encode(), name="boxes.csv")["finding"].tolist() == ["Infiltration"]


def test_a_list_may_be_empty() -> None:
    table = read_boxes(HEADER.encode(), name="boxes.csv")
    assert table.empty
    assert table[list(SIDES)].to_numpy().dtype == np.float64


@given(
    st.lists(
        st.tuples(st.integers(1, 99), st.sampled_from(BOXED_FINDINGS), BOX),
        unique=True,
        max_size=8,
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_boxes_written_then_read_are_the_same(
    rows: list[tuple[int, str, tuple[float, ...]]], end: str
) -> None:
    table = pd.DataFrame(
        [(f"{image:08d}_000.png", finding, *box) for image, finding, box in rows],
        columns=["image", "finding", *SIDES],
    ).astype(dict.fromkeys(SIDES, "float64") | dict.fromkeys(("image", "finding"), "str"))
    pd.testing.assert_frame_equal(read_boxes(write(table, end=end), name="boxes.csv"), table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((HEADER, HEADER.replace("Bbox [x", "x")), "boxes.csv lacks the column 'Bbox \\[x'"),
        (("Mass", "Hernia"), "boxes.csv row 2, finding: found 'Hernia', expected one of Atel"),
        (("00000001_000.png", ""), "boxes.csv row 2, image: found '', expected an image name"),
        (("10.5", "left"), "boxes.csv row 2, x: found 'left', expected a number"),
        (("10.5", "nan"), "boxes.csv row 2, x: found 'nan', expected a number"),
        (("300.25", ""), "boxes.csv row 2, width: found '', expected a number"),
        (("300.25", "-3"), "boxes.csv row 2, width: found '-3', expected a number above 0"),
        (("300.25", "0"), "boxes.csv row 2, width: found '0', expected a number above 0"),
        (("10.5", "-1.5"), "boxes.csv row 2, x: found '-1.5', expected a box within 0 to 1024"),
        (("300.25", "1015"), "boxes.csv row 2, width: found '1015', expected a box within"),
        (("300.25", "inf"), "boxes.csv row 2, width: found 'inf', expected a box within"),
        ((",40", ",1006"), "boxes.csv row 2, height: found '1006', expected a box within"),
        ((",40", ""), "boxes.csv row 2: found 5 cells, expected 6"),
        ((ROW, f"{ROW}\n{ROW}"), "boxes.csv row 3, image: .* expected a box that no earlier row"),
    ],
)
def test_a_bad_box_is_refused_with_its_row(change: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_boxes(f"{HEADER}\n{ROW}\n".replace(*change).encode(), name="boxes.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("empty", ["", np.nan])
def test_a_box_of_no_image_is_refused_also_in_a_table_that_a_stage_wrote(empty: object) -> None:
    table = pd.DataFrame([[empty, "Mass", 1.0, 1.0, 2.0, 2.0]], columns=list(BOX_COLUMNS))
    with pytest.raises(InputError, match=r"row 2, image: .* expected an image name"):
        check_boxes(table, name="boxes.csv")


@pytest.mark.parametrize(
    "change", [("10.5", "-1"), ("300.25", "1014.5"), (ROW, ROW + "\n" + ROW.replace("40", "41"))]
)
def test_a_pixel_outside_and_a_second_box_of_one_finding_are_fine(
    change: tuple[str, str],
) -> None:
    read_boxes(f"{HEADER}\n{ROW}\n".replace(*change).encode(), name="boxes.csv")


def test_a_table_that_was_changed_by_hand_is_refused_with_its_row() -> None:
    table = pd.DataFrame([("a.png", "Mass", 1.0, 2.0, 3.0, 4.0)] * 2, columns=BOX_COLUMNS)
    table.loc[1, "image"] = "b.png"
    pd.testing.assert_frame_equal(check_boxes(table, name="boxes.csv"), table)
    for column, value, message in (
        ("finding", "Foo", "row 3, finding: found 'Foo', expected one of"),
        ("width", np.nan, "row 3, width: found 'nan', expected a number"),
        ("height", 0.0, r"row 3, height: found '0\.0', expected a number above 0"),
    ):
        changed = table.copy()
        changed.loc[1, column] = value
        with pytest.raises(InputError, match=message):
            check_boxes(changed, name="boxes.csv")


def test_the_real_list_has_nih_counts() -> None:
    path = SHARED / "nih-metadata/BBox_List_2017.csv"
    if not path.is_file():
        pytest.skip("the full real list of boxes (../shared/nih-metadata) is not here")
    table = read_boxes(path.read_bytes(), name=str(path))
    assert (len(table), table["image"].nunique()) == (984, 880)
    counts = table["finding"].value_counts()
    assert [counts[f] for f in BOXED_FINDINGS] == [180, 146, 153, 123, 85, 79, 120, 98]


def test_the_list_of_the_real_sample_reads_whole(nih_sample: Path) -> None:
    path = nih_sample / "BBox_List_2017.csv"
    table = read_boxes(path.read_bytes(), name=str(path))
    assert table["image"].nunique() == 22
    assert len(table) == len([line for line in path.read_text().splitlines()[1:] if line])


def test_boxes_outside_the_test_part_are_left_out_and_counted() -> None:
    boxes = pd.DataFrame(
        [
            ("a.png", "Mass"),
            ("a.png", "Cardiomegaly"),
            ("b.png", "Mass"),
            ("b.png", "Cardiomegaly"),
            ("c.png", "Mass"),
            ("d.png", "Mass"),
        ],
        columns=["image", "finding"],
    )
    part_of = {"a.png": "test", "b.png": "train", "c.png": "val"}
    kept, left_out = choose_boxes(boxes, part_of=part_of, findings=["Mass", "Nodule"])
    assert kept[["image", "finding"]].to_numpy().tolist() == [["a.png", "Mass"]]
    assert left_out == {"train": 2, "val": 1, "in_no_part": 1, "not_predicted": 1}
