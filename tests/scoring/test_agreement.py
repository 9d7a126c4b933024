"""What labels say and radiologists see, held against the published table and scikit-learn."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, SHARED
from sklearn.metrics import cohen_kappa_score

from chestxray14.base.findings import FINDINGS
from chestxray14.data.expert_files import read_expert_files
from chestxray14.data.labels import read_labels
from chestxray14.files.experts import ExpertSet
from chestxray14.scoring.agreement import cohen_kappa, compare_labels

ORACLE = SHARED / "design/references/radiologists.md"


def read_number(cell: str) -> float:
    return float(cell.replace("−", "-")) if cell else np.nan


COLUMNS = ("radiologists", "nih", "both", "ppv", "sensitivity", "kappa_nih", "kappa_readers")


@pytest.fixture(scope="module")
def table(experts_folder: Path, nih_metadata: dict[str, bytes]) -> pd.DataFrame:
    """Return the table of the real all_findings, a row a finding."""
    known = read_labels(nih_metadata["Data_Entry_2017_v2020.csv"], name="labels")
    (experts,) = read_expert_files(
        [f"all_findings={experts_folder}/google_all_findings_test_labels.csv.gz"],
        [f"{experts_folder}/google_all_findings_test_individual_readers.csv.gz"],
        known=known,
    )
    return compare_labels(experts, known, findings=FINDINGS).set_index("finding")


def read_rows(path: Path) -> dict[str, list[str]]:
    """Return the cells of a document's table by finding."""
    rows = re.findall(r"^\| ([A-Z]\w+) \|(.+)\|$", path.read_text(), re.MULTILINE)
    return {
        finding: [cell.strip() for cell in cells.split("|")]
        for finding, cells in rows
        if finding in (*FINDINGS, "Abnormal")
    }


def test_the_table_is_that_of_the_reference(table: pd.DataFrame) -> None:
    if not ORACLE.exists():
        pytest.skip("the published table (../shared/design) is not here")
    rows = read_rows(ORACLE)
    assert len(rows) == 15
    for finding, (*numbers, first, second) in rows.items():
        found = table.loc[finding]
        for column, cell in zip(COLUMNS, numbers, strict=True):
            # The table rounded three digits to two, halves up.
            digits = round(float(found[column]), 3)
            if cell:
                assert digits == pytest.approx(read_number(cell), abs=0.0050001), (finding, column)
        for reader, cell in (("4343880271", first), ("4343882583", second)):
            expected = [float(number) for number in cell.split("/")]
            assert found["readers"][reader] == pytest.approx(expected, abs=0.00501), finding


def test_the_table_is_that_of_our_document(table: pd.DataFrame) -> None:
    rows = read_rows(ROOT / "docs/radiologists.md")
    assert set(rows) == set(FINDINGS)
    for finding, cells in rows.items():
        found = [float(table.loc[finding, column]) for column in COLUMNS]
        assert [float(cell) for cell in cells] == pytest.approx(found, abs=0.00051), finding


def test_kappa_equals_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    for share in (0.02, 0.3, 0.7):
        pair = rng.random((2, 200)) < share
        assert cohen_kappa(*pair) == pytest.approx(cohen_kappa_score(*pair))
    assert np.isnan(cohen_kappa([1, 1], [1, 1]))


def test_readers_of_few_common_images_weigh_by_them() -> None:
    labels = pd.DataFrame({"image": list("abcdef"), "patient": 1, "part": "", "Mass": 1})
    readings = {"1": [1, 0, 1, 0, 1, 0], "2": [1, 0, 1, 1, 1, 0], "3": [1, 0, None, None, None, 1]}
    readers = pd.DataFrame(
        [
            {"image": image, "reader": reader, "reference": 1, "Mass": value}
            for reader, values in readings.items()
            for image, value in zip("abcdef", values, strict=True)
        ]
    ).astype({"Mass": float})
    known = pd.DataFrame({"image": list("fedcba"), "Mass": 0})
    row = compare_labels(ExpertSet("s", labels, readers), known, findings=("Mass",)).iloc[0]
    pairs = [
        (cohen_kappa_score(readings["1"], readings["2"]), 6),
        (cohen_kappa_score([1, 0, 0], [1, 0, 1]), 3),
        (cohen_kappa_score([1, 0, 0], [1, 0, 1]), 3),
    ]
    expected = sum(kappa * n for kappa, n in pairs) / 12
    assert row["kappa_readers"] == pytest.approx(expected)
    assert np.isnan(row["ppv"])
    assert row["sensitivity"] == 0
    assert row["readers"] == {}
