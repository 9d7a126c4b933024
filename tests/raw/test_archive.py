import io
import shutil
import struct
import sys
import tracemalloc
import unicodedata
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chestxray14.base.errors import InputError
from chestxray14.raw.archive import LARGEST, open_archive


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

CHANGES: list[dict[str, bytes]] = [
    {"Data_Entry_2017.csv": b"lapels"},
    {"images_002/images/b.png": b"BC"},
    {"images_002/images/c.png": b"C"},
]


def describe(path: Path) -> dict[str, object]:
    return open_archive(path).describe(tables=["Data_Entry_2017.csv"])


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_files_are_found_by_basename_in_zip_and_folder(tmp_path: Path, make) -> None:
    archive = open_archive(make(tmp_path / "raw", FILES))
    assert {name: archive.read(name) for name in archive.members} == {
        Path(name).name: content for name, content in FILES.items()
    }


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_threads_that_read_at_once_get_the_bytes_they_asked_for(tmp_path: Path, make) -> None:
    files = {f"images/{i}.png": bytes([i]) * (i << 8) for i in range(200)}
    archive = open_archive(make(tmp_path / "raw", files))
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1e-6)
        with ThreadPoolExecutor(8) as pool:
            for _ in range(5):
                assert list(pool.map(archive.read, archive.members)) == [
                    files[f"images/{name}"] for name in archive.members
                ]
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_a_tree_held_twice_counts_once(tmp_path: Path, make) -> None:
    twice = FILES | {f"sample/{name}": content for name, content in FILES.items()}
    assert set(open_archive(make(tmp_path / "raw", twice)).members) == {
        *("a.png", "b.png", "Data_Entry_2017.csv")
    }


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_two_different_files_of_one_name_are_refused(tmp_path: Path, make) -> None:
    with pytest.raises(InputError, match=r"two different files named 'a\.png'"):
        open_archive(make(tmp_path / "raw", FILES | {"other/a.png": b"Z"}))


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_the_description_is_of_the_content_alone(tmp_path: Path, make) -> None:
    moved = {f"elsewhere/{Path(name).name}": content for name, content in FILES.items()}
    first = describe(make(tmp_path / "first", FILES))
    assert first == describe(make_folder(tmp_path / "second", moved | {"notes.txt": b"!"}))
    assert (first["images"], first["image_bytes"]) == (2, 3)
    for i, changed in enumerate(CHANGES):
        assert first != describe(make(tmp_path / f"changed{i}", FILES | changed))


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_what_is_no_part_of_the_dataset_is_passed_over(tmp_path: Path, make) -> None:
    beside = {
        "README.txt": b"a",
        "images_001/README.txt": b"b",
        "images_001.tar.gz": b"c",
        "__MACOSX/images_001/images/._a.png": b"d",
        ".Trash/a.png": b"e",
    }
    archive = open_archive(make(tmp_path / "raw", FILES | beside))
    assert archive.images == ["a.png", "b.png"]
    assert archive.others == ("images_001.tar.gz",)
    for ask in (
        lambda: archive.read("README.txt"),
        lambda: archive.describe(tables=["README.txt"]),
    ):
        with pytest.raises(InputError, match=r"two different files named 'README\.txt'"):
            ask()


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_a_name_is_found_however_its_letters_and_ending_are_spelt(tmp_path: Path, make) -> None:
    decomposed = unicodedata.normalize("NFD", "rö.PNG")
    archive = open_archive(make(tmp_path / "raw", {decomposed: b"A"}))
    assert archive.images == ["rö.png"]
    for name in ("rö.png", decomposed, "rö.PNG"):
        assert archive.read(name) == b"A"


def test_folders_that_are_links_are_entered_once(tmp_path: Path) -> None:
    make_folder(tmp_path / "elsewhere", FILES)
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "images_001").symlink_to(tmp_path / "elsewhere")
    (raw / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(raw)
    assert describe(raw) == describe(make_folder(tmp_path / "plain", FILES))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x1f\x8b\x08", "is a gzip file, expected a folder or a zip"),
        (bytes(257) + b"ustar", "is a tar archive, expected"),
        (bytes(128) + b"DICM", "is one DICOM file, expected"),
        (b"\x89PNG\r\n", "is one PNG, expected"),
    ],
)
def test_a_file_that_is_no_zip_is_named_by_its_kind(
    tmp_path: Path, content: bytes, told: str
) -> None:
    (tmp_path / "raw").write_bytes(content)
    with pytest.raises(InputError, match=told):
        open_archive(tmp_path / "raw")


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere not found"):
        open_archive(tmp_path / "nowhere")


def test_a_zip_truncated_anywhere_is_refused(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "whole.zip", FILES).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut.zip").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.zip is not a whole zip.*bring it again"):
            open_archive(tmp_path / "cut.zip")


def test_a_damaged_member_is_named_and_the_others_read(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "raw.zip", FILES)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"BB", b"BX", 1))
    archive = open_archive(path)
    with pytest.raises(InputError, match=r"b\.png' in .* cannot be read: Bad CRC-32"):
        archive.read("b.png")
    assert archive.read("a.png") == b"A"


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    archive = open_archive(make_folder(tmp_path / "raw", FILES))
    shutil.rmtree(tmp_path / "raw" / "images_001")
    with pytest.raises(InputError, match=r"a\.png"):
        archive.read("a.png")


def test_a_path_that_leads_out_of_a_zip_is_read_by_its_basename_and_written_nowhere(
    tmp_path: Path,
) -> None:
    leading = {
        "../../a.png": b"A",
        "/tmp/b.png": b"B",
        "x/../../c.png": b"C",
        "..\\..\\d.png": b"D",
        "../labels.csv": b"labels",
    }
    below = tmp_path / "deep" / "deeper"
    below.mkdir(parents=True)
    archive = open_archive(make_zip(below / "raw.zip", leading))
    archive.describe(tables=["labels.csv"])
    assert [archive.read(name) for name in archive.members] == list(leading.values())
    assert set(archive.members) == {"a.png", "b.png", "c.png", "d.png", "labels.csv"}
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [below / "raw.zip"]
    with pytest.raises(InputError, match="is not in"):
        archive.read("../../a.png")


def make_bomb(path: Path, *, name: str, true: int, claimed: int) -> Path:
    """Write a zip with `true` zeros in a file that claims to have another size."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(true))
    content = file.getvalue().replace(struct.pack("<I", true), struct.pack("<I", claimed))
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("claimed", "reason"),
    [
        (LARGEST + 1, "268,435,457 bytes unpacked, more than"),
        (2**32 - 2, "4,294,967,294 bytes unpacked, more than"),
        (100, "cannot be read: Bad CRC-32"),
        (0, "cannot be read: Bad CRC-32"),
    ],
)
def test_a_decompression_bomb_is_refused_before_it_takes_memory(
    tmp_path: Path, claimed: int, reason: str
) -> None:
    true = 2**26
    path = make_bomb(tmp_path / "bomb.zip", name="a.png", true=true, claimed=claimed)
    archive = open_archive(path)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=rf"'a\.png' in .*bomb\.zip.* {reason}"):
            archive.read("a.png")
        assert tracemalloc.get_traced_memory()[1] < true / 16
    finally:
        tracemalloc.stop()


def test_a_file_of_a_folder_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "raw", FILES)
    with (folder / "images_001" / "images" / "a.png").open("r+b") as file:
        file.truncate(LARGEST + 1)  # a hole, no bytes
    with pytest.raises(InputError, match="more than"):
        open_archive(folder).read("a.png")


def test_a_compression_without_bounds_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "raw.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.png", b"A")
    with pytest.raises(InputError, match="compression method 14"):
        open_archive(tmp_path / "raw.zip").read("a.png")


def zip_bytes(method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content * 50)
    return file.getvalue()


WHOLE = [zip_bytes(zipfile.ZIP_STORED), zip_bytes(zipfile.ZIP_DEFLATED)]


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    whole=st.sampled_from(WHOLE),
    changes=st.lists(
        st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=4)), max_size=4
    ),
    length=st.integers(0, 2000),
)
def test_a_damaged_zip_gives_the_right_bytes_or_one_line(
    tmp_path: Path, whole: bytes, changes: list[tuple[int, bytes]], length: int
) -> None:
    damaged = bytearray(whole)
    for place, content in changes:
        place %= len(whole)
        damaged[place : place + len(content)] = content
    path = tmp_path / "raw.zip"
    path.write_bytes(damaged[: length or None])
    right = {content * 50 for content in FILES.values()}
    lines: list[str] = []
    try:
        archive = open_archive(path)
        names = list(archive.members)
    except InputError as error:
        lines.append(str(error))
        names = []
    for name in names:
        try:
            assert archive.read(name) in right
        except InputError as error:
            lines.append(str(error))
    assert not [line for line in lines if "\n" in line]
