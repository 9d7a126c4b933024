"""Tables of other datasets, in the form in which these give them, read by what params.yaml says."""

import gzip
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import SHARED

from chestxray14.base.errors import InputError
from chestxray14.data.splits import OWN, count_mixed
from chestxray14.data.tables import translate_table
from chestxray14.raw.reading import Reading

MINE = """
table: labels.csv
columns: {image: path, patient: subject_id, age: age, sex: null, view: null, follow_up: null}
findings: {Effusion: Pleural Effusion, Fracture: fracture}
values: {"1": 1, "1.0": 1, "0": 0, "-1": unknown, "": unknown}
"""
CELLS = """path,subject_id,age,Pleural Effusion,fracture,note
b/1.png,007,61,1,0,x
a/1.png,7,,-1,1.0,y
c.png,7,58.5,,0,"z, z"
"""


def read(text: str, /, reading: str = MINE, **changes: Any) -> pd.DataFrame:
    described = Reading.model_validate(yaml.safe_load(reading) | changes)
    return translate_table({"labels.csv": text.encode()}, described)


def values(table: pd.DataFrame, *findings: str) -> list[list[Any]]:
    """Return labels row by row, None where unknown."""
    rows = table[list(findings)].to_numpy(float).tolist()
    return [[None if np.isnan(value) else int(value) for value in row] for row in rows]


def test_columns_and_cells_mean_what_params_say() -> None:
    table = read(CELLS)
    assert table["image"].tolist() == ["b/1.png", "a/1.png", "c.png"]
    assert table["patient"].tolist() == ["007", "7", "7"]
    assert table["age"].tolist() == pytest.approx([61, np.nan, 58.5], nan_ok=True)
    assert values(table, "Effusion", "Fracture") == [[1, 0], [None, 1], [None, 0]]
    assert table["Fracture"].dtype == np.uint8
    assert table[["sex", "view", "follow_up"]].isna().all(axis=None)


def test_images_may_be_their_own_patients_or_nobody_knows_whose() -> None:
    columns = yaml.safe_load(MINE)["columns"]
    own = read(CELLS, columns=columns | {"patient": "image"})
    assert own["patient"].tolist() == own["image"].tolist()
    assert set(read(CELLS, columns=columns | {"patient": None})["patient"]) == {""}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "-1",
            "2",
            r"labels\.csv row 3, Pleural Effusion: found '2', expected one of the `values`",
        ),
        ("fracture", "Fracture", r"labels\.csv lacks the column 'fracture'; found path, subj"),
        ("c.png", "a/1.png", r"labels\.csv row 4: an image that an earlier row names"),
        ("c.png", "", r"labels\.csv row 4: no image"),
        ("007", "", r"labels\.csv row 2: no patient"),
        ("61", "old", r"labels\.csv row 2: age is neither years nor like 058Y"),
        ("x\n", "x,y\n", r"labels\.csv row 2: found 7 cells, expected 6"),
    ],
)
def test_a_wrong_cell_is_named_with_file_row_and_column(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(CELLS.replace(old, new))


CHEXPERT = """
table: labels.csv
columns:
  image: Path
  patient: {column: Path, pattern: "patient([0-9]+)"}
  age: Age
  sex: Sex
  view: AP/PA
  follow_up: null
only: {Frontal/Lateral: [Frontal]}
findings: {Cardiomegaly: Cardiomegaly, Effusion: Pleural Effusion}
values: {"1.0": 1, "0.0": 0, "-1.0": unknown, "": unknown}
"""
CHEXPERT_CELLS = """Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Cardiomegaly,Pleural Effusion
CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,0.0
CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg,Male,87,Frontal,PA,,-1.0,1.0
CheXpert-v1.0-small/train/patient00002/study2/view2_lateral.jpg,Male,87,Lateral,,,-1.0,1.0
CheXpert-v1.0-small/train/patient00003/study1/view1_frontal.jpg,Unknown,0,Frontal,LL,,1.0,
"""


def test_chexpert_has_patients_in_its_paths_and_lateral_views() -> None:
    table = read(CHEXPERT_CELLS, CHEXPERT)
    assert table["patient"].tolist() == ["00001", "00002", "00003"]
    assert table["sex"].tolist()[:2] == ["F", "M"]
    assert table["view"].tolist()[:2] == ["AP", "PA"]
    assert table.loc[2, ["sex", "view"]].isna().all()
    assert values(table, "Cardiomegaly", "Effusion") == [[None, 0], [None, 1], [1, None]]


VINDR = """
table: labels.csv
columns: {image: image_id, patient: image, age: null, sex: null, view: null, follow_up: null}
findings: {Nodule/Mass: Nodule/Mass, Effusion: Pleural effusion}
values: {"1": 1, "0": 0}
"""


def test_vindr_has_neither_patients_nor_endings() -> None:
    table = read(
        "image_id,Nodule/Mass,Pleural effusion,No finding\n"
        "002a34c58c5b758217ed1f584ccbcfe9,0,1,0\n004f33259ee4aef671c2b95d54e4be68,1,0,0\n",
        VINDR,
    )
    assert values(table, "Nodule/Mass", "Effusion") == [[0, 1], [1, 0]]
    assert table["patient"].tolist() == table["image"].tolist()


PADCHEST = """
table: labels.csv
columns:
  image: ImageID
  patient: PatientID
  age: null
  sex: PatientSex_DICOM
  view: Projection
  follow_up: null
only: {Projection: [PA, AP]}
labels: {column: Labels, separator: ",", none: normal}
findings: {Effusion: pleural effusion, Cardiomegaly: cardiomegaly}
"""


def test_padchest_lists_names_as_python_writes_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    table = read(
        ",ImageID,PatientID,PatientSex_DICOM,Projection,Report,Labels\n"
        "0,1_x.png,9A,M,PA,\"derrame, leve\",\"['pleural effusion', 'cardiomegaly']\"\n"
        "1,2_x.png,9A,F,PA,,['normal']\n"
        "2,3_x.png,10,O,PA,,\n"
        "3,4_x.png,10,M,L,,['pleural effusion']\n"
        "4,5_x.png,10,M,AP,,\"['pneumonia', ' cardiomegaly']\"\n",
        PADCHEST,
    )
    assert values(table, "Effusion", "Cardiomegaly") == [[1, 1], [0, 0], [None, None], [0, 1]]
    assert table["patient"].tolist() == ["9A", "9A", "10", "10"]
    assert "passed over: pneumonia" in caplog.text


MIMIC = """
table: metadata.csv
join: {table: chexpert.csv, by: {study_id: study_id}}
columns:
  image: dicom_id
  patient: subject_id
  age: null
  sex: null
  view: ViewPosition
  follow_up: null
only: {ViewPosition: [AP, PA]}
findings: {Edema: Edema}
values: {"1.0": 1, "0.0": 0, "-1.0": unknown, "": unknown}
"""


def test_mimic_has_views_in_one_table_and_labels_in_another() -> None:
    tables = {
        "metadata.csv": b"dicom_id,subject_id,study_id,ViewPosition\n"
        b"a,10,50,PA\nb,10,50,LATERAL\nc,10,51,AP\nd,11,52,AP\n",
        "chexpert.csv": b"subject_id,study_id,Edema\n10,50,1.0\n10,51,-1.0\n",
    }
    table = translate_table(tables, Reading.model_validate(yaml.safe_load(MIMIC)))
    assert table["image"].tolist() == ["a", "c", "d"]
    assert values(table, "Edema") == [[1], [None], [None]]
    twice = tables | {"chexpert.csv": tables["chexpert.csv"] + b"10,50,0.0\n"}
    with pytest.raises(InputError, match=r"chexpert\.csv row 4: study_id is of an earlier row"):
        translate_table(twice, Reading.model_validate(yaml.safe_load(MIMIC)))


NIH_CXR_LT = """
table: {train: train.csv, val: val.csv, test: test.csv}
join: {table: Data_Entry_2017.csv, by: {id: Image Index}}
columns:
  image: id
  patient: subj_id
  age: Patient Age
  sex: Patient Gender
  view: View Position
  follow_up: "Follow-up #"
findings: {Pleural_Thickening: Pleural Thickening, Tortuous_Aorta: Tortuous Aorta}
values: {"1": 1, "0": 0}
"""


def test_a_table_in_three_files_says_which_part_an_image_is_in() -> None:
    header = b"id,Pleural Thickening,Tortuous Aorta,No Finding,subj_id\n"
    tables = {
        "train.csv": header + b"00000013_005.png,0,1,0,00000013\n",
        "val.csv": header + b"00000001_000.png,1,0,0,00000001\n",
        "test.csv": header + b"00000020_000.png,0,0,1,00000020\n",
        "Data_Entry_2017.csv": b"Image Index,Follow-up #,Patient Age,Patient Gender,View Position\n"
        b"00000013_005.png,5,058Y,F,AP\n00000020_000.png,0,061Y,M,PA\n",
    }
    reading = Reading.model_validate(yaml.safe_load(NIH_CXR_LT))
    table = translate_table(tables, reading).set_index("part")
    assert table["image"].to_dict() == {
        "train": "00000013_005.png",
        "val": "00000001_000.png",
        "test": "00000020_000.png",
    }
    assert table.loc["train", ["patient", "age", "sex", "view", "follow_up"]].tolist() == [
        *("00000013", 58, "F", "AP", 5)
    ]
    assert table.loc["val", ["age", "sex", "view"]].isna().all()
    assert values(table, "Pleural_Thickening", "Tortuous_Aorta") == [[0, 1], [1, 0], [0, 0]]
    with pytest.raises(InputError, match=r"val\.csv has other columns than train\.csv: "):
        translate_table(tables | {"val.csv": b"more\n1\n"}, reading)


def test_nih_cxr_lt_has_every_image_of_nih_and_five_more_findings(
    nih_metadata: dict[str, bytes],
) -> None:
    folder = SHARED / "experts"
    parts = {part: f"miccai2023_nih-cxr-lt_labels_{part}.csv" for part in ("train", "val", "test")}
    if not folder.is_dir():
        pytest.skip("the labels of NIH-CXR-LT (../shared/experts) are not here")
    contents = {
        name: gzip.decompress((folder / f"{name}.gz").read_bytes()) for name in parts.values()
    }
    new = {
        "Pneumoperitoneum": 316,
        "Pneumomediastinum": 253,
        "Subcutaneous Emphysema": 1991,
        "Tortuous Aorta": 742,
        "Calcification of the Aorta": 455,
    }
    described = yaml.safe_load(NIH_CXR_LT) | {"table": parts, "findings": {n: n for n in new}}
    contents["Data_Entry_2017.csv"] = nih_metadata["Data_Entry_2017.csv"]
    table = translate_table(contents, Reading.model_validate(described))
    assert table[list(new)].sum().to_dict() == new
    assert table["part"].value_counts().to_dict() == {
        "train": 78_506,
        "test": 21_081,
        "val": 12_533,
    }
    assert table.groupby("patient")["part"].nunique().max() == 1
    lists = table[["image"]].assign(list=OWN + table["part"])
    official = pd.DataFrame(
        {"image": nih_metadata["test_list.txt"].decode().split(), "list": "test"}
    )
    assert count_mixed(pd.concat([lists, official])) == 4_515
