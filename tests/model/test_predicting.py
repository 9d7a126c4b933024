"""What a network says of images, and what it is compiled into."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import CPU, snapshot, tiny_network, tiny_part, tiny_recipe
from torch import Tensor, nn
from torch.testing import assert_close

from chestxray14.base.errors import InputError
from chestxray14.model.backbones import build_network
from chestxray14.model.batches import Part
from chestxray14.model.predicting import autocast, compile_on_gpu, predict
from chestxray14.model.views import view, view_centre


def test_prediction_does_not_depend_on_the_batch_and_changes_nothing() -> None:
    network, part, recipe = tiny_network(), tiny_part(), tiny_recipe()
    before = snapshot(network)
    whole, single = (
        predict(
            *(network, part, lambda images: (view_centre(images, recipe),)),
            batch=batch,
            device=CPU,
            precision="fp32",
            what="test",
        )
        for batch in (10, 1)
    )
    assert whole.shape == (10, 1, 14)
    np.testing.assert_allclose(whole, single, atol=1e-5)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_each_view_has_logits_of_its_own_and_mirror_images_swap() -> None:
    # A network that sees the mean of the left half alone.
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1, bias=False))
    left = torch.zeros(3, 32, 32)
    left[:, :, :16] = 1
    network[1].weight.data = left.reshape(1, -1)
    part, recipe = tiny_part(), tiny_recipe()
    seen = predict(
        *(network, part, lambda images: view(images, recipe, "flip")),
        batch=4,
        device=CPU,
        precision="fp32",
        what="test",
    )
    mirrored = Part(part.images[:, :, ::-1].copy(), part.rows, part.names, part.labels)
    swapped = predict(
        *(network, mirrored, lambda images: view(images, recipe, "flip")),
        batch=4,
        device=CPU,
        precision="fp32",
        what="test",
    )
    assert seen.shape == (10, 2, 1)
    np.testing.assert_allclose(seen[:, 0], swapped[:, 1], rtol=1e-4)
    assert not np.allclose(seen[:, 0], seen[:, 1])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_predicted_from_has_its_channels_last(precision: str) -> None:
    laid_out = []

    class Note(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            laid_out.append(images.is_contiguous(memory_format=torch.channels_last))
            laid_out.append(torch.is_autocast_enabled("cpu") == (precision == "bf16"))
            return images

    network, part, recipe = nn.Sequential(Note(), tiny_network()), tiny_part(), tiny_recipe()
    features = replace(part, images=torch.rand(10, 3, 4, 4), rows=np.arange(10))
    for seen in (part, features):
        predict(
            *(network, seen, lambda images: (view_centre(images, recipe),)),
            batch=4,
            device=CPU,
            precision=precision,
            what="test",
        )
    assert len(laid_out) == 2 * 6
    assert all(laid_out)


def test_too_little_memory_for_a_batch_is_told_with_its_size() -> None:
    class Greedy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise torch.OutOfMemoryError

    recipe = tiny_recipe()
    with pytest.raises(InputError, match=r"too small for 8 images at once.*batch"):
        predict(
            *(Greedy(), tiny_part(8), lambda images: (view_centre(images, recipe),)),
            batch=8,
            device=CPU,
            precision="fp32",
            what="test",
        )


def test_a_network_is_compiled_in_place_and_on_a_gpu_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[nn.Module] = []

    def compile_(network: nn.Module, *, dynamic: bool) -> None:
        assert not dynamic
        asked.append(network)

    monkeypatch.setattr(nn.Module, "compile", compile_)
    network, other = tiny_network(), tiny_network()
    # Not monkeypatch: undone by it, a setting of torch's exists no more.
    with torch._dynamo.config.patch(suppress_errors=False):
        compile_on_gpu([network, other], CPU)
        assert not asked
        compile_on_gpu([network, other], torch.device("cuda"))
        assert asked == [network, other]


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
        with autocast(CPU, "bf16"):
            assert_close(compiled(inputs), network(inputs), rtol=0, atol=0)
    assert len(graphs) == 2
