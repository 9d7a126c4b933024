import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_index

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.files.predictions import match, read_predictions, write_predictions


def test_every_float32_survives_the_file(tmp_path: Path) -> None:
    given = np.random.default_rng(0).random((50, 14)).astype(np.float32)
    given[0, 0] = np.nextafter(np.float32(0.5), np.float32(1))
    names = [f"{i}.png" for i in range(50)]
    write_predictions(tmp_path / "p.csv", names, given, findings=FINDINGS)
    read, others = read_predictions(tmp_path / "p.csv")
    assert not others
    np.testing.assert_array_equal(read.to_numpy().astype(np.float32), given)
    assert read.columns.tolist() == list(FINDINGS)


def test_a_file_of_some_findings_has_their_columns_alone(tmp_path: Path) -> None:
    given = np.array([[0.25, 0.5]])
    write_predictions(tmp_path / "p.csv", ["a.png"], given, findings=("Mass", "Hernia"))
    read, _ = read_predictions(tmp_path / "p.csv")
    assert read.loc["a.png"].to_dict() == {"Mass": 0.25, "Hernia": 0.5}


def test_columns_come_in_any_order_with_a_prefix_and_beside_others(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prob_Mass,note,Image Index,Hernia\n0.25,x,a.png,1\n")
    read, others = read_predictions(tmp_path / "p.csv")
    assert read.loc["a.png"].to_dict() == {"Mass": 0.25, "Hernia": 1.0}
    assert others == ["note"]


def test_findings_and_images_are_read_in_every_spelling(tmp_path: Path) -> None:
    text = "Image Index,prob_mass,Pleural Thickening,No_Finding\nro\u0308.PNG,0.25,0.5,0\n"
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    read, others = read_predictions(tmp_path / "p.csv")
    assert read.loc["rö.png"].to_dict() == {"Mass": 0.25, "Pleural_Thickening": 0.5}
    assert others == ["No Finding"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Image Index,Mass\na.png,1.5\n", r"p\.csv row 2, Mass: found '1\.5'"),
        ("Image Index,Mass\na.png,0.5\nb.png,\n", r"p\.csv row 3, Mass: found ''"),
        ("Image Index,Mass\na.png,high\n", r"p\.csv row 2, Mass: found 'high'"),
        ("Image Index,Mass\na.png,0\na.png,0\n", r"p\.csv row 3: a repeated image"),
        ("Image,Mass\na.png,0\n", "lacks the column 'Image Index'"),
        ("Image Index,Masses\na.png,0\n", "no column named after a finding"),
        ("Image Index,prob_Mass,prob_mass\na.png,0,0\n", "two columns for Mass"),
        ("Image Index,Mass,prob_Mass\na.png,0,0\n", "two columns for Mass"),
        ("Image Index,Mass,Mass_pred\na.png,1,0.3\n", "for Mass: 'Mass' and 'Mass_pred'"),
        ("Image Index,Mass\n,0.5\n", r"p\.csv row 2: no image name"),
        ("Image Index,Mass\na.png,0.5,0.1\n", r"p\.csv row 2: found 3 cells, expected 2"),
        ("Image Index,Mass,Mass\na.png,0,0\n", "two columns named 'Mass'"),
        ("", "is not a table"),
        ("Image Index;Mass\na.png;0,5\n", r"p\.csv row 1: found no comma; the separator"),
        ("Image Index\tMass\na.png\t0.5\n", r"p\.csv row 1: found no comma; the separator"),
    ],
)
def test_a_bad_file_is_refused_with_its_row(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_predictions(tmp_path / "p.csv")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"p\.csv not found"):
        read_predictions(tmp_path / "p.csv")


@pytest.mark.parametrize("name", ["images_001/00000001_000.png", "images\\00000001_000.png"])
def test_a_path_as_image_name_is_refused_with_a_hint(name: str) -> None:
    known = make_index(1)
    table = pd.DataFrame({"Mass": [0.5]}, index=[name])
    with pytest.raises(InputError, match=r"without a label: .*; expected file names without fold"):
        match(table, known, path=Path("p.csv"))
    with pytest.raises(InputError, match=r"without a label: nobody\.png$"):
        match(table.set_axis(["nobody.png"]), known, path=Path("p.csv"))


@pytest.mark.parametrize(
    "twin",
    [
        "Mass_pred",
        "pred_Mass",
        "true_Mass",
        "Mass_label",
        "gt_Mass",
        "Mass_true",
        "target_Mass",
        "label-Mass",
        "Mass.gt",
        "y_Mass",
        "y_pred_Mass",
        "Mass_prob",
        "Mass_score",
        "Mass_logit",
        "MassPred",
        "Mass.1",
        "mass",
        "MASS_PROB",
    ],
)
def test_a_bare_finding_beside_itself_with_an_affix_is_refused(tmp_path: Path, twin: str) -> None:
    path = tmp_path / "p.csv"
    for header in (f"Mass,{twin}", f"{twin},Mass"):
        path.write_text(f"Image Index,{header}\na.png,1,0.3\n")
        with pytest.raises(InputError) as caught:
            read_predictions(path)
        assert {"Mass", twin} == set(re.findall("'([^']+)'", str(caught.value)))


@pytest.mark.parametrize("header", ["prob_Mass,true_Mass", "Mass,Mass_note", "Mass,Nodule_pred"])
def test_a_prediction_beside_its_label_or_beside_a_note_is_read(
    tmp_path: Path, header: str
) -> None:
    (tmp_path / "p.csv").write_text(f"Image Index,{header}\na.png,0.3,1\n")
    read, others = read_predictions(tmp_path / "p.csv")
    assert read.loc["a.png"].to_dict() == {"Mass": 0.3}
    assert others == header.split(",")[1:]
