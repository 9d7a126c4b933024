"""Images as a table calls them: by path, bare name, or name without ending."""

import re
import zipfile
from pathlib import Path

import pytest

from chestxray14.base.errors import InputError
from chestxray14.raw.archive import open_archive
from chestxray14.raw.manifest import read_tables
from chestxray14.raw.params import Table


@pytest.fixture(params=["folder", "zip"])
def images(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Make a folder or a zip in which two patients have files of one name."""
    names = ("p1/study/view1.png", "p2/study/view1.png", "p2/4f33.dicom", "train.csv")
    folder = tmp_path / "Small"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    if request.param == "folder":
        return folder
    with zipfile.ZipFile(tmp_path / "Small.zip", "w") as file:
        for name in names:
            file.write(folder / name, name)
    return tmp_path / "Small.zip"


def test_a_table_may_give_the_path_the_name_or_the_name_without_its_ending(images: Path) -> None:
    names = ["p1/study/view1.png", f"{images.name}/p2/study/view1.png", "4f33"]
    archive = open_archive(images, by_path=True).call([*names, "absent.png"])
    assert [archive.read(name).decode() for name in names] == [
        *("p1/study/view1.png", "p2/study/view1.png", "p2/4f33.dicom")
    ]
    assert "absent.png" not in archive
    assert len(archive.images) == 3


def test_a_name_that_two_files_have_is_refused_where_it_is_asked_for(images: Path) -> None:
    archive = open_archive(images, by_path=True)
    with pytest.raises(InputError, match=r"several files that 'view1\.png' may be: p1/study"):
        archive.call(["view1.png"])


@pytest.mark.parametrize(
    "names",
    [("p2/4f33.dicom", "4f33"), ("4f33.dicom", "p2/4f33.dicom"), ("4f33", "4f33.dicom")],
)
def test_a_file_that_a_table_calls_two_names_is_refused(
    images: Path, names: tuple[str, str]
) -> None:
    archive = open_archive(images, by_path=True)
    called = re.escape(f"'p2/4f33.dicom' in {images} is called {names[0]!r} and {names[1]!r}")
    with pytest.raises(InputError, match=called):
        archive.call(names)
    assert archive.call([names[0], names[0]]).read(names[0]) == b"p2/4f33.dicom"


def test_a_table_lies_beside_the_images_or_anywhere(images: Path, tmp_path: Path) -> None:
    archive = open_archive(images, by_path=True)
    own = str(tmp_path / "own.csv")
    Path(own).write_text("own")
    for name, content in (("train.csv", b"train.csv"), (own, b"own")):
        table = Table.model_construct(table=name, join=None)
        assert read_tables(archive, table) == {name: content}
    with pytest.raises(InputError, match=r"other\.csv is not in"):
        read_tables(archive, Table.model_construct(table="other.csv", join=None))
