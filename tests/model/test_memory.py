import logging

import numpy as np
import pytest
import torch
from tiny import CPU, tiny_part

from chestxray14.model import batches as memory
from chestxray14.model.batches import (
    Part,
    copy_to,
    fits,
    keep_on_device,
    ordered_batches,
    read_ahead,
    shuffled_batches,
)

PART = tiny_part(10)
ROWS = np.array([7, 2, 9])
SOME = Part(PART.images, ROWS, [PART.names[i] for i in ROWS], PART.labels[ROWS])
META = torch.device("meta")


def test_a_part_fits_while_half_of_the_memory_stays_free() -> None:
    needed = 3 * 32 * 32
    assert fits(SOME, free=needed + 5000, total=10_000)
    assert not fits(SOME, free=needed + 4999, total=10_000)


def test_only_the_parts_own_rows_are_brought_and_keep_their_order() -> None:
    brought = copy_to(SOME, CPU)
    assert isinstance(brought.images, torch.Tensor)
    np.testing.assert_array_equal(brought.images.numpy(), np.asarray(PART.images)[ROWS])
    for draw in (
        lambda part: ordered_batches(part, batch=2, device=CPU),
        lambda part: shuffled_batches(part, batch=2, seed=0, epoch=1, device=CPU),
    ):
        for expected, found in zip(draw(SOME), draw(brought), strict=True):
            assert all(torch.equal(*pair) for pair in zip(expected, found, strict=True))


def test_a_part_larger_than_a_chunk_is_brought_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CHUNK", 4)
    brought = copy_to(PART, CPU)
    assert isinstance(brought.images, torch.Tensor)
    np.testing.assert_array_equal(brought.images.numpy(), PART.images)


def test_features_are_brought_in_their_own_precision() -> None:
    features = torch.rand(10, 5).bfloat16()
    brought = copy_to(Part(features, ROWS, SOME.names, SOME.labels), CPU)
    assert torch.equal(torch.as_tensor(brought.images), features[ROWS])


def test_on_a_device_batches_are_picked_there() -> None:
    # The device `meta` has shapes and no content, and refuses to be mixed with the CPU.
    brought = copy_to(SOME, META)
    [(images, labels)] = shuffled_batches(brought, batch=4, seed=0, epoch=0, device=META)
    assert (images.device, labels.device) == (META, META)
    assert images.shape == (3, 32, 32)
    assert images.dtype == torch.uint8


def test_a_gpu_with_too_little_free_memory_streams_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (6 * 10**9, 12 * 10**9))
    assert keep_on_device(SOME, torch.device("cuda")) is SOME
    assert "are streamed: 6.0 of the GPU's 12.0 GB are free" in caplog.text
    assert keep_on_device(SOME, CPU) is SOME


def test_the_next_batch_is_read_while_one_is_in_use_and_none_before() -> None:
    begun: list[int] = []

    def load(chosen: np.ndarray) -> int:
        begun.append(int(chosen[0]))
        return int(chosen[0])

    batches = [np.array([i]) for i in range(5)]
    seen = []
    for item in read_ahead(load, batches):
        seen.append(item)
        assert max(begun) <= item + 1
    assert seen == begun == [0, 1, 2, 3, 4]


def test_what_fails_while_reading_ahead_is_raised_where_the_batch_is_used() -> None:
    def load(chosen: np.ndarray) -> int:
        return 1 // int(chosen[0])

    batches = read_ahead(load, [np.array([1]), np.array([0])])
    assert next(batches) == 1
    with pytest.raises(ZeroDivisionError):
        next(batches)
