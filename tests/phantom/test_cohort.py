"""The drawn cohort has NIH's layout, its own prevalence, and the same bytes every time."""

import csv
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, SHARED
from PIL import Image

from chestxray14.base.errors import InputError
from chestxray14.base.findings import BOXED_FINDINGS, FINDINGS, parse_label
from chestxray14.base.params import load_block
from chestxray14.phantom import cohort as phantom
from chestxray14.raw.params import DATASET, Phantom

SAMPLE = SHARED / "nih-sample"


def cohort(**changes: Any) -> Phantom:
    drawn = load_block("datasets.cohort", DATASET, path=ROOT / "params.yaml")
    assert isinstance(drawn, Phantom)
    small = {"patients": 12, "follow_ups": 1.0, "image_px": 64, "seed": 3}
    return Phantom.model_validate(drawn.model_dump() | small | changes)


def contents(folder: Path) -> Mapping[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "phantom"
    # Frequent findings, so that few test patients have boxes.
    phantom.draw_cohort(cohort(prevalence=dict.fromkeys(FINDINGS, 0.4)), folder, workers=1)
    return folder


def names_in(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text().split("\n")


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 2)):
        phantom.draw_cohort(cohort(), tmp_path / name, workers=workers)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_what_was_not_drawn_is_never_deleted(tmp_path: Path) -> None:
    mine = tmp_path / "phantom" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("keep")
    with pytest.raises(InputError, match=r"holds no drawn cohort \(no PHANTOM\.json\)"):
        phantom.draw_cohort(cohort(), mine.parent, workers=1)
    assert mine.read_text() == "keep"


def test_another_seed_gives_other_images(tmp_path: Path) -> None:
    for seed in (0, 1):
        phantom.draw_cohort(cohort(seed=seed, patients=10), tmp_path / str(seed), workers=1)
    first, second = (
        {sha for name, sha in contents(tmp_path / seed).items() if name.endswith(".png")}
        for seed in ("0", "1")
    )
    assert not first & second


def test_a_finished_cohort_is_left_alone_and_a_changed_one_is_drawn_again(tmp_path: Path) -> None:
    folder = tmp_path / "phantom"
    phantom.draw_cohort(cohort(patients=10), folder, workers=1)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    # How the images are packed later is no matter of drawing.
    phantom.draw_cohort(cohort(patients=10, packed_px=64), folder, workers=1)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    next(folder.glob("images_*/images/*.png")).unlink()
    phantom.draw_cohort(cohort(patients=10), folder, workers=1)
    assert (
        len(list(folder.glob("images_*/images/*.png")))
        == len(rows(folder / "Data_Entry_2017.csv")) - 1
    )

    phantom.draw_cohort(cohort(patients=11), folder, workers=1)
    assert json.loads((folder / "PHANTOM.json").read_text())["cohort"]["patients"] == 11


def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    stale = tmp_path / "phantom.partial" / "images_001" / "images" / "00000001_000.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"half")
    phantom.draw_cohort(cohort(patients=10), tmp_path / "phantom", workers=1)
    assert not (tmp_path / "phantom.partial").exists()
    assert len(rows(tmp_path / "phantom" / "BBox_List_2017.csv")[0]) == 9
    for path in (tmp_path / "phantom").glob("images_*/images/*.png"):
        assert Image.open(path).size == (64, 64)


def test_a_run_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "phantom"
    phantom.draw_cohort(cohort(patients=10), folder, workers=1)
    before = contents(folder)

    def fail(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(phantom, "draw_study", fail)
    with pytest.raises(KeyboardInterrupt):
        phantom.draw_cohort(cohort(patients=11), folder, workers=1)
    assert contents(folder) == before


def test_the_label_file_is_spelled_as_nih_spells_it(drawn: Path) -> None:
    raw = (drawn / "Data_Entry_2017.csv").read_bytes()
    assert raw.endswith(b"\r\n")
    assert raw.count(b"\r\n") == raw.count(b"\n")
    header, *body = raw.decode().splitlines()
    assert header.endswith("OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],")
    pattern = re.compile(
        r"(\d{8})_(\d{3})\.png,[\w |]+,\2,\1,0\d\dY,[FM],(PA|AP),\d{4},\d{4},0\.\d+,0\.\d+"
    )
    assert [row for row in body if not pattern.fullmatch(row)] == []
    on_disk = {path.name for path in drawn.glob("images_*/images/*.png")}
    assert {row.split(",")[0] for row in body} == on_disk
    assert len(list(drawn.glob("images_*"))) == 2


@pytest.mark.skipif(not SAMPLE.exists(), reason="needs the NIH sample in ../shared/nih-sample")
def test_the_files_are_those_of_nih(drawn: Path) -> None:
    for name in ("Data_Entry_2017.csv", "BBox_List_2017.csv"):
        theirs, ours = (SAMPLE / name).read_bytes(), (drawn / name).read_bytes()
        assert ours.split(b"\n")[0] == theirs.split(b"\n")[0]
        fields = theirs.split(b"\n")[1].count(b",")
        assert ours.split(b"\n")[1].count(b",") == fields


def test_labels_follow_the_findings_that_are_drawn() -> None:
    clean = cohort(patients=30, label_noise=0.0)
    for patient in range(1, 31):
        for study in phantom.plan_patient(clean, patient):
            present = {f for f, y in zip(FINDINGS, parse_label(study.label), strict=True) if y}
            assert present == set(study.lesions)


def test_prevalence_and_label_noise_keep_their_marginals() -> None:
    noise, patients = 0.2, 1500
    many = cohort(patients=patients, follow_ups=1.0, label_noise=noise)
    expected = np.array([many.prevalence[finding] for finding in FINDINGS])
    drawn, labelled, patient = [], [], []
    for number in range(1, patients + 1):
        for study in phantom.plan_patient(many, number):
            drawn.append([finding in study.lesions for finding in FINDINGS])
            labelled.append(parse_label(study.label))
            patient.append(number)
    present, marked = np.array(drawn, dtype=bool), np.array(labelled, dtype=bool)
    # Studies of a patient repeat each other: the error is that of patients, 4 deviations wide.
    weights = np.bincount(patient)
    effective = len(patient) ** 2 / (weights**2).sum()
    error = 4 * np.sqrt(expected * (1 - expected) / effective)
    assert (np.abs(present.mean(axis=0) - expected) < error).all()
    assert (np.abs(marked.mean(axis=0) - expected) < error).all()
    assert (~marked[present]).mean() == pytest.approx(noise, abs=0.03)
    odds = expected / (1 - expected)
    false = np.array([marked[~present[:, i], i].mean() for i in range(14)])
    np.testing.assert_allclose(false, noise * odds, atol=0.015)


def test_findings_last_and_come_in_company() -> None:
    many = cohort(patients=1000, follow_ups=1.0, label_noise=0.0)
    plans = [phantom.plan_patient(many, number) for number in range(1, 1001)]
    pairs = [plan[:2] for plan in plans if len(plan) > 1]

    def kept(finding: str) -> float:
        return float(np.mean([finding in b.lesions for a, b in pairs if finding in a.lesions]))

    assert kept("Emphysema") > 0.75
    assert many.prevalence["Pneumonia"] + 0.1 < kept("Pneumonia") < kept("Emphysema")
    studies = [study for plan in plans for study in plan]
    with_edema = ["Cardiomegaly" in study.lesions for study in studies if "Edema" in study.lesions]
    assert np.mean(with_edema) > 2 * many.prevalence["Cardiomegaly"]
    ill = [study.view == "AP" for study in studies if "Edema" in study.lesions]
    well = [study.view == "AP" for study in studies if not study.lesions]
    assert np.mean(ill) > np.mean(well) + 0.2


def test_a_wrong_label_is_copied_to_all_studies_of_a_patient() -> None:
    noisy = cohort(patients=200, follow_ups=2.0, label_noise=0.3)
    wrong = 0
    for number in range(1, 201):
        plan = phantom.plan_patient(noisy, number)
        for i, finding in enumerate(FINDINGS):
            seen = {bool(parse_label(s.label)[i]) for s in plan if finding in s.lesions}
            assert len(seen) <= 1
            wrong += seen == {False}
    assert wrong > 25


def test_the_lists_share_no_patient_and_end_without_a_newline(drawn: Path) -> None:
    train, test = names_in(drawn, "train_val_list.txt"), names_in(drawn, "test_list.txt")
    labelled = [row[0] for row in rows(drawn / "Data_Entry_2017.csv")[1:]]
    assert sorted(train + test) == sorted(labelled)
    assert not {name[:8] for name in train} & {name[:8] for name in test}
    assert len({name[:8] for name in test}) == round(0.2 * 12)


def test_boxes_lie_in_the_picture_and_each_has_its_label(drawn: Path) -> None:
    labels = {row[0]: row[1].split("|") for row in rows(drawn / "Data_Entry_2017.csv")}
    boxes = rows(drawn / "BBox_List_2017.csv")[1:]
    assert len({(row[0], row[1]) for row in boxes}) == len(boxes)
    for name, finding, *numbers in boxes:
        finding = "Infiltration" if finding == "Infiltrate" else finding
        x, y, width, height = map(float, numbers)
        assert finding in BOXED_FINDINGS
        assert finding in labels[name]
        assert min(width, height) > 0
        assert min(x, y) >= 0
        assert max(x + width, y + height) <= 1024


def test_both_lists_have_boxes(drawn: Path) -> None:
    boxed = {row[0] for row in rows(drawn / "BBox_List_2017.csv")[1:]}
    for name in ("train_val_list.txt", "test_list.txt"):
        assert boxed & set(names_in(drawn, name))


def test_a_few_images_are_rgba_and_the_others_grey(drawn: Path) -> None:
    modes = [Image.open(path).mode for path in drawn.glob("images_*/images/*.png")]
    assert modes.count("RGBA") == 2
    assert modes.count("L") == len(modes) - 2
