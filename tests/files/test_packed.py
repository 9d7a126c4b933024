import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_index
from numpy.typing import NDArray

from chestxray14.base.errors import InputError
from chestxray14.files.packed import as_ids, find_same_images, open_images, read_index


def test_a_missing_or_damaged_array_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"images\.npy not found; run the prepare stage"):
        open_images(tmp_path / "images.npy")
    (tmp_path / "images.npy").write_bytes(io.BytesIO(b"nonsense").read())
    with pytest.raises(InputError, match="is not a packed array"):
        open_images(tmp_path / "images.npy")


def test_an_index_without_a_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("image,row\na.png,0\n")
    with pytest.raises(InputError, match="lacks the column 'crc32'"):
        read_index(tmp_path / "index.csv")


def pack(folder: Path, images: NDArray[np.uint8], *, crc32: list[int]) -> Path:
    """Write images as a packed dataset, with whatever CRC-32."""
    folder.mkdir()
    np.save(folder / "images.npy", images)
    index = make_index(len(images), studies=1).assign(crc32=crc32)
    index["image"] = folder.name + index["image"]
    index.to_csv(folder / "index.csv", index=False)
    return folder


def test_images_are_the_same_by_their_pixels_not_by_a_checksum_alone(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    first = pack(tmp_path / "a", images[:3], crc32=[7, 8, 9])
    second = pack(tmp_path / "b", images[[3, 1, 2]], crc32=[7, 8, 8])
    assert find_same_images(first, second) == ["b00000002_000.png"]


def test_patients_are_numbers_only_where_all_are_written_as_such() -> None:
    assert as_ids(pd.Series(["10", "9", "0"])).tolist() == [10, 9, 0]
    for names in (["1", "01"], ["1", "P1"], ["1", np.nan], ["1.0", "2"]):
        assert as_ids(pd.Series(names, dtype="str")).tolist()[0] == names[0]
