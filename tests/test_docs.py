"""Numbers in the documentation are those that were measured."""

import json

from benchmarks.recipes import write_tables
from conftest import ROOT
from tiny import RECIPES


def test_the_readme_has_every_recipe_with_what_it_reached_on_the_demo() -> None:
    rows = [line.split("|") for line in (ROOT / "README.md").read_text().splitlines()]
    told = {row[1].strip(" `"): row[-2].strip() for row in rows if len(row) == 7}
    for name in RECIPES:
        auroc = json.loads((ROOT / f"metrics/{name}/test.json").read_text())["auroc"]
        assert told[name] == f"{auroc['macro']:.3f}"


def test_heatmaps_of_the_demo_beat_both_baselines_by_what_the_readme_says() -> None:
    found = json.loads((ROOT / "metrics/best/localization.json").read_text())
    at = found["iobb"]["0.25"]
    assert at["accuracy"] > max(at["random"], at["centre"]) + 0.05
    text = " ".join((ROOT / "README.md").read_text().split())
    assert (
        f"`best` finds {at['accuracy']:.3f} of {found['boxes']} drawn boxes at IoBB above 0.25, "
        f"noise {at['random']:.3f}, the centre {at['centre']:.3f}"
    ) in text


def test_the_tables_of_the_results_are_those_of_the_noted_measurements() -> None:
    assert write_tables() in (ROOT / "docs/results.md").read_text()


def test_the_floors_of_the_results_are_those_of_the_metrics() -> None:
    text = " ".join((ROOT / "docs/results.md").read_text().split())
    floors = [
        json.loads((ROOT / f"metrics/metadata/{split}.json").read_text())
        for split in ("patient", "image")
    ]
    macro = [f"{floor['auroc']['macro']:.3f}" for floor in floors]
    assert f"reaches {macro[0]} by patient and {macro[1]} by image" in text
    bounds = [f"{f['auroc_low']['macro']:.3f} to {f['auroc_high']['macro']:.3f}" for f in floors]
    assert f"{bounds[0]} and {bounds[1]}" in text
