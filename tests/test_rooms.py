"""The package is laid out in rooms, and what comes after `predict` knows no torch."""

import ast
import re
import subprocess
import sys

import pytest
from conftest import ROOT

PACKAGE = ROOT / "src/chestxray14"
ROOMS = (
    *("base", "files", "raw", "phantom", "data", "model"),
    *("training", "external", "scoring", "localization", "report", "inference"),
)
TORCHLESS = ("base", "files", "raw", "data", "scoring", "localization", "report")

IMPORT_EACH = """
import importlib, runpy, sys
for what in sys.argv[1:]:
    if what.endswith(".py"):
        runpy.run_path(what)
    else:
        importlib.import_module(what)
    if "torch" in sys.modules:
        sys.exit(f"{what} imports torch")
"""


def test_the_package_is_its_rooms_and_nothing_else() -> None:
    found = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert found == {*ROOMS, "__init__.py", "__main__.py"}
    assert all((PACKAGE / room).is_dir() for room in ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_and_exports_nothing(room: str) -> None:
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text())
    assert len(tree.body) == 1
    doc = ast.get_docstring(tree) or ""
    assert len(doc.splitlines()) >= 3
    # It names every room that it takes anything from.
    text = "".join(path.read_text() for path in (PACKAGE / room).glob("*.py"))
    others = set(re.findall(r"^ *from chestxray14\.(\w+)", text, flags=re.MULTILINE)) - {room}
    assert {other for other in others if not re.search(rf"\b{other}\b", doc)} == set()


def test_a_module_can_be_read_in_one_go() -> None:
    lines = {
        str(path.relative_to(PACKAGE)): path.read_text().count("\n")
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: count for name, count in lines.items() if count > 300} == {}


def test_what_comes_after_predict_imports_no_torch() -> None:
    stages = ("localize", "evaluate", "fit_metadata", "compare")
    asked = [str(ROOT / f"src/stages/{stage}.py") for stage in stages]
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if len(module) > 2 and module[1] in TORCHLESS:
            asked.append(".".join(module).removesuffix(".__init__"))
    assert len(asked) > 60
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, *asked], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
