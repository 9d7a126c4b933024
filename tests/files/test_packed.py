import io
from pathlib import Path

import pytest

from chestxray14.base.errors import InputError
from chestxray14.files.packed import open_images, read_index


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
