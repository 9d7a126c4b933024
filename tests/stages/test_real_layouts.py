"""The 147 real radiographs in each form in which they can be had: the same bytes, to the report."""

import hashlib
import html
import json
import re
import shutil
import tarfile
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from projects import RECIPE, commit, make_checkout, quick_params, run, script

from chestxray14.base.findings import FINDINGS
from chestxray14.data.images import decode, pack
from chestxray14.data.labels import read_labels
from chestxray14.files.packed import open_images
from chestxray14.raw import chestmnist
from chestxray14.raw.archive import open_archive
from chestxray14.raw.nih_box import NUMBERS, find_archive, name_archive

pytestmark = pytest.mark.slow

PX = 64
TABLES = ("Data_Entry_2017.csv", "BBox_List_2017.csv", "train_val_list.txt", "test_list.txt")


def write_archives(sample: Path, folder: Path) -> None:
    """Write NIH's twelve archives, with the images that are here, and the tables beside them."""
    folder.mkdir(parents=True)
    members = defaultdict(list)
    for image in sample.rglob("*.png"):
        members[find_archive(image.name)].append(image)
    for number in NUMBERS:
        with tarfile.open(folder / name_archive(number), "w:gz", compresslevel=1) as archive:
            for image in members[number]:
                archive.add(image, arcname=f"images/{image.name}")
    for name in TABLES:
        shutil.copy(sample / name, folder)


def write_sample(sample: Path, path: Path) -> None:
    """Write Kaggle's sample: its tree twice, with the header and the names that it has there."""
    table = pd.read_csv(sample / TABLES[0], dtype=str)
    table = table.loc[:, ~table.columns.str.startswith("Unnamed")]
    renamed = {name: name.translate({ord(c): None for c in "[]"}) for name in table.columns}
    table = table.rename(columns=renamed)
    table["Patient Age"] = table["Patient Age"].map(lambda age: f"{int(age.rstrip('Y')):03d}Y")
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for tree in ("", "sample/"):
            archive.writestr(f"{tree}sample_labels.csv", table.to_csv(index=False))
            for image in sample.rglob("*.png"):
                archive.write(image, f"{tree}sample/images/{image.name}")


def write_small(sample: Path, path: Path) -> None:
    """Write a zip with the folders of Kaggle's 224-pixel copy."""
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(sample / TABLES[0], TABLES[0])
        for image in sample.rglob("*.png"):
            archive.write(image, f"images-224/images-224/{image.name}")


def write_npz(sample: Path, path: Path) -> dict[str, int]:
    """Write ChestMNIST's form at 64 pixels; return how many images each part has."""
    raw = open_archive(sample)
    table = read_labels(raw.read(TABLES[0]), name=TABLES[0])
    images = np.stack([pack(decode(raw.read(n), name=n), px=PX) for n in table["image"]])
    arrays = {}
    rows = dict(zip(chestmnist.IMAGES, np.split(np.arange(147), [90, 115]), strict=True))
    for part, taken in rows.items():
        arrays[f"{part}_images"] = images[taken]
        arrays[f"{part}_labels"] = table[list(FINDINGS)].to_numpy(np.uint8)[taken]
    path.parent.mkdir(parents=True)
    np.savez_compressed(path, **arrays)
    return {part: len(taken) for part, taken in rows.items()}


def make_project(folder: Path, *, dataset: str, **changes: object) -> Path:
    """Make a checkout that runs on a dataset packed at 64 pixels."""
    params = quick_params()
    params["dataset"] = dataset
    params["datasets"][dataset] |= {"packed_px": PX, **changes}
    return make_checkout(folder, params)


def prepare(project: Path) -> Path:
    """Run the stages up to the packed array and return its folder."""
    for name in ("check", "download", "prepare"):
        run(*script(name), cwd=project)
    params = yaml.safe_load((project / "params.yaml").read_text())
    return project / "data/packed" / str(params["dataset"])


@pytest.fixture(scope="module")
def tree(nih_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what Kaggle's tree is packed to."""
    folder = tmp_path_factory.mktemp("tree")
    return prepare(make_project(folder, dataset="folder", path=str(nih_sample)))


@pytest.mark.parametrize("dataset", ["nih_box", "folder", "sample", "nih_small"])
def test_each_layout_is_packed_to_the_bytes_of_kaggles_tree(
    nih_sample: Path, tree: Path, tmp_path: Path, dataset: str
) -> None:
    changes: dict[str, object] = {
        "nih_box": {"labels": TABLES[0], "tables": "data/raw/nih_box", "delete": True},
        "folder": {"path": "data/raw/folder"},
        "sample": {},
        "nih_small": {},
    }[dataset]
    project = make_project(tmp_path, dataset=dataset, **changes)
    raw = project / "data/raw" / dataset
    match dataset:
        case "sample":
            write_sample(nih_sample, raw / "nih-chest-xrays-sample-4.zip")
        case "nih_small":
            name = "khanfashee-nih-chest-x-ray-14-224x224-resized-1.zip"
            write_small(nih_sample, raw / name)
        case _:
            write_archives(nih_sample, raw)
    packed = prepare(project)
    names = ["images.npy", "index.csv", "rejected.csv"]
    if list(raw.glob("*.csv")):
        names += ["lists.csv", "boxes.csv"]
    for name in names:
        assert (packed / name).read_bytes() == (tree / name).read_bytes(), name
    assert bool(list(raw.glob("*.tar.gz"))) == (dataset == "folder")
    # Packed and deleted is unchanged: nothing is brought again, and the manifest stays.
    manifest = (project / f"data/raw/{dataset}.json").read_bytes()
    run(*script("download"), cwd=project)
    assert (project / f"data/raw/{dataset}.json").read_bytes() == manifest


def test_what_kaggle_has_mounted_is_packed_where_it_lies_unless_a_part_of_it_lacks(
    nih_sample: Path, tree: Path, tmp_path: Path
) -> None:
    project = make_project(tmp_path / "project", dataset="nih")
    mounted = tmp_path / "input/datasets/organizations/nih-chest-xrays/data"
    shutil.copytree(nih_sample, mounted)
    place = project / "src/chestxray14/raw/place.py"
    place.write_text(place.read_text().replace("/kaggle/input", str(tmp_path / "input")))
    packed = prepare(project)
    assert (packed / "images.npy").read_bytes() == (tree / "images.npy").read_bytes()
    assert not (project / "data/raw/nih").exists()
    shutil.rmtree(mounted / "images_002")
    run(*script("download"), cwd=project)
    told = run(*script("prepare"), cwd=project, status=1)
    assert "listed images cannot be read, more than max_rejected" in told
    assert f"not in {mounted}" in told


def test_of_some_archives_the_label_rows_of_the_others_are_named_and_left_out(
    nih_sample: Path, tree: Path, tmp_path: Path
) -> None:
    project = make_project(tmp_path, dataset="folder", path="data/raw/folder")
    raw = project / "data/raw/folder"
    write_archives(nih_sample, raw)
    for number in NUMBERS[1:]:
        (raw / name_archive(number)).unlink()
    run(*script("download"), cwd=project)
    told = run(*script("prepare"), cwd=project, status=1)
    assert "images_002.tar.gz" in told
    assert "cannot be read, more than max_rejected" in told
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["datasets"]["folder"]["archives"] = [1]
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run(*script("download"), cwd=project)
    told = run(*script("prepare"), cwd=project)
    ours, theirs = (
        pd.read_csv(folder / "index.csv") for folder in (project / "data/packed/folder", tree)
    )
    kept = theirs[theirs["image"].map(find_archive) == 1]
    assert f"{len(theirs) - len(kept)} label rows are left out" in told
    assert ours["image"].tolist() == kept["image"].tolist()
    assert ours["crc32"].tolist() == kept["crc32"].tolist()
    assert set(pd.read_csv(project / "data/packed/folder/lists.csv")["image"]) == set(
        ours["image"]
    )


def test_chestmnist_runs_to_the_report_by_one_option(nih_sample: Path, tmp_path: Path) -> None:
    params = quick_params()
    params["datasets"]["chestmnist"]["limits"]["weights"] = "random"  # ImageNet's are a download
    project = make_checkout(tmp_path / "project", params)
    path = project / "data/raw/chestmnist/chestmnist_64.npz"
    parts = write_npz(nih_sample, path)
    # The file's md5 and counts are in the code; those of the small one take their place.
    code = project / "src/chestxray14/raw/chestmnist.py"
    text = code.read_text().replace(chestmnist.MD5[PX], hashlib.md5(path.read_bytes()).hexdigest())
    for part, count in parts.items():
        text = text.replace(f'"{part}": {chestmnist.IMAGES[part]:_}', f'"{part}": {count}')
    code.write_text(text)
    commit(project)
    run("dvc", "exp", "run", "-S", "dataset=chestmnist", cwd=project)
    split = json.loads((project / "metrics/split/patient.json").read_text())
    assert split["kind"] == "given"
    assert {part: split[part]["images"] for part in parts} == parts
    raw = np.load(path)
    packed = open_images(project / "data/packed/chestmnist/images.npy")
    np.testing.assert_array_equal(packed, np.concatenate([raw[f"{p}_images"] for p in parts]))
    test = json.loads((project / f"metrics/{RECIPE}/test.json").read_text())
    assert (test["patients"], test["intervals"]) == (0, "over images, too narrow")
    metadata = (project / "metrics/metadata.json").read_text()
    assert "not in this dataset" in metadata
    report = (project / "reports/comparison.md").read_text()
    page = html.unescape(re.sub("<[^>]+>", "", (project / "reports/comparison.html").read_text()))
    told = [told for told in re.split(r"[.;\n]", page) if "not in this dataset" in told.lower()]
    for absent in ("patients", "follow-up number", "sex", "boxes"):
        assert any(absent in each for each in told), (absent, told)
    assert "intervals over images, too narrow" in report
