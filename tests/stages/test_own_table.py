"""Somebody's own table of radiographs, from `dvc exp run` to the report: the drawn cohort with other
names, one label in ten unknown, text for patients and no age."""

import csv
import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from projects import RECIPE, SPLIT, make_checkout, quick_params, run
from sklearn.metrics import roc_auc_score

pytestmark = pytest.mark.slow

FINDINGS = {
    "Erguss": "Effusion",
    "Cardio, megaly": "Cardiomegaly",
    'the "bat wing" | Ödem': "Edema",
    "Nodule/Mass": "Fibrosis",
    "Collapse <1 cm>": "Pneumothorax",
}
"""What the table calls them, and what the phantom drew."""
ELSEWHERE = "densenet121_last_block"
"""A recipe that lists findings of NIH's."""


def write_table(cohort: Path, folder: Path) -> None:
    """Write a drawn cohort's labels as a table whose images are links into a tree."""
    rng = random.Random(0)
    with (
        (cohort / "Data_Entry_2017.csv").open(newline="") as labels,
        (folder / "labels.csv").open("w", newline="") as table,
    ):
        writer = csv.writer(table)
        writer.writerow(["path", "subject_id", "sex", *FINDINGS])
        for row in csv.DictReader(labels):
            shown, name = row["Finding Labels"].split("|"), row["Image Index"]
            cells = ["" if rng.random() < 0.1 else int(f in shown) for f in FINDINGS.values()]
            path = f"{name[:8]}/{name[9:]}"
            writer.writerow([path, f"P{name[:8]}", row["Patient Gender"], *cells])
            (folder / "images" / name[:8]).mkdir(parents=True, exist_ok=True)
            (folder / "images" / path).hardlink_to(next(cohort.rglob(name)))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished `dvc exp run` on the table."""
    params, mine = quick_params(), tmp_path_factory.mktemp("mine")
    recipe = params["recipes"][RECIPE]
    params["recipes"] = {
        RECIPE: recipe | {"loss": {"name": "bce"}},
        ELSEWHERE: recipe | {"findings": ["Mass", "Hernia"]},
    }
    official = {"kind": "official", "val": 0.2, "seed": 0}
    params["splits"] |= {"official": official}
    params["datasets"]["phantom"]["patients"] = 60
    params["datasets"]["mine"] = {
        "source": "table",
        "images": str(mine / "images"),
        "table": str(mine / "labels.csv"),
        "columns": {
            "image": "path",
            "patient": "subject_id",
            "sex": "sex",
            **dict.fromkeys(("age", "view", "follow_up")),
        },
        "findings": {name: name for name in FINDINGS},
        "values": {"1": 1, "0": 0, "": "unknown"},
        **{key: params["datasets"]["phantom"][key] for key in ("packed_px", "limits")},
        "max_rejected": 0.0,
        "experts": None,
    }
    folder = make_checkout(tmp_path_factory.mktemp("project"), params)
    for stage in ("check", "download"):
        run(sys.executable, f"src/stages/{stage}.py", cwd=folder)
    write_table(next(folder.glob("data/raw/phantom/*/PHANTOM.json")).parent, mine)
    told = run("dvc", "exp", "run", "-S", "dataset=mine", cwd=folder)
    assert f"{ELSEWHERE} is skipped: the dataset lacks Mass, Hernia" in told
    assert "official is skipped: train_val_list.txt and test_list.txt: not in" in told
    return folder


def read(project: Path, part: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the labels and probabilities of a part, by image."""
    index = pd.read_csv(project / "data/packed/mine/index.csv").set_index("image")
    predicted = pd.read_csv(project / f"predictions/{RECIPE}/{part}.csv", index_col=0)
    names = list(FINDINGS)
    return index.loc[predicted.index, names], predicted[names]


def metrics(project: Path, path: str) -> Any:
    return json.loads((project / "metrics" / path).read_text())


def test_unknown_labels_are_counted_and_patients_are_text(project: Path) -> None:
    index = pd.read_csv(project / "data/packed/mine/index.csv")
    assert index["patient"].str.fullmatch("P[0-9]{8}").all()
    assert index[["age", "view", "follow_up"]].isna().all(axis=None)
    split = metrics(project, f"split/{SPLIT}.json")
    counted = sum(sum(split[part]["unknown"].values()) for part in ("train", "val", "test"))
    assert counted == index[list(FINDINGS)].isna().sum().sum() > 0
    assert list(split["test"]["prevalence"]) == list(FINDINGS)


def test_the_validation_loss_is_the_mean_over_known_labels(project: Path) -> None:
    labels, probabilities = read(project, "val")
    known = labels.notna().to_numpy()
    truth, given = labels.to_numpy()[known], probabilities.to_numpy()[known]
    by_hand = -np.mean(truth * np.log(given) + (1 - truth) * np.log(1 - given))
    assert metrics(project, f"{RECIPE}/train.json")["val_loss"] == pytest.approx(by_hand, abs=1e-4)


def test_scores_are_of_known_labels(project: Path) -> None:
    labels, probabilities = read(project, "test")
    scored = metrics(project, f"{RECIPE}/test.json")["auroc"]
    for finding in FINDINGS:
        known = labels[finding].notna()
        truth = labels.loc[known, finding]
        if truth.nunique() == 2:
            expected = roc_auc_score(truth, probabilities.loc[known, finding])
            assert scored[finding] == pytest.approx(expected, abs=1e-5)
    assert set(scored) <= {*FINDINGS, "macro", "micro", "No Finding"}


def test_the_report_has_every_name_and_says_what_did_not_run(project: Path) -> None:
    report = (project / "reports/comparison.md").read_text()
    for name in ("Erguss", "Cardio, megaly", 'the "bat wing" \\| Ödem', "Collapse \\<1 cm\\>"):
        assert f"| {name} |" in report
    assert f"not run: {ELSEWHERE}" in report
    page = (project / "reports/comparison.html").read_text()
    assert f"Not run: {ELSEWHERE}, for the dataset lacks Mass, Hernia" in page
    assert re.search(r"Not in this dataset: .*age", page)
    assert "Unknown labels of split patient are left out of every number: Erguss" in page
    assert "Collapse &lt;1 cm&gt;" in page
    assert "Collapse <1" not in page
