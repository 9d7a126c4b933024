import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, SHARED

from chestxray14.base.errors import InputError
from chestxray14.base.findings import BOXED_FINDINGS
from chestxray14.localization.record import THRESHOLDS
from chestxray14.report.published import read_published
from chestxray14.report.published_localization import read_localization

FOLDER = ROOT / "data/published"
TABLES = {
    number: read_localization(FOLDER)[f"Wang et al. 2017 Table {number}"] for number in (19, 4, 7)
}
COUNTS = [180, 146, 153, 123, 85, 79, 120, 98]


def change(folder: Path, old: str, new: str) -> Path:
    """Copy the table to `folder` with its first `old` replaced."""
    text = (FOLDER / "localization.csv").read_text()
    assert old in text
    (folder / "localization.csv").write_text(text.replace(old, new, 1))
    return folder


def test_the_three_tables_are_there_with_all_thresholds_and_boxes() -> None:
    assert [(t.dataset, t.overlap) for t in TABLES.values()] == [
        ("ChestX-ray14", "IoBB"),
        ("ChestX-ray8", "IoBB"),
        ("ChestX-ray8", "IoU"),
    ]
    for table in TABLES.values():
        assert tuple(table.scores) == THRESHOLDS[table.overlap]
        assert table.boxes == dict(zip(BOXED_FINDINGS, COUNTS, strict=True))


@pytest.mark.parametrize(
    ("number", "threshold", "finding", "accuracy", "afp"),
    [
        (19, 0.1, "Cardiomegaly", 1.0, 0.1768),
        (19, 0.5, "Nodule", 0.0, 0.4827),
        (19, 0.9, "Pneumothorax", 0.1224, 0.5346),
        (4, 0.25, "Effusion", 0.5424, 0.8598),
        (7, 0.3, "Mass", 0.1529, 0.7073),
        (7, 0.7, "Atelectasis", 0.0055, 1.0965),
    ],
)
def test_cells_are_those_of_the_paper(
    number: int, threshold: float, finding: str, accuracy: float, afp: float
) -> None:
    scores = TABLES[number].scores[threshold]
    assert (scores.accuracy[finding], scores.afp[finding]) == (accuracy, afp)


def test_table_19s_accuracies_are_whole_boxes_and_its_afps_whole_boxes_of_984() -> None:
    # 79 nodules, and four decimals that are cut off or rounded.
    for scores in TABLES[19].scores.values():
        for finding, accuracy in scores.accuracy.items():
            boxes = accuracy * TABLES[19].boxes[finding]
            assert abs(boxes - round(boxes)) < 1e-4 * TABLES[19].boxes[finding]
        for afp in scores.afp.values():
            assert abs(afp * 984 - round(afp * 984)) < 1e-4 * 984


def test_means_are_those_worked_out_from_the_paper_before() -> None:
    path = SHARED / "design/references/peers.md"
    if not path.is_file():
        pytest.skip("the notes on the paper (../shared/design/references/peers.md) are not here")
    text = path.read_text(encoding="utf-8")
    compared = 0
    for section, number in (("C2", 19), ("C3", 4), ("C4", 7)):
        body = text.split(f"### {section}. ")[1].split("\n#")[0]
        rows = re.findall(r"\| ([\d.]+) \| Acc .*\| ([\d.]+) \|\n\| \| AFP .*\| ([\d.]+) \|", body)
        for threshold, accuracy, afp in rows:
            scores = TABLES[number].scores[float(threshold)]
            assert scores.mean_accuracy == pytest.approx(float(accuracy), abs=0.51e-4)
            assert scores.mean_afp == pytest.approx(float(afp), abs=0.51e-4)
            compared += 1
    assert compared == 17


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.6222", "1.6222", r"localization.csv row 2: accuracy: found '1.6222'; "),
        ("0.6222", "nan", r"row 2: accuracy: found 'nan'; "),
        ("0.8293", "-1", r"row 2: afp: found '-1'; "),
        ("IoBB", "Dice", r"row 2: overlap: found 'Dice'; "),
        (",180,", ",180.5,", r"row 2: boxes: found '180.5'; "),
        (",0.8293", "", r"row 2: found 8 cells, expected 9"),
        (",boxes,", ",n,", r"row 2: boxes: "),
        ("Atelectasis", "Hernia", r"Table 19 at 0.1 must have .* Atelectasis, Hernia$"),
        ("Atelectasis", "Mass", r"Table 19 at 0.1 must have .* Atelectasis$"),
        ("Atelectasis,180", "Atelectasis,18", r"Table 19, Atelectasis: found 18 boxes at 0.1 and"),
        ("ChestX-ray14,", "ChestX-ray8,", r"Table 19 has two of dataset, 'ChestX-ray8' and"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_localization(change(tmp_path, old, new))
    assert "\n" not in str(caught.value)


def test_a_repeated_row_is_refused(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "localization.csv", tmp_path)
    with (tmp_path / "localization.csv").open("a") as file:
        file.write("wang_2017,Wang et al. 2017 Table 7,ChestX-ray8,IoU,0.7,Mass,85,0,0\n")
    with pytest.raises(InputError, match=r"Table 7 at 0.7 must have .* repeated: Mass"):
        read_localization(tmp_path)


def test_a_table_without_one_of_the_thresholds_is_refused(tmp_path: Path) -> None:
    lines = (FOLDER / "localization.csv").read_text().splitlines(keepends=True)
    kept = "".join(line for line in lines if "Table 7,ChestX-ray8,IoU,0.3," not in line)
    (tmp_path / "localization.csv").write_text(kept)
    with pytest.raises(InputError, match=r"Table 7: found the thresholds 0.1, 0.2, 0.4, .*0.3, "):
        read_localization(tmp_path)


def test_every_table_belongs_to_a_published_system_and_table_19_to_the_official_split() -> None:
    systems = read_published(FOLDER)
    assert all(table.source in systems for table in TABLES.values())
    assert systems[TABLES[19].source].family == "official split"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"localization\.csv: No such file"):
        read_localization(tmp_path)
