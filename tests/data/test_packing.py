import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from chestxray14.base.errors import InputError
from chestxray14.data import packing
from chestxray14.data.packing import pack_images
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


@pytest.mark.parametrize("workers", [1, 3])
def test_rows_follow_the_label_file_whatever_the_workers(tmp_path: Path, workers: int) -> None:
    drawn = make_raw(tmp_path / "raw", images=7)
    labels = pd.DataFrame({"image": [f"{i}.png" for i in (6, 0, 3, 1, 2, 5, 4)]})
    packed = list(
        pack_images(
            *(open_archive(tmp_path / "raw"), labels),
            path=tmp_path / "images.npy",
            px=32,
            workers=workers,
        )
    )
    images = open_images(tmp_path / "images.npy")
    assert [each.name for each in packed] == labels["image"].tolist()
    for row, each in enumerate(packed):
        np.testing.assert_array_equal(images[row], drawn[each.name])
        crc = zlib.crc32(drawn[each.name].tobytes())
        assert each == (each.name, crc, "", False)


def test_an_absent_and_a_truncated_image_are_left_out_with_a_reason(tmp_path: Path) -> None:
    drawn = make_raw(tmp_path / "raw", images=3)
    broken = tmp_path / "raw" / "1.png"
    broken.write_bytes(broken.read_bytes()[:100])
    labels = pd.DataFrame({"image": ["0.png", "1.png", "absent.png", "2.png"]})
    archive = open_archive(tmp_path / "raw")
    packed = list(pack_images(archive, labels, path=tmp_path / "i.npy", px=32, workers=2))
    reasons = {each.name: each.reason for each in packed}
    assert "1.png is no readable PNG" in reasons["1.png"]
    assert "absent.png is not in" in reasons["absent.png"]
    images = open_images(tmp_path / "i.npy")
    assert not images[1].any()
    np.testing.assert_array_equal(images[3], drawn["2.png"])


def test_a_flat_image_is_kept_and_marked(tmp_path: Path) -> None:
    drawn = make_raw(tmp_path / "raw", images=3)
    flat = drawn["1.png"] // 16 + 90
    Image.fromarray(flat).save(tmp_path / "raw" / "1.png")
    labels = pd.DataFrame({"image": ["0.png", "1.png", "absent.png", "2.png"]})
    archive = open_archive(tmp_path / "raw")
    packed = list(pack_images(archive, labels, path=tmp_path / "i.npy", px=32, workers=2))
    assert [each.name for each in packed if each.flat] == ["1.png"]
    np.testing.assert_array_equal(open_images(tmp_path / "i.npy")[1], flat)


def test_what_waits_does_not_grow_with_the_number_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = make_raw(tmp_path / "raw", images=30)
    submitted = []

    class Counting(ThreadPoolExecutor):
        def submit(self, work, row):  # type: ignore[no-untyped-def]
            submitted.append(row)
            return super().submit(work, row)

    monkeypatch.setattr(packing, "ThreadPoolExecutor", Counting)
    archive, labels = open_archive(tmp_path / "raw"), pd.DataFrame({"image": list(drawn)})
    told = pack_images(archive, labels, path=tmp_path / "i.npy", px=32, workers=2)
    assert max(len(submitted) - taken for taken, _ in enumerate(told)) == 8
    assert submitted == list(range(30))


def test_the_file_is_the_one_that_numpy_saves(tmp_path: Path) -> None:
    drawn = make_raw(tmp_path / "raw", images=3)
    labels = pd.DataFrame({"image": ["0.png", "absent.png", "2.png"]})
    archive = open_archive(tmp_path / "raw")
    list(pack_images(archive, labels, path=tmp_path / "i.npy", px=32, workers=2))
    black = np.zeros((32, 32), np.uint8)
    np.save(tmp_path / "saved.npy", np.stack([drawn["0.png"], black, drawn["2.png"]]))
    assert (tmp_path / "i.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()


def test_too_small_a_disk_is_said_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_raw(tmp_path / "raw", images=3)
    labels = pd.DataFrame({"image": [f"{i}.png" for i in range(3)]})
    usage = shutil.disk_usage(tmp_path)._replace(free=3 * 32 * 32 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    archive = open_archive(tmp_path / "raw")
    with pytest.raises(InputError, match=r"not enough disk space for .*images\.npy"):
        next(pack_images(archive, labels, path=tmp_path / "images.npy", px=32, workers=1))
    assert not (tmp_path / "images.npy").exists()
