from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny import CPU, tiny_part, tiny_recipe, unsettled
from torch import Tensor, nn

from chestxray14.base.errors import InputError
from chestxray14.files.heatmaps import Geometry, lay_out
from chestxray14.model.backbones import build_network
from chestxray14.model.batches import Part
from chestxray14.model.maps import (
    LAYERS,
    SAMPLED,
    Method,
    Stride,
    choose_mapped,
    choose_stride,
    describe_maps,
    draw_maps,
    list_windows,
    map_findings,
    split_network,
)
from chestxray14.model.predicting import predict
from chestxray14.model.recipe import Recipe, Views
from chestxray14.model.views import normalize, view

BACKBONES = ("densenet121", "resnet50")
HEADS = ("linear", "fully_connected", "convolutional")
METHODS: tuple[Method, ...] = ("cam", "grad_cam", "grad_cam_plus_plus")
STRIDES: tuple[Stride, ...] = (8, 16, 32)
VIEWS: tuple[Views, ...] = ("centre", "flip", "ten_crop")
SIZES = st.sampled_from([(64, 64), (64, 73), (64, 112), (96, 111), (224, 256)])


def inputs(images: int = 2, px: int = 64) -> Tensor:
    return torch.randn(images, 3, px, px, generator=torch.Generator().manual_seed(0))


def whole_gradient(network: nn.Module, layer: str, seen: Tensor, finding: int) -> list[Tensor]:
    """Return a layer's features and gradients by hooks on the network as it is."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> Tensor:
        output.retain_grad()
        kept.append(output)
        # A copy, for torchvision's ReLUs change their input.
        return output.clone()

    handle = network.get_submodule(layer).register_forward_hook(keep)
    network.requires_grad_(True)
    network(seen)[:, finding].sum().backward()
    handle.remove()
    assert kept[0].grad is not None
    return [kept[0].detach(), kept[0].grad]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_mean_of_a_cam_and_the_bias_are_the_logit(backbone: str) -> None:
    network = unsettled(tiny_recipe(backbone=backbone))
    seen = inputs(px=96)
    maps = map_findings(*split_network(network, "trunk"), seen, mapped=range(14), method="cam")
    assert maps.shape == (2, 14, 3, 3)
    # Sums in another order: float32 keeps about five of their digits.
    summed = maps.mean((2, 3)) + network.get_parameter("head.3.bias")
    torch.testing.assert_close(summed, network(seen).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "head", "stride", "behind"),
    [
        ("densenet121", "linear", 32, "head.0"),
        ("densenet121", "linear", 16, "trunk.features.transition3.relu"),
        ("densenet121", "linear", 8, "trunk.features.transition2.relu"),
        ("densenet121", "convolutional", 32, "head.1"),
        ("resnet50", "fully_connected", 32, "head.0"),
        ("resnet50", "fully_connected", 16, "trunk.layer3"),
        ("resnet50", "linear", 8, "trunk.layer2"),
    ],
)
def test_gradient_maps_are_those_of_a_backward_pass_through_the_whole_network(
    backbone: str, head: str, stride: Stride, behind: str
) -> None:
    network = unsettled(tiny_recipe(backbone=backbone, head=head))
    halves = split_network(network, LAYERS[backbone][stride].name)
    seen = inputs()
    maps = map_findings(*halves, seen, mapped=range(14), method="grad_cam")
    plus_plus = map_findings(*halves, seen, mapped=range(14), method="grad_cam_plus_plus")
    assert maps.shape == plus_plus.shape == (2, 14, 64 // stride, 64 // stride)
    for finding in (0, 13):
        features, gradient = whole_gradient(network, behind, seen, finding)
        for ours, theirs in (
            (maps, gradient.mean((2, 3))),
            (plus_plus, plus_plus_weights(features, gradient)),
        ):
            expected = torch.stack(
                [
                    F.conv2d(image[None], weights[None, :, None, None])[0, 0].clamp(min=0)
                    for image, weights in zip(features, theirs, strict=True)
                ]
            )
            scale = float(expected.max())
            torch.testing.assert_close(ours[:, finding], expected, atol=1e-3 * scale, rtol=1e-3)


def plus_plus_weights(features: Tensor, gradient: Tensor) -> Tensor:
    """Return Chattopadhay's weights by derivatives of exp(score) written out, up to its factor."""
    a, g = features.double().numpy(), gradient.double().numpy()
    weights = np.zeros(a.shape[:2])
    for image, channel in np.ndindex(*weights.shape):
        for place in np.ndindex(*a.shape[2:]):
            slope = g[image, channel][place]
            if slope > 0:
                total = a[image, channel].sum()
                alpha = slope**2 / (2 * slope**2 + total * slope**3)
                weights[image, channel] += alpha * slope / g[0, 0].size
    return torch.from_numpy(weights).float()


def test_grad_cam_of_the_linear_head_is_the_positive_part_of_the_cam() -> None:
    halves = split_network(unsettled(tiny_recipe()), "trunk")
    seen = inputs(px=96)
    cam = map_findings(*halves, seen, mapped=range(14), method="cam")
    grad_cam = map_findings(*halves, seen, mapped=range(14), method="grad_cam")
    torch.testing.assert_close(grad_cam, cam.clamp(min=0) / 9, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_features_are_never_negative_and_the_halves_are_the_network(
    backbone: str, head: str
) -> None:
    network = unsettled(tiny_recipe(backbone=backbone, head=head))
    seen = inputs()
    for stride, layer in LAYERS[backbone].items():
        before, after = split_network(network, layer.name)
        with torch.no_grad():
            features = before(seen)
            assert features.shape[2:] == (64 // stride, 64 // stride)
            assert float(features.min()) >= 0
            torch.testing.assert_close(after(features), network(seen))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("stride", STRIDES)
def test_first_cells_are_centred_where_strides_and_padding_put_them(
    backbone: str, stride: Stride
) -> None:
    layer = LAYERS[backbone][stride]
    before, _ = split_network(
        cast(nn.Sequential, build_network(tiny_recipe(backbone=backbone))), layer.name
    )
    step, centre = 1, 0.5
    for name, module in before.named_modules():
        if (
            isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d)
            and "downsample" not in name
        ):
            kernel, by, pad = (
                value[0] if isinstance(value, tuple) else cast(int, value)
                for value in (module.kernel_size, module.stride, module.padding)
            )
            centre += ((kernel - 1) / 2 - pad) * step
            step *= by
    assert (step, centre) == (layer.stride, layer.first)


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize("resize_px", [48, 51])
def test_windows_are_where_the_views_look(views: Views, resize_px: int) -> None:
    recipe = tiny_recipe(resize_px=resize_px)
    grid = torch.arange(resize_px, dtype=torch.uint8)
    columns, rows = (
        view(picture[None], recipe, views)
        for picture in (grid.expand(resize_px, -1), grid[:, None].expand(-1, resize_px))
    )
    for window, x, y in zip(list_windows(recipe, views), columns, rows, strict=True):
        x, y = (x[0, 0] * 255).round(), (y[0, 0] * 255).round()
        first = resize_px - 1 - window.left if window.mirrored else window.left
        assert (int(x[0, 0]), int(y[0, 0])) == (first, window.top)
        assert int(x[0, 1] - x[0, 0]) == (-1 if window.mirrored else 1)


class Brightness(nn.Module):
    """A trunk of one feature: how much brighter than black a cell of `stride` pixels is."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, seen: Tensor) -> Tensor:
        black = normalize(torch.zeros(1, 1, 1, 1))
        return F.avg_pool2d((seen - black).mean(1, keepdim=True), self.stride)


def brightness_network(stride: int) -> nn.Sequential:
    """Return a network whose first finding is a bright place and whose second is a dark one."""
    linear = nn.Linear(1, 2)
    linear.weight.data = torch.tensor([[1.0], [-1.0]])
    head = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    return nn.Sequential(OrderedDict(trunk=Brightness(stride), head=head))


@settings(max_examples=60, deadline=None)
@given(
    sizes=SIZES,
    views=st.sampled_from(VIEWS),
    method=st.sampled_from(METHODS),
    x=st.floats(0.25, 0.75),
    y=st.floats(0.25, 0.75),
)
def test_a_map_has_its_centre_on_a_planted_square_to_within_a_cell(
    sizes: tuple[int, int], views: Views, method: Method, x: float, y: float
) -> None:
    input_px, resize_px = sizes
    recipe = tiny_recipe(input_px=input_px, resize_px=resize_px)
    stride: Stride = 8
    image, side = torch.zeros(1, 256, 256, dtype=torch.uint8), 16
    left, top = round(x * 256) - side // 2, round(y * 256) - side // 2
    image[0, top : top + side, left : left + side] = 255
    halves = split_network(brightness_network(stride), "trunk")
    maps = torch.cat(
        [
            map_findings(*halves, normalize(grey), mapped=range(2), method=method)
            for grey in view(image, recipe, views)
        ]
    )
    geometry = Geometry(
        method=method,
        stride=stride,
        first=stride / 2,  # the mean of a cell's pixels is centred among them
        resize_px=resize_px,
        input_px=input_px,
        windows=tuple(list_windows(recipe, views)),
    )
    whole = lay_out(maps.numpy(), geometry, cells=128)[0]
    cell = 1024 * stride / resize_px
    rows, columns = np.unravel_index(np.nanargmax(whole), whole.shape)
    assert abs((columns + 0.5) * 8 - (left + side / 2) * 4) <= cell
    assert abs((rows + 0.5) * 8 - (top + side / 2) * 4) <= cell


def draw(
    network: nn.Module,
    part: Part,
    recipe: Recipe,
    *,
    views: Views = "centre",
    findings: Sequence[str] | None = None,
    method: Method = "grad_cam",
    stride: Stride = 32,
    precision: str = "fp32",
) -> Iterator[NDArray[np.float32]]:
    return draw_maps(
        *(network, part, recipe),
        views=views,
        findings=recipe.findings if findings is None else findings,
        method=method,
        stride=stride,
        device=CPU,
        precision=precision,
        what="test",
    )


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_an_image_each_of_every_view_and_do_not_depend_on_the_batch(
    method: Method,
) -> None:
    part, recipe = tiny_part(), tiny_recipe(input_px=64, resize_px=73)
    network = unsettled(recipe)
    whole, few = (
        np.stack(
            list(
                draw(
                    *(network, part, recipe.model_copy(update={"batch": batch})),
                    views="flip",
                    method=method,
                )
            )
        )
        for batch in (10, 3)
    )
    assert whole.shape == (10, 2, 14, 2, 2)
    np.testing.assert_allclose(whole, few, atol=1e-4 * float(np.abs(whole).max()), rtol=1e-3)


@pytest.mark.parametrize("views", VIEWS)
def test_the_views_are_those_of_prediction_in_its_order(views: Views) -> None:
    part, recipe = tiny_part(), tiny_recipe(input_px=64, resize_px=73)
    network = unsettled(recipe)
    maps = np.stack(list(draw(network, part, recipe, views=views, method="cam")))
    logits = predict(
        *(network, part, lambda images: view(images, recipe, views)),
        batch=10,
        device=CPU,
        precision="fp32",
        what="test",
    )
    bias = network.get_parameter("head.3.bias").detach().numpy()
    np.testing.assert_allclose(maps.mean(axis=(3, 4)) + bias, logits, rtol=1e-4, atol=1e-4)
    geometry = describe_maps(recipe, views=views, method="cam", stride=32)
    assert len(geometry.windows) == maps.shape[1]


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("stride", STRIDES)
def test_a_geometry_says_what_was_drawn_and_where(backbone: str, stride: Stride) -> None:
    recipe = tiny_recipe(backbone=backbone, input_px=64, resize_px=73)
    found = describe_maps(recipe, views="flip", method="grad_cam", stride=stride)
    assert (found.method, found.stride, found.first) == (
        *("grad_cam", stride),
        LAYERS[backbone][stride].first,
    )
    assert (found.resize_px, found.input_px) == (73, 64)
    assert list(found.windows) == list_windows(recipe, "flip")


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_some_findings_are_those_among_all(method: Method) -> None:
    part, recipe = tiny_part(), tiny_recipe(input_px=64, resize_px=64)
    network = unsettled(recipe)
    every = np.stack(list(draw(network, part, recipe, method=method)))
    chosen = ("Hernia", "Mass")
    some = np.stack(list(draw(network, part, recipe, findings=chosen, method=method)))
    places = [recipe.findings.index(name) for name in chosen]
    np.testing.assert_allclose(some, every[:, :, places], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("px", "cells", "stride"), [
    (32, 7, 8), (64, 7, 8), (64, 4, 16), (112, 7, 16), (112, 4, 16), (128, 4, 32), (224, 7, 32),
    (512, 7, 32),
])  # fmt: skip
def test_the_stride_leaves_as_many_cells_as_asked_where_one_can(
    px: int, cells: int, stride: int
) -> None:
    assert choose_stride(px, cells=cells) == stride


def test_drawing_leaves_no_gradient_on_weights_and_works_without_the_gradient_mode() -> None:
    network = unsettled(tiny_recipe())
    network.requires_grad_(True)
    with torch.no_grad():
        (maps, *_) = draw(network, tiny_part(), tiny_recipe(), stride=16)
    assert maps.dtype == np.float32
    assert all(parameter.grad is None for parameter in network.parameters())


def test_half_precision_gives_nearly_the_same_maps() -> None:
    network, part = unsettled(tiny_recipe()), tiny_part()
    full, half = (
        np.stack(list(draw(network, part, tiny_recipe(), method="cam", precision=p)))
        for p in ("fp32", "bf16")
    )
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, full, atol=0.1 * float(np.abs(full).max()), rtol=0)


@pytest.mark.parametrize(
    ("head", "stride"), [("fully_connected", 32), ("convolutional", 32), ("linear", 16)]
)
def test_cam_of_another_head_or_layer_is_refused(head: str, stride: Stride) -> None:
    recipe = tiny_recipe(head=head)
    with pytest.raises(
        InputError, match=f"found head {head} and stride {stride}; take auto, grad_cam"
    ):
        next(
            draw(
                build_network(recipe),
                tiny_part(),
                recipe,
                method="cam",
                stride=stride,
            )
        )


@st.composite
def predicted_parts(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return made-up scores, no two of a finding alike, and labels of some test images."""
    images, findings = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = np.stack([rng.permutation(images) for _ in range(findings)], axis=1) / images
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    return scores, (rng.random((images, findings)) < share).astype(np.float32)


@given(part=predicted_parts(), seed=st.integers(0, 9), share=st.sampled_from([0.0, 0.2]))
def test_maps_are_of_boxed_images_the_worst_mistakes_and_a_few_by_seed(
    part: tuple[NDArray[np.float64], NDArray[np.float32]], seed: int, share: float
) -> None:
    scores, labels = part
    boxed = np.random.default_rng(seed).random(len(scores)) < share
    expected = {i for i, has_box in enumerate(boxed) if has_box}
    for k in range(scores.shape[1]):
        ranked = sorted(range(len(scores)), key=lambda i: scores[i, k])
        expected |= set([i for i in ranked if labels[i, k]][:4])
        expected |= set([i for i in reversed(ranked) if not labels[i, k]][:4])
    # Of no finding and without a box, what is left is drawn by the seed alone.
    nothing = np.empty((len(scores), 0))
    sampled = choose_mapped(nothing, nothing, boxed=np.zeros(len(scores), bool), seed=seed)
    assert len(set(sampled.tolist())) == len(sampled) == min(SAMPLED, len(scores))
    found = choose_mapped(scores, labels, boxed=boxed, seed=seed)
    assert found.tolist() == sorted(expected | set(sampled.tolist()))


def test_seeds_draw_other_images_and_every_image_may_be_drawn() -> None:
    nothing, none = np.empty((30, 0)), np.zeros(30, dtype=bool)
    drawn = [choose_mapped(nothing, nothing, boxed=none, seed=seed).tolist() for seed in range(40)]
    assert set().union(*map(set, drawn)) == set(range(30))
    assert len({tuple(each) for each in drawn}) > 30
