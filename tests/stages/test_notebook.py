"""The notebook for Kaggle and Colab: its commands, and all of it with a stand-in for the images."""

import ast
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from projects import ENVIRONMENT, RECIPE, SPLIT, make_checkout, quick_params, run, script

from chestxray14.base.params import read_yaml

NOTEBOOK = ROOT / "notebooks" / "kaggle.ipynb"


def read_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


def test_commands_parse_and_results_are_the_pipelines() -> None:
    code = [cell["source"] for cell in read_cells() if cell["cell_type"] == "code"]
    for source in code:
        if source.startswith("%%bash\n"):
            body = source.removeprefix("%%bash\n")
            subprocess.run(["bash", "-n"], input=body, text=True, check=True)
        else:
            ast.parse(source)
    # What is kept is what stages write, the packed images excepted.
    stages = (ROOT / "dvc.yaml").read_text()
    [kept] = re.findall(r"RESULTS = (\(.*?\n\))", "\n".join(code), flags=re.DOTALL)
    written = set(re.findall(r"(?<=[\s\"])(\w+)/\S*\$\{key\}", stages))
    assert len(written) > 6
    assert written - {"data"} <= set(re.findall(r'"([\w.]+)"', kept))
    [recipe] = re.findall(r'^RECIPE = "(\w+)"', "\n".join(code), flags=re.MULTILINE)
    assert recipe in read_yaml(ROOT / "params.yaml")["recipes"]


def test_no_output_is_committed() -> None:
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in read_cells())


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small drawn cohort in the Kaggle layout."""
    checkout = make_checkout(tmp_path_factory.mktemp("drawn"), quick_params())
    run(*script("download"), cwd=checkout)
    [labels] = (checkout / "data/raw").rglob("Data_Entry_2017.csv")
    return labels.parent


@pytest.mark.slow
def test_a_second_session_goes_on_from_what_the_first_one_kept(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    params = quick_params()
    project = make_checkout(tmp_path / "project", params)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTHONPATH")
    # What is installed here is not touched; the command is noted.
    noted = tmp_path / "pip.txt"
    (tmp_path / "pip.py").write_text(
        f"import sys; open({str(noted)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run_session(name: str, *, hours: float) -> str:
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        [settings] = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
        settings.source += f"""
REPOSITORY, RECIPE, PACKED_PX = {str(project)!r}, {RECIPE!r}, 32
LIMITS = {params["datasets"]["phantom"]["limits"]}
HOURS = {hours}
SCRATCH, KEPT, MOUNTED = Path({str(tmp_path / name)!r}), Path({str(tmp_path / "kept")!r}), {str(images)!r}
"""
        nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
        return json.dumps(notebook)

    cut = run_session("first", hours=0.0001)
    assert "the time is up" in cut
    whole = run_session("second", hours=1)
    assert "iframe srcdoc" in whole
    kept = {
        file.relative_to(tmp_path / "kept").parts[0] for file in (tmp_path / "kept").rglob("*")
    }
    assert {"models", "metrics", "reports", "plots", "dvc.lock"} <= kept
    assert "data" not in kept
    again = run_session("third", hours=1)
    # Images are packed anew; nothing is trained that is there.
    assert "Running stage 'prepare'" in again
    assert f"Running stage 'train@{RECIPE}'" not in again
    assert "--constraint torch.txt" in noted.read_text()
    config = yaml.safe_load((tmp_path / "third/chestxray14/params.yaml").read_text())
    assert set(config["splits"]) == {SPLIT}
    cache = run("dvc", "cache", "dir", cwd=tmp_path / "third/chestxray14").strip()
    assert cache == str(tmp_path / "third" / "cache")
