"""The suite catches planted faults, and the list of them fits the code."""

import re
import subprocess
import sys

import pytest
from benchmarks import faults
from benchmarks.faults import Fault
from conftest import ROOT


def run(*arguments: str) -> tuple[int, list[list[str]], str]:
    """Return exit status, rows of the table and what else was printed."""
    done = subprocess.run(
        [sys.executable, "benchmarks/faults.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    return done.returncode, rows_of(done.stdout), done.stderr


def rows_of(text: str) -> list[list[str]]:
    rows = re.findall(r"^\| (\w+/\w+\.py) \| (.+) \|$", text, flags=re.MULTILINE)
    return [[file, *row.split(" | ")] for file, row in rows]


def test_contributing_names_the_faults_that_are_planted_now() -> None:
    status, rows, told = run("--list")
    assert status == 0, told
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Tests that can fail")[2]
    assert [row[:2] for row in rows_of(section)] == rows
    assert len(rows) == 30


def test_a_fault_whose_text_is_not_there_once_is_named() -> None:
    for old, count in (("no such line", 0), ("import", "[1-9][0-9]*")):
        fault = Fault("data/splits.py", old, "", "something is wrong")
        with pytest.raises(
            SystemExit, match=rf"data/splits\.py has {count} times.*{old}.*something is wrong"
        ):
            faults.plant(fault, ROOT / "src")


@pytest.mark.slow
def test_what_changes_nothing_survives_and_what_breaks_is_caught() -> None:
    nothing = Fault("data/splits.py", "PARTS = (", "PARTS = 1 * (", "nothing changes")
    broken = Fault("data/splits.py", "PARTS = (", "PARTS = 2 * (", "parts occur twice")
    assert faults.try_fault(nothing).caught_by is None
    caught = faults.try_fault(broken).caught_by
    assert caught is not None
    assert caught.startswith("tests/data/test_splits.py::")
    assert faults.run_tests([caught], ROOT / "src") == []


@pytest.mark.slow
def test_every_planted_fault_is_caught() -> None:
    status, rows, told = run()
    assert status == 0, told
    assert len(rows) == 30
