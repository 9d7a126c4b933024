"""Half the bits must not change the science."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from projects import LONG, make_checkout, run, script

from chestxray14.base.params import read_yaml

RECIPE = "densenet121_step"


@pytest.mark.slow
def test_bf16_and_fp32_agree_within_the_interval_over_patients(tmp_path: Path) -> None:
    """The long version trains on the whole demo."""
    params = read_yaml(ROOT / "params.yaml")
    params["recipes"] = {RECIPE: params["recipes"][RECIPE]}
    params["splits"] = {"patient": params["splits"]["patient"]}
    if not LONG:
        params["datasets"]["phantom"] |= {"patients": 160, "image_px": 64, "packed_px": 64}
        params["datasets"]["phantom"]["limits"]["epochs"] = 3
        # On so few patients rarer ones have no interval.
        params["recipes"][RECIPE]["findings"] = [
            "Effusion",
            "Pneumonia",
            "Edema",
            "Atelectasis",
            "Pneumothorax",
        ]
        params["compute"]["threads"] = 1
    checkout = make_checkout(tmp_path, params)
    for name in ("download", "prepare", "split@patient"):
        run(*script(name), cwd=checkout)
    macro, intervals = {}, {}
    stages = [f"{name}@{RECIPE}" for name in ("train", "predict", "evaluate")]
    for precision in ("fp32", "bf16"):
        params["compute"]["precision"] = precision
        (checkout / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        for name in stages:
            run(*script(name), cwd=checkout)
        scores = json.loads((checkout / f"metrics/{RECIPE}/test.json").read_text())
        macro[precision] = scores["auroc"]["macro"]
        intervals[precision] = scores["auroc_high"]["macro"] - scores["auroc_low"]["macro"]
    print(f"macro AUROC {macro}, intervals {intervals}")
    # The same number would mean that one precision ran twice.
    assert 0 < abs(macro["fp32"] - macro["bf16"]) < min(intervals.values()) / 2
