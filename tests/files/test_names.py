import unicodedata
from pathlib import Path

import pytest

from chestxray14.files.names import list_files, spell


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("00000001_000.png", "00000001_000.png"),
        ("A.PNG", "A.png"),
        ("A.b.JPEG", "A.b.jpeg"),
        (unicodedata.normalize("NFD", "Ä ö.PNG"), "Ä ö.png"),
        ("Labels.CSV", "Labels.CSV"),
        ("NA", "NA"),
    ],
)
def test_a_name_has_one_spelling(name: str, expected: str) -> None:
    assert spell(name) == expected
    assert spell(expected) == expected


def test_links_are_followed_once_and_what_is_hidden_is_not_listed(tmp_path: Path) -> None:
    for name in ("real/a", "real/.b", "real/.c/d", "real/e/f", "g"):
        file = tmp_path / "elsewhere" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "elsewhere" / "real")
    (folder / "second").symlink_to(tmp_path / "elsewhere" / "real")
    (folder / "file").symlink_to(tmp_path / "elsewhere" / "g")
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    (folder / "around").symlink_to(folder)
    listed = [file.relative_to(folder).as_posix() for file in list_files(folder)]
    assert listed == ["file", "link/a", "link/e/f"]
