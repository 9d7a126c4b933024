from pathlib import Path

import pytest

from chestxray14.base.errors import InputError
from chestxray14.raw.archive import Archive, open_archive
from chestxray14.raw.tables import find_tables, list_oddities

LABELS = "Data_Entry_2017.csv"


def archive_of(folder: Path, *names: str, **contents: str) -> Archive:
    for name in names:
        (folder / name).write_text(contents.get(name.partition(".")[0], "x"))
    return open_archive(folder)


@pytest.mark.parametrize(
    ("boxes", "train_val", "test"),
    [
        ("BBox_List_2017.csv", "train_val_list.txt", "test_list.txt"),
        ("BBox_List_2017_Official_NIH.csv", "train_val_list_NIH.txt", "test_list_NIH.txt"),
        ("bbox_list_2017.csv", "Train_Val_List.txt", "test-list.TXT"),
        ("BBox_List_2017 (1).csv", "train_val_list (1).txt", "test_list copy.txt"),
    ],
)
def test_the_tables_are_found_under_the_names_that_circulate(
    tmp_path: Path, boxes: str, train_val: str, test: str
) -> None:
    archive = archive_of(tmp_path, "a.png", LABELS, boxes, train_val, test)
    tables = find_tables(archive, labels=LABELS)
    assert (tables.boxes, tables.train_val, tables.test) == (boxes, train_val, test)
    assert tables.names == [LABELS, boxes, train_val, test]
    assert list_oddities(archive, tables) == []


def test_what_is_absent_or_like_a_table_and_not_read_is_named(tmp_path: Path) -> None:
    archive = archive_of(
        tmp_path,
        *("a.png", LABELS, "Data_Entry_2017_v2020.csv", "BBox_List_2017 (1).csv"),
        *("BBox_List_2017.csv", "mine.txt", "drawn.csv", "notes.txt"),
        mine="a.png\nb.png",
        drawn="Image Index,Finding Label,x",
    )
    tables = find_tables(archive, labels=LABELS)
    assert tables.boxes == "BBox_List_2017.csv"
    lists, unread = list_oddities(archive, tables)
    assert "no official split" in lists
    assert unread.partition(": ")[2].split(" and ")[0] == (
        "BBox_List_2017 (1).csv, Data_Entry_2017_v2020.csv, drawn.csv, mine.txt"
    )


def test_a_wrong_name_of_the_label_file_says_which_there_are(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, "a.png", "sample_labels.csv")
    with pytest.raises(InputError, match=rf"no label file named {LABELS}; .*sample_labels\.csv"):
        find_tables(archive, labels=LABELS)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"images_001.tar.gz": b"\x1f\x8b"}, r"1 \.gz files \(images_001.*gzip.*\); unpack"),
        ({"x/1.dcm": bytes(128) + b"DICM"}, r"1 \.dcm files \(1\.dcm, one DICOM file\)"),
        ({"IM0": bytes(128) + b"DICM"}, r"1 files without an ending \(IM0, one DICOM"),
        ({"1.bmp": b"BM", "2.bmp": b"BM"}, r"Data_Entry_2017\.csv, 2 \.bmp files"),
    ],
)
def test_a_dataset_without_pictures_says_what_it_holds(
    tmp_path: Path, files: dict[str, bytes], told: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    archive = archive_of(tmp_path, LABELS)
    with pytest.raises(InputError, match=f"holds no PNG or JPEG; found .*{told}"):
        find_tables(archive, labels=LABELS)
