"""NIH's twelve archives: brought, read as streams, left out, deleted; or refused in one line."""

import csv
import gzip
import io
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from file_server import FileServer, serve

from chestxray14.base.errors import InputError
from chestxray14.raw import fetch, nih_box
from chestxray14.raw.archive import open_archive
from chestxray14.raw.nih_box import (
    FIRST,
    NUMBERS,
    Tarballs,
    download_archives,
    find_archive,
    name_archive,
    open_tarballs,
)

CONTENT = {f"images/{name}": name.encode() * 9 for name in (FIRST[1], "00001336_001.png")}


def tar_of(content: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, body in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def opened(folder: Path) -> Tarballs:
    return open_tarballs(folder, open_archive(folder), numbers=NUMBERS)


def test_the_first_image_of_each_archive_gives_the_counts_that_nih_has(
    nih_metadata: dict[str, bytes],
) -> None:
    rows = list(csv.reader(io.StringIO(nih_metadata["Data_Entry_2017.csv"].decode())))[1:]
    counts = Counter(find_archive(row[0]) for row in rows)
    assert [counts[number] for number in NUMBERS] == [4_999, *[10_000] * 10, 7_121]


def test_a_stream_has_what_tarfile_extracts_and_no_file_is_written(tmp_path: Path) -> None:
    content = CONTENT | {"images/._x.png": b"a Mac's", "images/readme.txt": b"not an image"}
    (tmp_path / name_archive(2)).write_bytes(tar_of(content))
    raw = opened(tmp_path)
    read = dict(raw.read_images(2, expected=[Path(name).name for name in CONTENT]))
    assert read == {Path(name).name: body for name, body in CONTENT.items()}
    assert [file.name for file in tmp_path.iterdir()] == [name_archive(2)]
    assert FIRST[1] in raw
    assert FIRST[2] not in raw


def test_an_archive_that_lacks_images_is_named_with_both_counts(tmp_path: Path) -> None:
    (tmp_path / name_archive(2)).write_bytes(tar_of(CONTENT))
    expected = [FIRST[1], "00001336_001.png", "00001336_002.png"]
    with pytest.raises(InputError, match=r"images_002.* 2 of the 3 images .* 00001336_002\.png"):
        list(opened(tmp_path).read_images(2, expected=expected))


def noise(count: int) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    return {f"images/{i}.png": rng.bytes(50_000) for i in range(count)}


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_cut_archive_is_one_line_wherever_it_is_cut(tmp_path: Path, share: float) -> None:
    whole = tar_of(noise(8))
    (tmp_path / name_archive(2)).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"images_002\.tar\.gz"):
        list(opened(tmp_path).read_images(2, expected=[f"{i}.png" for i in range(8)]))


def test_a_changed_byte_behind_the_last_image_is_noticed(tmp_path: Path) -> None:
    # A gzip ends with its CRC-32 and length: only who reads to the very end sees them.
    whole = bytearray(tar_of(noise(2)))
    whole[-6] ^= 1
    (tmp_path / name_archive(2)).write_bytes(whole)
    with pytest.raises(InputError, match="damaged or cut short"):
        list(opened(tmp_path).read_images(2, expected=[]))


@pytest.mark.parametrize("name", ["../x.png", "images/../../x.png", "/tmp/x.png"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name_archive(2)).write_bytes(tar_of({name: b"x"}))
    with pytest.raises(InputError, match="a path that leads out"):
        list(opened(tmp_path).read_images(2, expected=[]))


def test_an_image_of_impossible_length_is_refused_before_it_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    info = tarfile.TarInfo("images/x.png")
    info.size = 1 << 40
    with gzip.GzipFile(fileobj=buffer, mode="wb") as packed:
        packed.write(info.tobuf())
    (tmp_path / name_archive(2)).write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="1,099,511,627,776 bytes, more than"):
        list(opened(tmp_path).read_images(2, expected=[]))


def test_what_was_packed_and_deleted_counts_as_there_until_it_is_read(tmp_path: Path) -> None:
    (tmp_path / name_archive(2)).write_bytes(tar_of(CONTENT))
    before = opened(tmp_path)
    before.delete()
    assert not (tmp_path / name_archive(2)).exists()
    after = opened(tmp_path)
    assert after.describe(tables=[]) == before.describe(tables=[])
    assert after.sizes == before.sizes
    with pytest.raises(InputError, match=r"packed and deleted.*images_002\.tar\.gz\.packed"):
        list(after.read_images(2, expected=[]))


def test_another_size_or_another_archive_is_another_description(tmp_path: Path) -> None:
    (tmp_path / name_archive(2)).write_bytes(tar_of(CONTENT))
    first = opened(tmp_path).describe(tables=[])["sha256"]
    (tmp_path / name_archive(3)).write_bytes(tar_of({}))
    second = opened(tmp_path).describe(tables=[])["sha256"]
    (tmp_path / name_archive(3)).write_bytes(tar_of(CONTENT))
    assert len({first, second, opened(tmp_path).describe(tables=[])["sha256"]}) == 3


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    files = {f"/{nih_box.FILES[number - 1]}.gz": tar_of(noise(number + 25)) for number in (1, 2)}
    monkeypatch.setattr(fetch, "WAITS", (0.0, 0.0))
    with serve(files) as held:
        monkeypatch.setattr(nih_box, "ADDRESS", held.address)
        yield held


def test_archives_come_whole_though_cut_and_neither_twice_nor_when_deleted(
    tmp_path: Path, server: FileServer
) -> None:
    server.cuts = [None, None, None, (1 << 20) + 5]
    download_archives(tmp_path, numbers=(1, 2))
    for number in (1, 2):
        served = server.files[f"/{nih_box.FILES[number - 1]}.gz"]
        assert (tmp_path / name_archive(number)).read_bytes() == served
    assert any(f"bytes={1 << 20}-" in request for request in server.requests)
    server.requests.clear()
    opened(tmp_path).delete()
    download_archives(tmp_path, numbers=(1, 2))
    assert server.requests == []


def test_a_stale_address_and_too_small_a_disk_are_one_line(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"images_003\.tar\.gz.* is refused \(404\)"):
        download_archives(tmp_path, numbers=(3,))
    total = sum(map(len, server.files.values()))
    usage = shutil.disk_usage(tmp_path)._replace(free=total - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"not enough disk space .* for 2 archives"):
        download_archives(tmp_path, numbers=(1, 2))
    assert not list(tmp_path.glob("*.part"))
