import shutil
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from made_dicom import encode, make_dicom
from PIL import Image

from chestxray14.base.errors import InputError
from chestxray14.data import packing
from chestxray14.data.packing import Packed, load_images, pack_images
from chestxray14.files.packed import open_images
from chestxray14.raw.archive import open_archive


def make_raw(folder: Path, *, images: int) -> dict[str, np.ndarray]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    drawn = {}
    for i in range(images):
        drawn[f"{i}.png"] = rng.integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(drawn[f"{i}.png"]).save(folder / f"{i}.png")
    return drawn


def pack(folder: Path, names: list[str], *, path: Path, workers: int = 2) -> Iterator[Packed]:
    """Pack images of a folder at 32 pixels."""
    images = load_images(open_archive(folder), names)
    return pack_images(images, names, path=path, px=32, workers=workers)


@pytest.mark.parametrize("workers", [1, 3])
def test_rows_follow_the_label_file_whatever_the_workers(tmp_path: Path, workers: int) -> None:
    drawn = make_raw(tmp_path / "raw", images=7)
    names = [f"{i}.png" for i in (6, 0, 3, 1, 2, 5, 4)]
    packed = list(pack(tmp_path / "raw", names, path=tmp_path / "images.npy", workers=workers))
    images = open_images(tmp_path / "images.npy")
    assert packed == [(name, zlib.crc32(drawn[name].tobytes()), "", False) for name in names]
    for row, name in enumerate(names):
        np.testing.assert_array_equal(images[row], drawn[name])


def test_an_absent_and_a_truncated_image_are_left_out_with_a_reason(tmp_path: Path) -> None:
    drawn = make_raw(tmp_path / "raw", images=3)
    broken = tmp_path / "raw" / "1.png"
    broken.write_bytes(broken.read_bytes()[:100])
    names = ["0.png", "1.png", "absent.png", "2.png"]
    packed = list(pack(tmp_path / "raw", names, path=tmp_path / "i.npy"))
    assert "1.png is no readable PNG" in packed[1].reason
    assert "absent.png is not in" in packed[2].reason
    images = open_images(tmp_path / "i.npy")
    assert not images[1].any()
    np.testing.assert_array_equal(images[3], drawn["2.png"])


def test_a_flat_image_is_kept_and_marked(tmp_path: Path) -> None:
    drawn = make_raw(tmp_path / "raw", images=3)
    flat = drawn["1.png"] // 16 + 90
    Image.fromarray(flat).save(tmp_path / "raw" / "1.png")
    names = ["0.png", "1.png", "absent.png", "2.png"]
    packed = list(pack(tmp_path / "raw", names, path=tmp_path / "i.npy"))
    assert [each.name for each in packed if each.flat] == ["1.png"]
    np.testing.assert_array_equal(open_images(tmp_path / "i.npy")[1], flat)


def test_what_waits_does_not_grow_with_the_number_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = make_raw(tmp_path / "raw", images=30)
    submitted = []

    class Counting(ThreadPoolExecutor):
        def submit(self, work, name, load):  # type: ignore[no-untyped-def]
            submitted.append(name)
            return super().submit(work, name, load)

    monkeypatch.setattr(packing, "ThreadPoolExecutor", Counting)
    told = pack(tmp_path / "raw", list(drawn), path=tmp_path / "i.npy")
    assert max(len(submitted) - taken for taken, _ in enumerate(told)) == 8
    assert submitted == list(drawn)


def test_the_file_is_the_one_that_numpy_saves(tmp_path: Path) -> None:
    drawn = make_raw(tmp_path / "raw", images=3)
    list(pack(tmp_path / "raw", ["0.png", "absent.png", "2.png"], path=tmp_path / "i.npy"))
    black = np.zeros((32, 32), np.uint8)
    np.save(tmp_path / "saved.npy", np.stack([drawn["0.png"], black, drawn["2.png"]]))
    assert (tmp_path / "i.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()


def test_too_small_a_disk_is_said_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_raw(tmp_path / "raw", images=3)
    usage = shutil.disk_usage(tmp_path)._replace(free=3 * 32 * 32 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    names = [f"{i}.png" for i in range(3)]
    with pytest.raises(InputError, match=r"not enough disk space for .*images\.npy"):
        next(pack(tmp_path / "raw", names, path=tmp_path / "images.npy"))
    assert not (tmp_path / "images.npy").exists()


def test_dicom_files_that_a_table_names_are_packed_beside_others(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    drawn = make_raw(folder, images=1)
    grey = np.random.default_rng(1).integers(0, 256, (16, 16), dtype=np.uint8)
    (folder / "4f33.dicom").write_bytes(encode(make_dicom(grey)))
    lateral = make_dicom(grey, ViewPosition="LL")
    (folder / "lateral.dcm").write_bytes(encode(lateral))
    names = [*drawn, "4f33", "lateral"]
    archive = open_archive(folder, by_path=True).call(names)
    packed = list(
        pack_images(
            *(load_images(archive, names), names),
            path=tmp_path / "images.npy",
            px=16,
            workers=1,
        )
    )
    assert [bool(each.reason) for each in packed] == [False, False, True]
    assert "lateral" in packed[2].reason
    np.testing.assert_array_equal(open_images(tmp_path / "images.npy")[1], grey)
