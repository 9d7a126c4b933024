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
