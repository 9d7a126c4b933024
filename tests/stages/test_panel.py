"""A network may be better than the labels that it learned from, and the pipeline shows it."""

import json
from pathlib import Path

import pytest
from conftest import ROOT
from projects import make_checkout, run, script

from chestxray14.base.params import read_yaml

pytestmark = pytest.mark.slow


def test_a_recipe_agrees_with_the_panel_more_than_with_the_noisy_labels_it_learned_from(
    tmp_path: Path,
) -> None:
    params = read_yaml(ROOT / "params.yaml") | {"dataset": "cohort"}
    # So many patients that another machine's bits do not decide.
    params["datasets"]["cohort"] |= {"label_noise": 0.2, "patients": 1000}
    params["datasets"]["cohort"]["limits"] |= {"epochs": 8, "views": "centre"}
    # Two threads beside another test would wait for one another.
    params["compute"]["threads"] = 1
    params["recipes"] = {"best": params["recipes"]["best"]}
    # Findings count where 20 test patients have them: two of five patients are for the test.
    params["splits"] = {"patient": params["splits"]["patient"] | {"train": 0.5, "val": 0.1}}
    project = make_checkout(tmp_path / "project", params)
    stages = ("check", "download", "prepare", "split@patient")
    for name in (*stages, "train@best", "predict@best", "evaluate@best"):
        run(*script(name), cwd=project)
    means = json.loads((project / "metrics/best/test.json").read_text())["experts"]["panel"]
    assert len(means["findings"]) >= 5
    assert means["auroc"]["value"] > means["auroc_nih"]["value"]
    assert means["difference"]["low"] > 0
