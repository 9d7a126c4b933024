import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, make_index
from sklearn.metrics import roc_auc_score

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import load_block, read_yaml
from chestxray14.base.scores import auroc
from chestxray14.data.labels import read_labels, read_list
from chestxray14.data.splits import describe_split
from chestxray14.files.outputs import write_json
from chestxray14.files.records import read_record
from chestxray14.files.skipped import read_skipped, write_skipped
from chestxray14.scoring.bootstrap import bootstrap_findings, draw_patients
from chestxray14.scoring.claims import interval, suffice
from chestxray14.scoring.metadata_floor import FloorScores, predict_from_metadata
from chestxray14.scoring.params import Evaluate


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
    found = predict_from_metadata(train, test, seed=0, findings=FINDINGS)
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
    found = predict_from_metadata(train, test, seed=0, findings=FINDINGS)
    turned = predict_from_metadata(train, test.iloc[::-1], seed=0, findings=FINDINGS)
    pd.testing.assert_frame_equal(turned.iloc[::-1], found, check_exact=True)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Make a folder that holds what the stage reads, work in it, and return the index."""
    params = read_yaml(ROOT / "params.yaml")
    params["splits"] = {name: params["splits"][name] for name in ("official", "patient")}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    table = cohort(240, seed=1).assign(Hernia=0)
    part = table["patient"].map(lambda patient: ("train", "val", "test")[patient % 3])
    Path("data/packed/phantom").mkdir(parents=True)
    Path("data/splits/phantom").mkdir(parents=True)
    table.to_csv("data/packed/phantom/index.csv", index=False)
    split = table[["image"]].assign(part=part)
    split.to_csv("data/splits/phantom/patient.csv", index=False)
    write_skipped("no lists", Path("data/splits/phantom/official.csv"))
    described = describe_split(table, part, kind="patient")
    described |= {"shared_patients": 0, "label_version": "phantom"}
    write_json(Path("metrics/split/patient.json"), described)
    return table.assign(part=part)


def fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fit_metadata.py"])
    main: Callable[[], None] = runpy.run_path(str(ROOT / "src/stages/fit_metadata.py"))["main"]
    main()


def test_the_stage_writes_short_metrics_and_beside_them_every_interval_and_draw(
    index: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(monkeypatch)
    path = Path("evaluations/metadata/patient.json")
    scores = read_record(path, FloorScores, by="fit_metadata")
    draws = np.load(path.with_suffix(".npy"))
    params = load_block("evaluate", Evaluate)
    train, test = (index[index["part"] == part] for part in ("train", "test"))
    predicted = predict_from_metadata(train, test, seed=params.seed, findings=FINDINGS)
    scored = FINDINGS[:-1]  # Nobody has a hernia.
    drawn = draw_patients(test["patient"], draws=params.draws, seed=params.seed)
    expected, _ = bootstrap_findings(test[list(scored)], predicted[list(scored)], drawn)
    np.testing.assert_array_equal(draws, expected)
    assert list(scores.estimates) == ["macro", *scored]
    for i, finding in enumerate(scored):
        told = scores.estimates[finding]
        assert told.value == round(roc_auc_score(test[finding], predicted[finding]), 5)
        assert scores.patients[finding] == drawn.count_rarer(test[finding].to_numpy())
        bounds = interval(expected[:, i]) if suffice(scores.patients[finding]) else (None, None)
        assert (told.low, told.high) == pytest.approx(bounds, abs=1e-5)
    macro = scores.estimates["macro"]
    assert (macro.low, macro.high) == pytest.approx(interval(expected.mean(axis=1)), abs=1e-5)
    told = json.loads(Path("metrics/metadata.json").read_text())
    assert told["official"] == {"skipped": "no lists"}
    assert read_skipped(Path("evaluations/metadata/official.json")) == "no lists"
    metrics = told["patient"]
    assert set(metrics["auroc"]) == {"macro", "micro", *scored}
    assert metrics["auroc_low"] == {"macro": macro.low}
    assert metrics["auroc_high"] == {"macro": macro.high}
    assert metrics["split_sha256"] == scores.split_sha256
    assert (metrics["images"], metrics["patients"]) == (240, 80)


def test_a_test_part_of_nine_patients_has_a_floor_without_an_interval(
    index: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = index[(index["part"] != "test") | (index["patient"] < 29)]
    few[["image", "part"]].to_csv("data/splits/phantom/patient.csv", index=False)
    described = describe_split(few.drop(columns="part"), few["part"], kind="patient")
    described |= {"shared_patients": 0, "label_version": "phantom"}
    write_json(Path("metrics/split/patient.json"), described)
    fit(monkeypatch)
    told = json.loads(Path("evaluations/metadata/patient.json").read_text())
    assert all(set(estimate) == {"value"} for estimate in told["estimates"].values())
    metrics = json.loads(Path("metrics/metadata.json").read_text())["patient"]
    assert (metrics["patients"], metrics["auroc_low"], metrics["auroc_high"]) == (9, {}, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", r"patient\.json: the whole file: .*; the split stage writes it"),
        ('{"kind": "patient"}', r"patient\.json: train: Field required; the split stage writes"),
    ],
)
def test_a_foreign_split_file_is_refused_in_one_line(
    index: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    Path("metrics/split/patient.json").write_text(text)
    with pytest.raises(InputError, match=message):
        fit(monkeypatch)


def test_a_split_file_of_other_test_images_is_refused(
    index: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path("metrics/split/patient.json")
    described = json.loads(path.read_text())
    described["test"]["sha256"] = "ab" * 32
    write_json(path, described)
    with pytest.raises(InputError, match="has other test images than metrics/split/patient"):
        fit(monkeypatch)


@pytest.mark.slow
def test_the_number_of_threads_changes_no_bit() -> None:
    program = (
        "from hashlib import sha256\n"
        "from test_metadata_floor import cohort\n"
        "from chestxray14.scoring.metadata_floor import predict_from_metadata\n"
        "found = predict_from_metadata(cohort(1000, seed=1), cohort(100, seed=2), seed=0,"
        " findings=('Mass', 'Edema'))\n"
        "print(sha256(found.to_numpy().tobytes()).hexdigest())\n"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "OMP_NUM_THREADS": threads,
                "PYTHONPATH": "src:tests:tests/scoring",
            },
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
    found = auroc(
        test[list(FINDINGS)],
        predict_from_metadata(table[~in_test], test, seed=0, findings=FINDINGS),
        findings=FINDINGS,
    )
    assert found["macro"] == pytest.approx(0.628, abs=0.01)
    assert found["Hernia"] > 0.8
