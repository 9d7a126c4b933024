import json
import os
import zlib
from pathlib import Path

import pytest

from chestxray14.raw import checksums
from chestxray14.raw.checksums import SETTLED, sum_files


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Return three files, last changed long before they are looked at."""
    files = {name: tmp_path / name for name in "abc"}
    for name, file in files.items():
        file.write_bytes(name.encode() * 5)
    now = max(file.stat().st_ctime_ns for file in files.values()) + SETTLED + 1
    monkeypatch.setattr("chestxray14.raw.checksums.time.time_ns", lambda: now)
    return files


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are read from now on."""
    names: list[str] = []
    sum_file = checksums._sum_file

    def note(file: Path) -> int | None:
        names.append(file.name)
        return sum_file(file)

    monkeypatch.setattr(checksums, "_sum_file", note)
    return names


def test_sums_are_zlibs_and_nothing_is_read_twice(
    files: dict[str, Path], read: list[str], tmp_path: Path
) -> None:
    record = tmp_path / "seen" / "x.json"
    expected = {name: zlib.crc32(name.encode() * 5) for name in files}
    assert sum_files(files, record=record) == expected
    read.clear()
    written = record.stat().st_mtime_ns
    assert sum_files(files, record=record) == expected
    assert read == []
    assert record.stat().st_mtime_ns == written


@pytest.mark.parametrize("time", ["new", "kept"])
def test_what_changed_is_read_again_and_the_rest_is_not(
    files: dict[str, Path], read: list[str], tmp_path: Path, time: str
) -> None:
    record = tmp_path / "x.json"
    sum_files(files, record=record)
    read.clear()
    before = files["b"].stat()
    files["b"].write_bytes(b"BBBBB")
    if time == "kept":  # as `cp -p` and `rsync -t` do
        os.utime(files["b"], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert sum_files(files, record=record)["b"] == zlib.crc32(b"BBBBB")
    assert read == ["b"]


def test_what_was_written_just_now_is_not_believed_the_next_time(
    files: dict[str, Path], read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = max(file.stat().st_ctime_ns for file in files.values())
    monkeypatch.setattr("chestxray14.raw.checksums.time.time_ns", lambda: newest + 1)
    for _ in range(2):
        sum_files(files, record=tmp_path / "x.json")
    assert sorted(read) == sorted([*files, *files])


@pytest.mark.parametrize("text", ["", "[]", '{"a": [1]}', '{"a": [5, 0, 0, "x"]}'])
def test_a_record_that_is_none_is_passed_over(
    files: dict[str, Path], tmp_path: Path, text: str
) -> None:
    record = tmp_path / "x.json"
    record.write_text(text)
    assert sum_files(files, record=record)["a"] == zlib.crc32(b"aaaaa")
    assert set(json.loads(record.read_text())) == set(files)


def test_an_unreadable_file_has_no_sum_and_is_tried_again(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "_sum_file", lambda file: None)
    assert sum_files(files, record=tmp_path / "x.json") == dict.fromkeys(files)
    monkeypatch.undo()
    assert sum_files(files, record=tmp_path / "x.json")["a"] == zlib.crc32(b"aaaaa")


def test_where_the_record_cannot_be_written_everything_is_read(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(checksums, "write_text", refuse)
    assert sum_files(files, record=tmp_path / "x.json")["a"] == zlib.crc32(b"aaaaa")
