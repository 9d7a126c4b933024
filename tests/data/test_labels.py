import unicodedata

import numpy as np
import pandas as pd
import pytest

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.data.labels import detect_label_version, read_labels, read_list

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
ORIGINAL = (
    f"{HEADER},\r\n00000001_000.png,Mass|Hernia,000,00000001,058Y,M,PA,2682,2749,0.1,0.1\r\n"
)
NUMERIC = f"{HEADER},\n00000001_000.png,Mass|Hernia,0,1,58,M,PA,2682,2749,0.1,0.1,\n"
V2020 = f"{HEADER}\n00000001_000.png,Mass|Hernia,0,1,58,M,PA,2682,2749,0.10000001,0.1"


CELLS = "00000001_000.png,Mass|Hernia,0,1,58,M,PA,2682,2749,0.1,0.1"
PRESENT = f"{HEADER},\n{CELLS}".replace("Patient Gender", "Patient Sex")
JUNK = f"{HEADER},,,note,\n{CELLS},,7,mine,"
RESAVED = f",{HEADER}\n0,{CELLS.replace(',0,1,58,', ',0.0,1,58.0,')}"


@pytest.mark.parametrize(
    "text",
    [
        *(ORIGINAL, NUMERIC, V2020, "\ufeff" + V2020, PRESENT, JUNK, RESAVED),
        V2020.replace("Mass|Hernia", "mass | HERNIA"),
        V2020.replace(",M,PA,", ",male,pa,").replace(",58,", ",058y,"),
        V2020.replace("000.png", "000.PNG"),
        V2020.replace("Patient ID", "patient_id").replace("Follow-up #", "Follow_up"),
    ],
)
def test_every_spelling_says_the_same(text: str) -> None:
    row = read_labels(text.encode(), name="labels.csv").iloc[0]
    assert row[["image", "patient", "follow_up", "age", "sex", "view"]].tolist() == [
        *("00000001_000.png", 1, 0, 58.0, "M", "PA")
    ]
    assert [finding for finding in FINDINGS if row[finding]] == ["Mass", "Hernia"]


@pytest.mark.parametrize(
    ("age", "years"),
    [("058Y", 58), ("018M", 1.5), ("013D", 13 / 365.25), ("414Y", np.nan), ("95", 95), ("0", 0)],
)
def test_ages_become_years_and_impossible_ones_nothing(age: str, years: float) -> None:
    table = read_labels(ORIGINAL.replace("058Y", age).encode(), name="labels.csv")
    np.testing.assert_allclose(table["age"], [years], atol=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ORIGINAL.replace("Finding Labels", "Findings"), "labels.csv lacks the column 'Finding"),
        (ORIGINAL.replace("Hernia", "Hernie"), "labels.csv row 2: unknown finding 'Hernie'"),
        (ORIGINAL + ORIGINAL.splitlines()[1], "row 3, Image Index: found '00000001_000.png'"),
        (ORIGINAL.replace(",00000001,", ",,"), "labels.csv row 2, Patient ID: found ''"),
        (ORIGINAL.replace(",000,", ",1.5,"), "labels.csv row 2, Follow-up #: found '1.5'"),
        (ORIGINAL.replace(",M,", ",?,"), r"labels.csv row 2, Patient Gender: found '\?'"),
        (ORIGINAL.replace(",PA,", ",LL,"), "labels.csv row 2, View Position: found 'LL'"),
        (ORIGINAL.replace(",PA,2682,2749,0.1,0.1", ""), "labels.csv row 2: found 6 cells"),
        (ORIGINAL.replace("058Y", "old"), "labels.csv row 2, Patient Age: found 'old'"),
        (ORIGINAL.replace("00000001_000", "../../x"), r"row 2, Image Index: found '../../x\.png'"),
        (ORIGINAL.replace("00000001_000.png", ""), "labels.csv row 2, Image Index: found ''"),
        (HEADER, "labels.csv lists no image"),
        ("", "labels.csv is not a table"),
    ],
)
def test_a_bad_label_file_is_refused_with_its_row(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labels(text.encode(), name="labels.csv")


def test_a_patient_may_be_called_anything() -> None:
    rows = [CELLS.replace(",0,1,", f",{i},{p},").replace("_000", f"_00{i}")
            for i, p in enumerate(("007", "P0001", "1.2.840.113619.2.55", "9" * 21))]  # fmt: skip
    table = read_labels("\n".join([HEADER, *rows]).encode(), name="labels.csv")
    assert table["patient"].tolist() == ["007", "P0001", "1.2.840.113619.2.55", "9" * 21]


def test_letters_of_two_kinds_name_one_image() -> None:
    text = V2020.replace("00000001_000", unicodedata.normalize("NFD", "rö"))
    assert read_labels(text.encode(), name="labels.csv")["image"].tolist() == ["rö.png"]
    assert read_list(unicodedata.normalize("NFD", "rö.PNG").encode(), name="list") == ["rö.png"]


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InputError, match=r"labels.csv is not UTF-8 text \(byte 0\)"):
        read_labels(b"\xff\xfe\x00", name="labels.csv")


def test_the_real_label_files_have_nih_counts(nih_metadata: dict[str, bytes]) -> None:
    old = read_labels(nih_metadata["Data_Entry_2017.csv"], name="old")
    new = read_labels(nih_metadata["Data_Entry_2017_v2020.csv"], name="new")
    assert len(old) == len(new) == 112_120
    assert old["patient"].nunique() == new["patient"].nunique() == 30_805
    assert detect_label_version(old) == "original"
    assert detect_label_version(new) == "v2020"
    # Known facts of the release: 181 images differ, 188 labels were added and none removed,
    # sixteen ages are impossible.
    both = old.merge(new, on="image", suffixes=("", "_new"))
    change = both[[f"{f}_new" for f in FINDINGS]].to_numpy(int) - both[list(FINDINGS)].to_numpy(
        int
    )
    assert (change != 0).any(axis=1).sum() == 181
    assert change.sum() == (change == 1).sum() == 188
    assert old["age"].isna().sum() == 16
    assert new["age"].isna().sum() == 0


def test_the_numeric_variant_of_the_real_file_reads_the_same(
    nih_metadata: dict[str, bytes],
) -> None:
    text = nih_metadata["Data_Entry_2017.csv"].decode()
    lines = text.splitlines()[:2001]
    original = read_labels("\r\n".join(lines).encode(), name="original")
    years = original["age"] % 1 == 0
    numeric = [lines[0]]
    for line in lines[1:]:
        cells = line.split(",")
        cells[2], cells[3] = str(int(cells[2])), str(int(cells[3]))
        cells[4] = str(int(cells[4].rstrip("YMD")))
        numeric.append(",".join([*cells, ""]))
    read = read_labels("\n".join(numeric).encode(), name="numeric")
    pd.testing.assert_frame_equal(read[years], original[years])


def test_a_subset_leaves_the_label_version_open(nih_metadata: dict[str, bytes]) -> None:
    table = read_labels(nih_metadata["Data_Entry_2017.csv"], name="labels")
    assert detect_label_version(table.head(1000)) == "undetermined"


def test_lists_read_with_and_without_a_final_newline() -> None:
    assert read_list(b"a.png\nb.png", name="list") == ["a.png", "b.png"]
    assert read_list(b"a.png\r\nb.png\r\n\n", name="list") == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a.png\na.png", "list line 2: a.png is listed twice"),
        (b"a.png\n\nb.png", "list line 2: found ''"),
        (b"a.png,1.5\n", "list line 1: found 'a.png,1.5', expected an image name"),
        (b"a.png 0 0 1\nb.png 0 1 1\n", "line 1: found 'a.png 0 0 1', a name and labels"),
        (b"a.png,1\n", "list line 1: found 'a.png,1', a name and labels"),
    ],
)
def test_a_bad_list_is_refused_with_its_line(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_list(content, name="list")
