"""Raw data that changes, or does not, outside of what DVC sees."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from projects import BUSY, commit, make_checkout, quick_params, run

from chestxray14.base.draws import hash_file

pytestmark = pytest.mark.slow

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
)
MANIFEST = "data/raw/folder.json"


def write_dataset(folder: Path) -> Path:
    """Write four radiographs of noise and their label file."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = [HEADER]
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8)).save(folder / f"{i}.png")
        rows.append(f"{i}.png,Mass,0,{i},50,F,PA")
    (folder / "Data_Entry_2017.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a checkout whose dataset `mine`, beside it, is packed."""
    params = quick_params()
    params["dataset"] = "folder"
    params["datasets"]["folder"]["path"] = str(write_dataset(tmp_path / "mine"))
    checkout = make_checkout(tmp_path / "project", params)
    assert repro(checkout) == ["check", "download", "prepare"]
    commit(checkout)
    return checkout


def repro(project: Path, *, status: int = 0) -> list[str]:
    """Return which stages `dvc repro prepare` runs."""
    return re.findall(
        r"Running stage '(.+)'", run("dvc", "repro", "prepare", cwd=project, status=status)
    )


def point_to(project: Path, before: Path, after: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace(str(before), str(after)))


def test_a_second_run_only_looks(project: Path) -> None:
    told = run("dvc", "repro", "prepare", cwd=project)
    assert re.findall(r"Running stage '(.+)'", told) == ["download"]
    assert "Stage 'prepare' didn't change, skipping" in told
    assert run("dvc", "status", "prepare", "--with-deps", cwd=project).split() == [
        *("download:", "always", "changed")
    ]
    assert not run("git", "status", "--porcelain", cwd=project)


@pytest.mark.parametrize("name", ["Data_Entry_2017.csv", "2.png"])
def test_a_corrected_file_of_the_same_length_is_packed_anew(project: Path, name: str) -> None:
    file = project.parent / "mine" / name
    packed = hash_file(project / "data/packed/folder/index.csv")
    if name == "2.png":
        length = file.stat().st_size
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
        assert length == file.stat().st_size
    else:
        file.write_bytes(file.read_bytes().replace(b",50,F", b",51,M"))
    assert repro(project) == ["download", "prepare"]
    assert hash_file(project / "data/packed/folder/index.csv") != packed


def test_touched_moved_copied_or_zipped_data_is_the_same_data(project: Path) -> None:
    mine = project.parent / "mine"
    for file in mine.iterdir():
        file.touch()
    assert repro(project) == ["download"]
    copied = project.parent / "copied" / "deeper"
    shutil.copytree(mine, copied)
    point_to(project, mine, copied)
    assert repro(project)[-1] == "download"
    zipped = Path(shutil.make_archive(str(project.parent / "zipped"), "zip", mine))
    point_to(project, copied, zipped)
    assert repro(project)[-1] == "download"


def test_data_that_was_removed_after_packing_counts_as_unchanged(project: Path) -> None:
    mine = project.parent / "mine"
    shutil.rmtree(mine)
    assert repro(project) == ["download"]
    point_to(project, mine, project.parent / "never")
    assert repro(project, status=BUSY)[-1] == "download"


def test_a_clone_with_pulled_results_needs_no_raw_data(project: Path) -> None:
    clone = project.parent / "clone"
    run("git", "clone", "-q", str(project), str(clone), cwd=project)
    shutil.copytree(project / ".dvc/cache", clone / ".dvc/cache")
    run("dvc", "checkout", "--allow-missing", cwd=clone)
    shutil.rmtree(project.parent / "mine")
    assert repro(clone) == ["download"]


def test_a_look_that_fails_leaves_the_manifest(project: Path) -> None:
    manifest = (project / MANIFEST).read_bytes()
    labels = project.parent / "mine/Data_Entry_2017.csv"
    moved = labels.rename(labels.with_suffix(".old"))
    assert repro(project, status=BUSY) == ["download"]
    assert (project / MANIFEST).read_bytes() == manifest
    moved.rename(labels)
    assert repro(project) == ["download"]


def test_a_cohort_is_drawn_once(project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("dataset: folder", "dataset: phantom"))
    repro(project)
    cohort = next((project / "data/raw/phantom").glob("*/PHANTOM.json")).parent
    before = cohort.stat().st_mtime_ns
    assert repro(project) == ["download"]
    assert cohort.stat().st_mtime_ns == before
    shutil.rmtree(cohort)
    assert repro(project) == ["download"]
    assert not cohort.exists()


def test_a_temporary_copy_looks_at_the_raw_data_of_its_checkout(project: Path) -> None:
    point_to(project, project.parent / "mine", Path("../mine"))
    repro(project)
    commit(project)
    told = run(
        *("dvc", "exp", "run", "--temp", "-S", "datasets.folder.packed_px=40", "prepare"),
        cwd=project,
    )
    assert "4 images packed" in told
    assert not list((project / ".dvc/tmp/exps").glob("*/data/raw/seen"))
