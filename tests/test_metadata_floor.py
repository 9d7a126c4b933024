import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, make_index
from sklearn.metrics import roc_auc_score

from chestxray14.findings import FINDINGS
from chestxray14.metadata import read_labels, read_list
from chestxray14.metadata_floor import predict_from_metadata
from chestxray14.scores import auroc


def cohort(patients: int, *, seed: int) -> pd.DataFrame:
    """Return an index whose findings mean nothing, with ages, sexes and views that vary."""
    rng = np.random.default_rng(seed)
    table = make_index(patients, seed=seed)
    n = len(table)
    return table.assign(
        age=np.where(rng.random(n) < 0.1, np.nan, rng.integers(1, 95, n)),
        sex=rng.choice(["F", "M"], n),
        view=rng.choice(["PA", "AP"], n),
    )


def test_what_age_sex_view_or_follow_up_decide_is_found_and_the_rest_is_not() -> None:
    tables = []
    for seed in (1, 2):
        table = cohort(300, seed=seed)
        tables.append(
            table.assign(
                Mass=(table["age"] > 50).astype(int),
                Edema=(table["view"] == "AP").astype(int),
                Hernia=(table["sex"] == "M").astype(int),
                Nodule=(table["follow_up"] == 2).astype(int),
                Fibrosis=table["age"].isna().astype(int),
            )
        )
    train, test = tables
    found = predict_from_metadata(train, test, seed=0)
    assert list(found.columns) == list(FINDINGS)
    assert found.index.equals(test.index)
    for finding in ("Mass", "Edema", "Hernia", "Nodule", "Fibrosis"):
        assert roc_auc_score(test[finding], found[finding]) > 0.999
    assert 0.4 < roc_auc_score(test["Pneumonia"], found["Pneumonia"]) < 0.6


def test_probabilities_are_as_high_as_the_finding_is_common() -> None:
    train, test = cohort(2000, seed=1), cohort(200, seed=2)
    for table in (train, test):
        rng = np.random.default_rng(len(table))
        share = np.where(table["view"] == "AP", 0.3, 0.1)
        table["Edema"] = (rng.random(len(table)) < share).astype(int)
    found = predict_from_metadata(train, test, seed=0, findings=["Edema"])["Edema"]
    assert found[test["view"] == "AP"].mean() == pytest.approx(0.3, abs=0.03)
    assert found[test["view"] == "PA"].mean() == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("constant", [0, 1])
def test_a_finding_of_one_class_gets_its_share(constant: int) -> None:
    train = cohort(30, seed=1).assign(Hernia=constant)
    found = predict_from_metadata(train, cohort(5, seed=2), seed=0, findings=["Hernia"])
    assert (found["Hernia"] == constant).all()


def test_the_order_of_the_test_rows_moves_no_number() -> None:
    train, test = cohort(60, seed=1), cohort(20, seed=2)
    found = predict_from_metadata(train, test, seed=0)
    turned = predict_from_metadata(train, test.iloc[::-1], seed=0)
    pd.testing.assert_frame_equal(turned.iloc[::-1], found, check_exact=True)


@pytest.mark.slow
def test_the_number_of_threads_changes_no_bit() -> None:
    program = (
        "from hashlib import sha256\n"
        "from test_metadata_floor import cohort\n"
        "from chestxray14.metadata_floor import predict_from_metadata\n"
        "found = predict_from_metadata(cohort(1000, seed=1), cohort(100, seed=2), seed=0,"
        " findings=('Mass', 'Edema'))\n"
        "print(sha256(found.to_numpy().tobytes()).hexdigest())\n"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": "src:tests"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "3")
    }
    assert len(hashes) == 1


@pytest.mark.slow
def test_the_floor_of_the_official_split_is_0_63(nih_metadata: dict[str, bytes]) -> None:
    table = read_labels(nih_metadata["Data_Entry_2017.csv"], name="Data_Entry_2017.csv")
    listed = read_list(nih_metadata["test_list.txt"], name="test_list.txt")
    in_test = table["image"].isin(listed)
    test = table[in_test]
    found = auroc(test[list(FINDINGS)], predict_from_metadata(table[~in_test], test, seed=0))
    assert found["macro"] == pytest.approx(0.628, abs=0.01)
    assert found["Hernia"] > 0.8
