"""Numbers in the documentation are those that were measured.

Documents are held against the committed metrics, never against the working tree: a machine that
computes other bits, or an experiment that lies in the workspace, makes no document wrong.
"""

import json
import re
import subprocess
from typing import Any

import pytest
from benchmarks.recipes import write_tables
from conftest import ROOT
from tiny import RECIPES


def committed(path: str) -> Any:
    """Return a committed JSON file."""
    done = subprocess.run(
        ["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "not a git repository" in done.stderr:
        pytest.skip("this copy of the project has no git history to compare with")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def read(document: str) -> str:
    """Return a document's words, whatever its line breaks."""
    return " ".join((ROOT / document).read_text().split())


def test_the_readme_has_every_recipe_with_what_it_reached_on_the_demo() -> None:
    rows = [line.split("|") for line in (ROOT / "README.md").read_text().splitlines()]
    told = {row[1].strip(" `"): row[-2].strip() for row in rows if len(row) == 7}
    for name in RECIPES:
        auroc = committed(f"metrics/{name}/test.json")["auroc"]
        assert told[name] == f"{auroc['macro']:.3f}"


def test_the_readme_says_what_the_last_line_of_the_demo_says() -> None:
    scores = committed("metrics/best/test.json")
    low, high = (scores[f"auroc_{bound}"]["macro"] for bound in ("low", "high"))
    expected = f"AUROC macro {scores['auroc']['macro']:.3f} ({low:.3f} to {high:.3f})"
    assert expected in read("README.md")


def test_the_readme_can_be_read_in_a_screen_and_a_half() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_heatmaps_of_the_demo_are_what_the_documents_say() -> None:
    found = committed("metrics/best/localization.json")
    at = found["iobb"]["0.25"]
    assert (
        f"`best` finds {at['accuracy']:.3f} of {found['boxes']} drawn boxes at IoBB above 0.25, "
        f"noise {at['random']:.3f}, the centre {at['centre']:.3f}"
    ) in read("docs/trust.md")


def test_the_tables_of_the_results_are_those_of_the_noted_measurements() -> None:
    assert write_tables() in (ROOT / "docs/results.md").read_text()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/README.md"])
def test_every_file_that_a_document_names_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    folder = (ROOT / document).parent
    linked = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    named = [f"src/chestxray14/{path}" for path in re.findall(r"`(\w+/\w+\.py):", text)]
    assert linked or named
    for path in linked:
        assert (folder / path).exists(), path
    for path in named:
        assert (ROOT / path).exists(), path
