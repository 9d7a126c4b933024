"""Batches and predictions on a GPU, by type, shape and place, where there is none."""

import contextlib

import numpy as np
import pytest
import torch
from fake_gpu import CUDA, gpu, on_gpu
from tiny import tiny_part, tiny_recipe
from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily

from chestxray14.model import batches
from chestxray14.model.backbones import Logits, build_network
from chestxray14.model.batches import copy_to, ordered_batches
from chestxray14.model.predicting import predict
from chestxray14.model.recipe import Views
from chestxray14.model.views import view

__all__ = ["gpu"]


@pytest.mark.slow
@pytest.mark.parametrize(("views", "count"), [("centre", 1), ("flip", 2), ("ten_crop", 10)])
def test_prediction_stays_on_the_gpu(
    views: Views, count: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    recipe = tiny_recipe(resize_px=36)
    network, part = build_network(recipe), tiny_part(7, recipe=recipe)
    request.getfixturevalue("gpu")
    network = network.to(CUDA)
    seen: list[Tensor] = []
    features: list[Tensor] = []
    network.register_forward_hook(lambda _, __, output: seen.append(output))
    [last] = [module for module in network.modules() if isinstance(module, Logits)]
    last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    # No number comes back from a fake tensor.
    monkeypatch.setattr(Tensor, "numpy", lambda tensor: tensor)
    logits = predict(
        *(network, copy_to(part, CUDA), lambda images: view(images, recipe, views)),
        batch=4,
        device=CUDA,
        precision="bf16",
        what="test",
    )
    assert [len(batch) for batch in seen] == [4] * count + [3] * count
    for batch in seen:
        on_gpu(batch)
        assert batch.dtype == torch.float32
    assert {batch.dtype for batch in features} == {torch.bfloat16}
    assert (logits.shape, logits.dtype) == ((7, count, len(recipe.findings)), torch.float32)


class Stream:
    """Stands in for a queue of the GPU's work and writes down what it is told."""

    told: list[tuple[object, ...]]

    def __init__(self, device: torch.device) -> None:
        assert device == CUDA

    def record_event(self) -> int:
        """Return a number that tells this event from all others."""
        self.told.append(("recorded", len(self.told)))
        return len(self.told) - 1

    def wait_event(self, event: int) -> None:
        self.told.append(("waited", event))


def test_streamed_batches_are_waited_for_and_kept_until_they_are_used(
    gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[object, ...]] = []
    computing = Stream(CUDA)
    monkeypatch.setattr(Stream, "told", told, raising=False)
    monkeypatch.setattr("torch.cuda.Stream", Stream)
    monkeypatch.setattr("torch.cuda.current_stream", lambda device: computing)
    monkeypatch.setattr("torch.cuda.stream", lambda stream: contextlib.nullcontext())
    pinned: list[Tensor] = []
    pin, empty = batches._pin, torch.empty

    def pin_real(source: np.ndarray | Tensor, rows: np.ndarray) -> Tensor:
        with unset_fake_temporarily():
            pinned.append(pin(source, rows))
        return pinned[-1]

    # Only what drives a GPU can pin memory.
    monkeypatch.setattr(torch, "empty", lambda *a, pin_memory=False, **k: empty(*a, **k))
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(batches, "_pin", pin_real)
    monkeypatch.setattr(
        Tensor, "record_stream", lambda tensor, stream: told.append(("kept", id(tensor), stream))
    )
    # The mode of fake tensors ends at its thread.
    monkeypatch.setattr(batches, "read_ahead", map)
    part = tiny_part(7)
    for images, labels in ordered_batches(part, batch=3, device=CUDA):
        *_, recorded, waited, first, second = told
        assert (recorded[0], waited) == ("recorded", ("waited", recorded[1]))
        assert [first, second] == [("kept", id(t), computing) for t in (images, labels)]
        on_gpu(images)
        on_gpu(labels)
        assert images.dtype == torch.uint8
        assert images.shape[1:] == part.images.shape[1:]
        assert labels.shape == (len(images), part.labels.shape[1])
    with unset_fake_temporarily():
        np.testing.assert_array_equal(torch.cat(pinned[0::2]), part.images[part.rows])
    assert [len(labels) for labels in pinned[1::2]] == [3, 2, 2]
