"""Where on a radiograph a network sees a finding: class activation maps and their kin."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chestxray14.base.draws import generator
from chestxray14.base.errors import InputError
from chestxray14.base.params import Views
from chestxray14.base.progress import track
from chestxray14.files.heatmaps import Geometry, Window
from chestxray14.model.batches import Part, count_steps, ordered_batches
from chestxray14.model.device import memory_for
from chestxray14.model.predicting import autocast
from chestxray14.model.recipe import Recipe
from chestxray14.model.views import normalize, view

Method = Literal["cam", "grad_cam", "grad_cam_plus_plus"]
Stride = Literal[8, 16, 32]

MISTAKES = 4
"""Images of each finding, most confidently wrong in either way, that are kept to be shown."""

SAMPLED = 8
"""Images drawn by seed that are kept to be shown."""


@dataclass(frozen=True)
class Layer:
    """A layer of a network and where it looks: a cell every `stride` pixels of the input.

    `first` is the pixel coordinate at which its first cell is centred. A strided convolution is
    centred on the first of the pixels it strides over, a mean of two between them (Araujo et al.
    2019, Computing receptive fields).
    """

    name: str
    stride: Stride
    first: float


LAYERS: dict[str, dict[Stride, Layer]] = {
    "densenet121": {
        8: Layer("trunk.features.denseblock2", 8, 2.5),
        16: Layer("trunk.features.denseblock3", 16, 6.5),
        32: Layer("trunk", 32, 14.5),
    },
    "resnet50": {
        8: Layer("trunk.layer2", 8, 0.5),
        16: Layer("trunk.layer3", 16, 0.5),
        32: Layer("trunk", 32, 0.5),
    },
}
"""The last layer of each backbone at a stride."""


def choose_stride(input_px: int, *, cells: int) -> Stride:
    """Return the coarsest stride that leaves at least `cells` a side, or else the finest."""
    strides: tuple[Stride, ...] = (32, 16, 8)
    return next((s for s in strides if input_px >= cells * s), 8)


def choose_method(recipe: Recipe, stride: Stride) -> Method:
    """Return CAM where it is exact, of a linear head's last features, else Grad-CAM++."""
    return "cam" if recipe.head == "linear" and stride == 32 else "grad_cam_plus_plus"


def draw_maps(
    network: nn.Module,
    part: Part,
    recipe: Recipe,
    *,
    views: Views,
    findings: Sequence[str],
    method: Method,
    stride: Stride,
    device: torch.device,
    precision: str,
    what: str,
    batch: int | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Yield the maps (views, k, h, w) of k findings in each image of a part, in order.

    The network sees what it sees when it predicts, `views`, of `batch` images at once, or of as many
    as the recipe's batch has. Where that is in fp16, whose range
    gradients leave, maps are in fp32. Raises `InputError` where `cam` does
    not fit recipe or stride.
    """
    if method == "cam" and (recipe.head != "linear" or stride != 32):
        raise InputError(
            f"localize.method: cam needs head linear and stride 32, found head {recipe.head} and stride {stride}; "
            "take auto, grad_cam or grad_cam_plus_plus"
        )
    mapped = [recipe.findings.index(finding) for finding in findings]
    network.eval()
    before, after = split_network(network, LAYERS[recipe.backbone][stride].name)
    batch = batch or recipe.batch
    batches = ordered_batches(part, batch=batch, device=device)
    steps = count_steps(part, batch=batch)
    precision = "fp32" if precision == "fp16" else precision
    for images, _ in track(batches, what=what, unit="batches", total=steps):
        with memory_for(len(images)), autocast(device, precision):
            maps = [
                map_findings(before, after, normalize(grey), mapped=mapped, method=method)
                for grey in view(images, recipe, views)
            ]
        yield from torch.stack(maps, dim=1).cpu().numpy()


def describe_maps(recipe: Recipe, *, views: Views, method: Method, stride: Stride) -> Geometry:
    """Return where the cells of a network's maps lie."""
    return Geometry(
        method=method,
        stride=stride,
        first=LAYERS[recipe.backbone][stride].first,
        resize_px=recipe.resize_px,
        input_px=recipe.input_px,
        windows=tuple(list_windows(recipe, views)),
    )


def choose_mapped(
    probabilities: NDArray[np.floating[Any]],
    labels: NDArray[np.floating[Any]],
    *,
    boxed: NDArray[np.bool_],
    seed: int,
) -> NDArray[np.int64]:
    """Return which test images get maps, in order: those `boxed` and those that are shown.

    Of each finding the `MISTAKES` highest-scored images without it and the lowest-scored with
    it are shown, and `SAMPLED` images drawn by `seed`. Arrays are (n, findings), `boxed` is (n,).
    """
    chosen = set(np.flatnonzero(boxed).tolist())
    for scores, present in zip(probabilities.T, labels.T > 0, strict=True):
        order = np.argsort(scores, kind="stable")
        chosen.update(order[present[order]][:MISTAKES].tolist())
        chosen.update(order[~present[order]][::-1][:MISTAKES].tolist())
    chosen.update(generator("maps", seed).permutation(len(labels))[:SAMPLED].tolist())
    return np.array(sorted(chosen), dtype=np.int64)


def split_network(network: nn.Module, layer: str) -> tuple[nn.Sequential, nn.Sequential]:
    """Return a network up to and with a layer, and the rest, as flat sequences.

    Batch normalisation and ReLU behind the layer join it, so that features are not negative.
    """
    steps = list(_list_steps(network))
    cut = 1 + max(i for i, (name, _) in enumerate(steps) if f"{name}.".startswith(f"{layer}."))
    modules = [module for _, module in steps]
    while isinstance(modules[cut], nn.BatchNorm2d | nn.ReLU):
        cut += 1
    return nn.Sequential(*modules[:cut]), nn.Sequential(*modules[cut:])


def _list_steps(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    if not isinstance(module, nn.Sequential):
        yield name, module
        return
    for child, step in module.named_children():
        yield from _list_steps(step, f"{name}.{child}" if name else child)


def map_findings(
    before: nn.Module,
    after: nn.Sequential,
    inputs: Tensor,
    *,
    mapped: Sequence[int],
    method: Method,
) -> Tensor:
    """Return the maps (B, k, h, w) of the k findings `mapped`, by their places among the logits.

    `cam` weighs features with the last linear layer (Zhou et al. 2016): where the network is mean
    pooling and that layer, a map's mean and the bias make the logit. `grad_cam` weighs them with
    the mean gradient of the logit and keeps what speaks for it (Selvaraju et al. 2017).
    `grad_cam_plus_plus` weighs positive gradients by equation 19 of Chattopadhay et al. 2018, the
    score being the exponential of the logit; that factor, one a map, is left out. Gradients
    run through `after` alone.
    """
    with torch.no_grad():
        features: Tensor = before(inputs)
        if method == "cam":
            weights = after[-1].get_parameter("weight")[list(mapped)]
            return torch.einsum("bchw,fc->bfhw", features, weights).float()
    features.requires_grad_()
    with torch.enable_grad():
        # Images do not depend on each other, so that of a batch one sum a finding is enough.
        sums = after(features).float().sum(0).unbind()
    maps = []
    for k in mapped:
        (gradient,) = torch.autograd.grad(sums[k], features, retain_graph=True)
        maps.append(_weigh(features.detach().float(), gradient.float(), method=method))
    return torch.stack(maps, dim=1)


def _weigh(features: Tensor, gradient: Tensor, *, method: Method) -> Tensor:
    """Return the map (B, h, w) of one finding from features and gradient (B, C, h, w)."""
    if method == "grad_cam_plus_plus":
        below = 2 * gradient**2 + features.sum((2, 3), keepdim=True) * gradient**3
        share = torch.where(below != 0, gradient**2 / below, 0.0)
        gradient = share * gradient.relu()
    weights = gradient.mean((2, 3), keepdim=True)
    return (weights * features).sum(1).relu()


def list_windows(recipe: Recipe, views: Views) -> list[Window]:
    """Return where each of `views.view`'s views lies, in its order."""
    edge = recipe.resize_px - recipe.input_px
    middle = round(edge / 2)
    if views == "ten_crop":
        corners = [(0, 0), (edge, 0), (0, edge), (edge, edge), (middle, middle)]
        return [
            Window(left=left, top=top, mirrored=mirrored)
            for mirrored in (False, True)
            for left, top in corners
        ]
    centre = Window(left=middle, top=middle, mirrored=False)
    # The mirror image of the centre, not the centre of the mirror image.
    mirror = Window(left=edge - middle, top=middle, mirrored=True)
    return [centre, mirror] if views == "flip" else [centre]
