"""ChestMNIST's npz: read as numpy reads it, or refused in one line."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from file_server import FileServer, serve

from chestxray14.base.errors import InputError
from chestxray14.raw import chestmnist, fetch
from chestxray14.raw.chestmnist import download_chestmnist, open_chestmnist

IMAGES = {"train": 40, "val": 10, "test": 14}


def make_arrays(seed: int = 0, **others: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the file holds, small: random images of 64 pixels, and labels."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, count in IMAGES.items():
        arrays[f"{part}_images"] = rng.integers(0, 256, (count, 64, 64), dtype=np.uint8)
        arrays[f"{part}_labels"] = rng.integers(0, 2, (count, 14), dtype=np.uint8)
    return arrays | others


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Write the file, and let its count and md5 be what is expected."""
    made = make_arrays()
    np.savez_compressed(tmp_path / "chestmnist_64.npz", **made)
    monkeypatch.setattr(chestmnist, "IMAGES", IMAGES)
    expect(monkeypatch, tmp_path / "chestmnist_64.npz")
    return made


def expect(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(chestmnist, "MD5", {64: md5})


def test_images_and_labels_are_those_that_numpy_loads(
    tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    raw = open_chestmnist(tmp_path / "chestmnist_64.npz", side=64)
    names, images = zip(*raw.read_images(), strict=True)
    loaded = np.load(tmp_path / "chestmnist_64.npz")
    np.testing.assert_array_equal(images, np.concatenate([loaded[f"{p}_images"] for p in IMAGES]))
    assert names == tuple(f"{p}_{row:05d}" for p, n in IMAGES.items() for row in range(n))
    for part, labels in raw.read_labels().items():
        np.testing.assert_array_equal(labels, loaded[f"{part}_labels"])


def test_fewer_images_are_a_draw_that_grows_and_keeps_its_parts_in_proportion(
    tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "chestmnist_64.npz"
    few, more = (open_chestmnist(path, side=64, images=n, seed=3) for n in (20, 40))
    other = open_chestmnist(path, side=64, images=40, seed=4)
    assert sum(map(len, few.rows.values())) == 20
    for part, rows in few.rows.items():
        assert set(rows) <= set(more.rows[part])
        assert 0 < len(more.rows[part]) < IMAGES[part]
    assert any(set(more.rows[part]) != set(other.rows[part]) for part in IMAGES)
    pixels = dict(few.read_images())
    for part, rows in few.rows.items():
        for row, labels in zip(rows, few.read_labels()[part], strict=True):
            np.testing.assert_array_equal(
                pixels[f"{part}_{row:05d}"], arrays[f"{part}_images"][row]
            )
            np.testing.assert_array_equal(labels, arrays[f"{part}_labels"][row])
    assert len({raw.describe()["sha256"] for raw in (few, more, other)}) == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"val_labels": None}, ("lacks val_labels", "another version")),
        ({"val_images": np.zeros((10, 28, 28), np.uint8)}, ("(10, 28, 28)", "(10, 64, 64)")),
        ({"val_images": np.zeros((10, 64, 64, 3), np.uint8)}, ("(10, 64, 64, 3)",)),
        ({"test_labels": np.zeros((13, 14), np.uint8)}, ("test_labels", "(13, 14)", "(14, 14)")),
        ({"test_images": np.zeros((14, 64, 64))}, ("float64", "expected uint8")),
        ({"val_labels": np.full((10, 14), None)}, ("val_labels", "object")),
        ({"val_images": np.asfortranarray(make_arrays()["val_images"])}, ("by columns",)),
    ],
)
def test_another_version_of_the_file_is_named(
    tmp_path: Path,
    arrays: dict[str, np.ndarray],
    change: dict[str, np.ndarray | None],
    says: tuple[str, ...],
) -> None:
    path = tmp_path / "chestmnist_64.npz"
    changed = {k: v for k, v in (arrays | change).items() if v is not None}
    np.savez_compressed(path, **changed)
    with pytest.raises(InputError) as raised:
        open_chestmnist(path, side=64)
    for words in (str(path), *says):
        assert words in str(raised.value)


def test_labels_other_than_zeros_and_ones_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "chestmnist_64.npz"
    np.savez_compressed(path, **arrays | {"val_labels": np.full((10, 14), 7, np.uint8)})
    with pytest.raises(InputError, match="val_labels holds 7"):
        open_chestmnist(path, side=64).read_labels()


def test_damaged_pixels_are_noticed_though_the_headers_are_whole(
    tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "chestmnist_64.npz"
    np.savez(path, **arrays)  # stored, so that a flipped byte still unpacks
    content = bytearray(path.read_bytes())
    content[content.index(arrays["val_images"].tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        list(open_chestmnist(path, side=64).read_images())


def test_a_wrong_md5_and_no_npz_are_one_line(
    tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "chestmnist_64.npz"
    download_chestmnist(path, side=64)
    np.savez_compressed(path, **make_arrays(seed=1))
    with pytest.raises(InputError, match=r"md5 is \w{32}, expected \w{32}"):
        download_chestmnist(path, side=64)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="not a whole npz"):
        download_chestmnist(path, side=64)


@pytest.fixture
def server(
    tmp_path: Path, arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> Iterator[FileServer]:
    buffer = io.BytesIO()
    # Three MiB more than are needed, of which a download keeps whole ones when it is cut.
    np.savez(buffer, **arrays, noise=np.frombuffer(np.random.default_rng(0).bytes(3 << 20), "u1"))
    content = buffer.getvalue()
    monkeypatch.setattr(chestmnist, "MD5", {64: hashlib.md5(content).hexdigest()})
    monkeypatch.setattr(fetch, "WAITS", (0.0, 0.0))
    with serve({"/chestmnist_64.npz": content}) as held:
        monkeypatch.setattr(chestmnist, "ADDRESS", held.address)
        yield held


@pytest.mark.parametrize("etag", ['"one"', ""])
def test_a_download_that_is_cut_goes_on_where_it_was(
    tmp_path: Path, server: FileServer, etag: str
) -> None:
    server.cuts, server.etag = [None, (1 << 20) + 100], etag
    path = tmp_path / "new" / "chestmnist_64.npz"
    download_chestmnist(path, side=64)
    assert path.read_bytes() == server.files["/chestmnist_64.npz"]
    look = "/chestmnist_64.npz?download=1"
    assert server.requests == [look, look, look, f"{look} bytes={1 << 20}-"]
    open_chestmnist(path, side=64)


def test_a_download_with_another_md5_is_removed(tmp_path: Path, server: FileServer) -> None:
    path = tmp_path / "new" / "chestmnist_64.npz"
    server.files["/chestmnist_64.npz"] += b"x"
    with pytest.raises(InputError, match=r"md5 is \w{32}, expected \w{32}; removed"):
        download_chestmnist(path, side=64)
    assert not path.exists()
    assert not path.with_name(f"{path.name}.part").exists()


def test_a_refused_address_and_a_full_disk_are_one_line(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "chestmnist_64.npz"
    usage = fetch.shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="not enough disk space"):
        download_chestmnist(path, side=64)
    assert len(server.requests) == 1
    server.status = 404
    with pytest.raises(InputError, match=r"chestmnist_64\.npz.* is refused \(404\)"):
        download_chestmnist(path, side=64)
