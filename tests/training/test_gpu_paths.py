"""What runs on a GPU, by type, shape and place, where there is none.

torch's fake tensors say that they lie on a GPU and hold no numbers; an operation between one
of them and a tensor in the host's memory fails as on a real GPU, and so does a wrong shape. What
they cannot show is a backward pass, a number, or a speed.
"""

import contextlib
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import torch
from tiny import CPU, tiny_part, tiny_recipe
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.testing import assert_close

from chestxray14.model import batches
from chestxray14.model.backbones import build_network
from chestxray14.model.batches import copy_to, ordered_batches
from chestxray14.model.views import view
from chestxray14.training import epoch as engine
from chestxray14.training.epoch import build_optimizer, train_one_epoch
from chestxray14.training.losses import build_loss

CUDA = torch.device("cuda", 0)
SOME = ["densenet121_step", "custom_densenet121", "chexnet_head", "resnet50_frozen", "best"]
"""Recipes that differ in trunk, head, loss, optimizer, and what is trained."""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let tensors say that they lie on a GPU with bf16."""
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_an_epoch_stays_on_the_gpu(
    name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    recipe = tiny_recipe(name, ema=0.9)
    network, average = build_network(recipe), build_network(recipe)
    part = tiny_part(10, recipe=recipe)
    request.getfixturevalue("gpu")
    network, average = network.to(CUDA), average.to(CUDA)
    logits: list[Tensor] = []
    network.register_forward_hook(lambda _, __, output: logits.append(output))
    monkeypatch.setattr(Tensor, "backward", lambda loss: give_gradients(network, loss))
    # No number comes back from a fake tensor.
    monkeypatch.setattr(engine, "_require_finite", lambda *_, **__: None)
    monkeypatch.setattr(engine.distributed, "total", lambda losses: np.zeros(losses.shape))

    train_one_epoch(
        network,
        copy_to(part, CUDA),
        build_optimizer(network, recipe),
        recipe,
        average=average,
        loss=build_loss(recipe.loss, part.labels),
        epoch=0,
        val_losses=[],
        device=CUDA,
        precision="bf16",
    )
    assert [len(batch) for batch in logits] == [4, 3, 3]
    for batch in logits:
        on_gpu(batch)
        assert batch.dtype == torch.bfloat16
        assert batch.shape[1] == len(recipe.findings)


def give_gradients(network: nn.Module, loss: Tensor) -> None:
    on_gpu(loss)
    assert (loss.shape, loss.dtype) == ((), torch.float32)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)


def on_gpu(tensor: Tensor) -> None:
    assert tensor.device == CUDA


@pytest.mark.slow
@pytest.mark.parametrize(("views", "count"), [("centre", 1), ("flip", 2), ("ten_crop", 10)])
def test_prediction_stays_on_the_gpu(
    views: str, count: int, request: pytest.FixtureRequest
) -> None:
    recipe = tiny_recipe(resize_px=36, views=views)
    network, part = build_network(recipe).eval(), tiny_part(4, recipe=recipe)
    request.getfixturevalue("gpu")
    network = network.to(CUDA)
    images, _ = next(ordered_batches(copy_to(part, CUDA), batch=4, device=CUDA))
    look = partial(engine._look, view=partial(view, recipe=recipe), device=CUDA, precision="bf16")
    with torch.inference_mode():
        logits = look(network, images, count=3)
    on_gpu(logits)
    assert (logits.shape, logits.dtype) == ((3, count, len(recipe.findings)), torch.float32)


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "training"),
    [("densenet121_step", True), ("custom_densenet121", False), ("resnet50_frozen", True)],
)
def test_a_network_is_one_graph_for_the_compiler(name: str, training: bool) -> None:
    """One graph for each size of batch, which no piece of Python must hold together."""
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    network = build_network(tiny_recipe(name)).train(training)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend=keep, fullgraph=True, dynamic=False)
    for images in (4, 3, 4):
        inputs = torch.rand(images, 3, 32, 32)
        with engine.autocast(CPU, "bf16"):
            assert_close(compiled(inputs), network(inputs), rtol=0, atol=0)
    assert len(graphs) == 2
