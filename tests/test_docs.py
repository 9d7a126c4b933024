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
