import shutil
import zipfile
from pathlib import Path

import pytest

from chestxray14.archive import open_archive
from chestxray14.errors import InputError


def make_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


FILES = {
    "images_001/images/a.png": b"A",
    "images_002/images/b.png": b"BB",
    "Data_Entry_2017.csv": b"labels",
}


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_files_are_found_by_basename_in_zip_and_folder(tmp_path: Path, make) -> None:
    archive = open_archive(make(tmp_path / "raw", FILES))
    assert {name: archive.read(name) for name in archive.members} == {
        Path(name).name: content for name, content in FILES.items()
    }


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_a_tree_held_twice_counts_once(tmp_path: Path, make) -> None:
    twice = FILES | {f"sample/{name}": content for name, content in FILES.items()}
    assert set(open_archive(make(tmp_path / "raw", twice)).members) == {
        *("a.png", "b.png", "Data_Entry_2017.csv")
    }


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_two_different_files_of_one_name_are_refused(tmp_path: Path, make) -> None:
    with pytest.raises(InputError, match=r"two different files named a\.png"):
        open_archive(make(tmp_path / "raw", FILES | {"other/a.png": b"Z"}))


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_the_description_is_of_the_content_alone(tmp_path: Path, make) -> None:
    moved = {f"elsewhere/{Path(name).name}": content for name, content in FILES.items()}
    changed = FILES | {"Data_Entry_2017.csv": b"lapels"}
    first = open_archive(make(tmp_path / "first", FILES)).describe()
    assert first == open_archive(make(tmp_path / "second", moved)).describe()
    assert first != open_archive(make(tmp_path / "third", changed)).describe()
    assert (first["images"], first["image_bytes"]) == (2, 3)


def test_a_zip_knows_a_changed_pixel_of_the_same_size(tmp_path: Path) -> None:
    changed = FILES | {"images_002/images/b.png": b"BC"}
    first = open_archive(make_zip(tmp_path / "first.zip", FILES)).describe()
    assert first != open_archive(make_zip(tmp_path / "second.zip", changed)).describe()


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_what_is_no_part_of_the_dataset_is_passed_over(tmp_path: Path, make) -> None:
    beside = {"README.txt": b"a", "images_001/README.txt": b"b", "images_001.tar.gz": b"c"}
    assert len(open_archive(make(tmp_path / "raw", FILES | beside)).members) == 3


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere not found"):
        open_archive(tmp_path / "nowhere")


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "whole.zip", FILES).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.zip is not a whole zip"):
        open_archive(tmp_path / "cut.zip")


def test_a_damaged_member_is_named_and_the_others_read(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "raw.zip", FILES)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"BB", b"BX", 1))
    archive = open_archive(path)
    with pytest.raises(InputError, match=r"b\.png in .* cannot be read: Bad CRC-32"):
        archive.read("b.png")
    assert archive.read("a.png") == b"A"


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    archive = open_archive(make_folder(tmp_path / "raw", FILES))
    shutil.rmtree(tmp_path / "raw" / "images_001")
    with pytest.raises(InputError, match=r"a\.png"):
        archive.read("a.png")
