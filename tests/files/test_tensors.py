"""A file of named arrays: the same bytes each time, and never silently wrong."""

from pathlib import Path

import numpy as np

from chestxray14.base.errors import InputError
from chestxray14.files.tensors import read_tensors, write_tensors

ARRAYS = {
    "a": np.arange(3, dtype=np.float32),
    "b": np.array(1),
    "c": np.zeros((0, 2), dtype=np.uint8),
}


def test_a_flipped_bit_never_goes_unseen(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, ARRAYS, record={"epoch": 1, "score": float("inf")})
    content = path.read_bytes()
    for place in range(0, 8 * len(content), 11):  # every bit of a byte in turn
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            read, record = read_tensors(path)
        except InputError:
            continue
        # What is left is in the header's padding.
        assert record == {"epoch": 1, "score": float("inf")}
        assert all(np.array_equal(read[name], array) for name, array in ARRAYS.items())


def test_a_file_has_the_same_bytes_each_time_and_gives_back_what_was_written(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    write_tensors(first, ARRAYS, record={"b": 1, "a": 2})
    write_tensors(second, dict(reversed(ARRAYS.items())), record={"a": 2, "b": 1})
    assert first.read_bytes() == second.read_bytes()
    read, record = read_tensors(first)
    assert record == {"a": 2, "b": 1}
    assert read.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (read[name].dtype, read[name].tolist()) == (array.dtype, array.tolist())
