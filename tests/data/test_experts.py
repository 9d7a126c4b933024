"""The published files of radiologists' readings, each trap by itself, and the real files."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chestxray14.base.errors import InputError
from chestxray14.data.expert_files import read_expert_files
from chestxray14.data.experts import check_counts, match_images, read_experts
from chestxray14.data.labels import read_labels, read_list
from chestxray14.files.foreign import read_foreign

FOURTEEN = (
    "Atelectasis,Cardiomegaly,Effusion,Infiltration,Mass,Nodule,Pneumonia,Pneumothorax,"
    "Consolidation,Edema,Emphysema,Fibrosis,Pleural Thickening,Hernia"
)
TRUTH = ("4343882785", "4343883593", "4343883996")
OTHERS = ("4343880271", "4343882583")
FOUR_HEAD = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],Fracture,Pneumothorax,"
    "Airspace opacity,Nodule or mass,Set Id"
)


def all_labels(*rows: tuple[str, int, str]) -> bytes:
    """Return a labels' file: name, patient and the one finding that the image shows, or none."""
    lines = [f"Image ID,Patient ID,Abnormal,{FOURTEEN},Other"]
    for name, patient, shown in rows:
        cells = ["YES" if finding == shown else "NO" for finding in FOURTEEN.split(",")]
        lines.append(f"{name},{patient},{'YES' if shown else 'NO'},{','.join(cells)},NO")
    return "\n".join(lines).encode()


def all_readers(*rows: tuple[str, int, str, str]) -> bytes:
    lines = [f"Image ID,Patient ID,Reader ID,Abnormal,{FOURTEEN},Other"]
    for name, patient, reader, shown in rows:
        cells = ["YES" if finding == shown else "NO" for finding in FOURTEEN.split(",")]
        lines.append(f"{name},{patient},{reader},{int(bool(shown))},{','.join(cells)},NO")
    return "\n".join(lines).encode()


LABELS = all_labels(("a.png", 1, "Pleural Thickening"), ("b.png", 2, ""))
READINGS = all_readers(
    *(("a.png", 1, reader, "Pleural Thickening") for reader in TRUTH[:2]),
    *(("a.png", 1, reader, "") for reader in (TRUTH[2], *OTHERS)),
    *(("b.png", 2, reader, "") for reader in (*TRUTH, *OTHERS)),
)
FOUR = (
    f"{FOUR_HEAD}\n"
    "a.png,No Finding,8,1,60,M,AP,3056,2544,0.139,0.139,NO,YES,NO,YES,test\n"
    "b.png,Mass|Nodule,8,2,60,M,AP,3056,2544,0.139,0.139,YES,NO,NO,NO,val\n"
).encode()
FOUR_READINGS = (
    b"Patient ID,Image ID,Reader ID,Fracture,Pneumothorax,Airspace opacity,Nodule/mass,Set ID\n"
    b"1,a.png,11,NO,YES,NO,HEDGE,test\n1,a.png,12,NO,HEDGE,NO,YES,test\n"
    b"1,a.png,12,NO,NO,NO,YES,test\n2,b.png,11,YES,NO,NO,NO,val\n9,c.png,11,YES,NO,NO,NO,val\n"
)


def test_all_findings_are_named_as_nih_names_them() -> None:
    found = read_experts("all_findings", [("l.csv", LABELS)], ("r.csv", READINGS))
    assert found.labels.columns[:3].tolist() == ["image", "patient", "part"]
    assert found.findings[0] == "Abnormal"
    assert found.labels["Pleural_Thickening"].tolist() == [1, 0]
    assert found.labels["Abnormal"].tolist() == [1, 0]
    assert found.labels[["image", "patient", "part"]].to_numpy().tolist() == [
        ["a.png", 1, "test"],
        ["b.png", 2, "test"],
    ]


def test_readers_of_all_findings_are_told_from_those_who_made_the_labels() -> None:
    found = read_experts("all_findings", [("l.csv", LABELS)], ("r.csv", READINGS)).readers
    reference = dict(zip(found["reader"], found["reference"], strict=True))
    assert reference == dict.fromkeys(TRUTH, 1) | dict.fromkeys(OTHERS, 0)
    assert found.loc[found["image"] == "a.png", "Abnormal"].tolist() == [1, 1, 0, 0, 0]


def test_four_findings_has_two_spellings_hedges_and_repeated_readings() -> None:
    found = read_experts("four_findings", [("l.csv", FOUR)], ("r.csv", FOUR_READINGS))
    assert found.findings == ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")
    assert found.labels["part"].tolist() == ["test", "train_val"]
    # All of them made the labels, by discussion; c.png is of the part that is not read here.
    assert found.readers["reference"].tolist() == [1, 1, 1, 1]
    assert found.readers["reader"].tolist() == ["11", "12", "12", "11"]
    np.testing.assert_array_equal(found.readers["Nodule or mass"], [np.nan, 1, 1, 0])
    np.testing.assert_array_equal(found.readers["Pneumothorax"], [1, np.nan, 0, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"Image ID", b"Image Index"), "l.csv lacks the column 'Image ID'"),
        ((b"Pleural Thickening", b"Pleural_Thickening"), "lacks the column 'Pleural Thickening'"),
        ((b"a.png,1,YES", b"a.png,1,1"), "l.csv row 2: '1' in Abnormal, expected YES or NO"),
        ((b"b.png,2,NO", b"b.png,2,no"), "l.csv row 3: 'no' in Abnormal, expected YES or NO"),
        ((b"b.png,2,", b"b.png,P2,"), "l.csv row 3: 'P2' is no Patient ID"),
        ((b"b.png,2,", b"a.png,2,"), "l.csv row 3: 'a.png' is listed twice"),
        ((b"b.png,2,", b",2,"), "l.csv row 3: '' is no image name"),
    ],
)
def test_labels_of_all_findings_name_what_is_wrong(
    change: tuple[bytes, bytes], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_experts("all_findings", [("l.csv", LABELS.replace(*change))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"4343882785,1,", b"4343882785,YES,"), "row 2: 'YES' in Abnormal, expected 1 or 0"),
        ((b"1,4343882785", b"1,4343882585"), "2 readings of a.png by readers 4343882785"),
        ((b"1,4343882785", b"1,R1"), "r.csv row 2: 'R1' is no Reader ID"),
        ((b"a.png,1,4343883593", b"a.png,1,4343882785"), "row 3: 'a.png' has this reader already"),
        ((b"b.png,2,", b"b.png,3,"), "r.csv: b.png is of patient 3, expected 2"),
        (
            (b"4343883593,1,", b"4343883593,0,"),
            "published label of a.png, Abnormal, is not what most of the readers",
        ),
        ((b".png", b".jpg"), "r.csv shares no image with l.csv"),
        ((b"Reader ID", b"Reader"), "r.csv lacks the column 'Reader ID'"),
        ((b"NO\nb", b"HEDGE\nb"), "'HEDGE' in Other, expected YES or NO"),
    ],
)
def test_readers_of_all_findings_name_what_is_wrong(
    change: tuple[bytes, bytes], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_experts("all_findings", [("l.csv", LABELS)], ("r.csv", READINGS.replace(*change)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"Nodule or mass", b"Nodule/mass"), "l.csv lacks the column 'Nodule or mass'"),
        ((b"YES,test", b"HEDGE,test"), "l.csv row 2: 'HEDGE' in Nodule or mass, expected YES or"),
        ((b"NO,val", b"NO,train"), "l.csv row 3: 'train' in Set Id, expected test or val"),
    ],
)
def test_labels_of_four_findings_name_what_is_wrong(
    change: tuple[bytes, bytes], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_experts("four_findings", [("l.csv", FOUR.replace(*change))])


def test_readings_are_not_taken_for_labels() -> None:
    with pytest.raises(InputError, match=r"r\.csv has a column Reader ID"):
        read_experts("all_findings", [("r.csv", READINGS)])


def test_an_image_of_both_files_is_refused() -> None:
    with pytest.raises(InputError, match=r"m\.csv lists a\.png once more"):
        read_experts("four_findings", [("l.csv", FOUR), ("m.csv", FOUR)])


KNOWN = pd.DataFrame({"image": ["b.png", "a.png", "z.png"], "patient": [2, 1, 9]})


def test_images_that_a_dataset_lacks_are_left_out_with_their_readings() -> None:
    experts = read_experts("all_findings", [("l.csv", LABELS)], ("r.csv", READINGS))
    matched = match_images(experts, KNOWN[:1])
    assert matched.labels["image"].tolist() == ["b.png"]
    assert set(matched.readers["image"]) == {"b.png"}


def test_images_of_another_patient_or_list_are_refused() -> None:
    experts = read_experts("all_findings", [("l.csv", LABELS)])
    with pytest.raises(InputError, match=r"all_findings: a\.png is of patient 1, expected 5"):
        match_images(experts, KNOWN.replace({"patient": {1: 5}}))
    match_images(experts, KNOWN, lists={"a.png": "test", "z.png": "train_val"})
    with pytest.raises(InputError, match=r"b\.png is of test, found in the list train_val"):
        match_images(experts, KNOWN, lists={"b.png": "train_val"})


def test_a_part_of_a_published_file_is_not_prepared() -> None:
    with pytest.raises(InputError, match="all_findings: found 2 images of test, expected 810"):
        check_counts(read_experts("all_findings", [("l.csv", LABELS)]))


@pytest.mark.parametrize(
    ("experts", "readers", "message"),
    [
        (["l.csv"], [], "--experts: found 'l.csv', expected NAME=FILE"),
        (["five=l.csv"], [], "names all_findings, four_findings, panel, chestx_det"),
        (["all_findings="], [], "--experts: found 'all_findings='"),
        ([], ["r.csv"], "--readers: found 'r.csv', expected NAME=FILE"),
        (
            ["all_findings={}/l.csv"],
            ["four_findings={}/r.csv"],
            "expected one file of the readers",
        ),
        (["all_findings={}/l.csv"], ["{}/r.csv", "{}/r.csv"], "expected one file of the readers"),
        (["all_findings={}/m.csv"], [], "m.csv: No such file"),
    ],
)
def test_a_command_line_that_names_no_set_is_refused(
    tmp_path: Path, experts: list[str], readers: list[str], message: str
) -> None:
    (tmp_path / "l.csv").write_bytes(LABELS)
    (tmp_path / "r.csv").write_bytes(READINGS)
    named, read = ([text.format(tmp_path) for text in texts] for texts in (experts, readers))
    with pytest.raises(InputError, match=message):
        read_expert_files(named, read, known=KNOWN)


def test_readers_need_no_name_beside_one_set(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(LABELS)
    (tmp_path / "r.csv").write_bytes(READINGS)
    named = [f"all_findings={tmp_path}/l.csv"]
    (experts,) = read_expert_files(named, [f"{tmp_path}/r.csv"], known=KNOWN)
    assert experts.readers["reader"].nunique() == 5


@pytest.fixture(scope="module")
def published(experts_folder: Path) -> Callable[[str], tuple[str, bytes]]:
    """Return what gives a real file's name and content."""
    return lambda name: (name, read_foreign(experts_folder / f"{name}.gz"))


def count_yes(content: bytes, **where: str) -> dict[str, int]:
    """Count YES by column without the parser."""
    rows = [
        row
        for row in csv.DictReader(io.StringIO(content.decode()))
        if all(row[key.replace("_", " ")] == value for key, value in where.items())
    ]
    return {column: sum(row[column] == "YES" for row in rows) for column in rows[0]}


def test_the_real_all_findings_have_the_published_counts(
    published: Callable[[str], tuple[str, bytes]], nih_metadata: dict[str, bytes]
) -> None:
    labels = published("google_all_findings_test_labels.csv")
    readers = published("google_all_findings_test_individual_readers.csv")
    experts = read_experts("all_findings", [labels], readers)
    check_counts(experts)
    known = read_labels(nih_metadata["Data_Entry_2017_v2020.csv"], name="labels")
    lists = dict.fromkeys(read_list(nih_metadata["test_list.txt"], name="list"), "test")
    lists |= dict.fromkeys(read_list(nih_metadata["train_val_list.txt"], name="l"), "train_val")
    matched = match_images(experts, known, lists=lists)
    assert len(matched.labels) == 810
    assert matched.labels["patient"].nunique() == 532
    assert len(matched.readers) == 4050
    counts = count_yes(labels[1])
    assert matched.labels[list(experts.findings)].sum().to_dict() == {
        finding: counts[finding.replace("_", " ")] for finding in experts.findings
    }
    assert set(matched.labels["image"].map(lists)) == {"test"}
    views = known.set_index("image")["view"][matched.labels["image"]]
    assert set(views) == {"PA"}


def test_the_real_four_findings_have_the_published_counts(
    published: Callable[[str], tuple[str, bytes]], nih_metadata: dict[str, bytes]
) -> None:
    files = [
        published(f"google_four_findings_{part}_labels.csv") for part in ("test", "validation")
    ]
    readers = published("google_four_findings_individual_readers.csv")
    experts = read_experts("four_findings", files, readers)
    check_counts(experts)
    known = read_labels(nih_metadata["Data_Entry_2017_v2020.csv"], name="labels")
    lists = dict.fromkeys(read_list(nih_metadata["test_list.txt"], name="list"), "test")
    lists |= dict.fromkeys(read_list(nih_metadata["train_val_list.txt"], name="l"), "train_val")
    matched = match_images(experts, known, lists=lists)
    positives = matched.labels.groupby("part")[list(experts.findings)].sum()
    assert positives.loc["test"].tolist() == [72, 195, 1135, 295]
    assert positives.loc["train_val"].tolist() == [114, 43, 1031, 310]
    assert matched.labels.groupby("part")["patient"].nunique().to_dict() == {
        "test": 860,
        "train_val": 835,
    }
    assert len(matched.readers) == 13_081
    by_part = matched.readers["image"].map(matched.labels.set_index("image")["part"])
    assert matched.readers.groupby(by_part)["reader"].nunique().to_dict() == {
        "test": 11,
        "train_val": 13,
    }
    hedged = sum(row.count("HEDGE") for row in readers[1].decode().splitlines())
    assert matched.readers[list(experts.findings)].isna().sum().sum() == hedged
