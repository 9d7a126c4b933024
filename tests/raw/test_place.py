from pathlib import Path

import pytest
from conftest import ROOT

from chestxray14.base.params import load_block
from chestxray14.raw import place
from chestxray14.raw.params import DATASET
from chestxray14.raw.place import RAW_VARIABLE, locate, locate_record

DATASETS = {
    name: load_block(f"datasets.{name}", DATASET, path=ROOT / "params.yaml")
    for name in ("phantom", "nih", "folder")
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RAW_VARIABLE, raising=False)


def test_raw_data_lies_below_data_raw_or_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert locate("nih", DATASETS["nih"]) == Path("data/raw/nih/nih-chest-xrays-data-3.zip")
    assert locate("phantom", DATASETS["phantom"]).parent == Path("data/raw/phantom")
    monkeypatch.setenv(RAW_VARIABLE, "/elsewhere")
    assert locate("nih", DATASETS["nih"]) == Path("/elsewhere/nih/nih-chest-xrays-data-3.zip")


@pytest.mark.parametrize("name", DATASETS)
def test_a_temporary_copy_has_the_raw_data_of_its_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "tmp1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    here = locate(name, DATASETS[name])
    expected = tmp_path / here
    record = locate_record(here)
    monkeypatch.chdir(copy)
    assert locate(name, DATASETS[name]) == expected
    assert locate_record(expected) == tmp_path / record


def test_another_cohort_or_version_lies_elsewhere() -> None:
    phantom, nih = DATASETS["phantom"], DATASETS["nih"]
    here = locate("phantom", phantom)
    assert locate("phantom", phantom.model_copy(update={"seed": 1})) != here
    assert locate("phantom", phantom.model_copy(update={"packed_px": 64})) == here
    other = nih.model_copy(update={"slug": "nih-chest-xrays/data/2"})
    assert locate("nih", other) != locate("nih", nih)


@pytest.mark.parametrize(
    "way",
    ["data", "datasets/nih-chest-xrays/data", "datasets/organizations/nih-chest-xrays/data"],
)
def test_what_a_kaggle_notebook_has_mounted_is_taken_and_another_dataset_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(place, "MOUNTED", tmp_path)
    (tmp_path / "datasets" / "somebody" / "data").mkdir(parents=True)
    assert locate("nih", DATASETS["nih"]) == Path("data/raw/nih/nih-chest-xrays-data-3.zip")
    (tmp_path / way).mkdir(parents=True)
    assert locate("nih", DATASETS["nih"]) == tmp_path / way
