"""Where on a radiograph a network sees a finding: class activation maps and their kin."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from chestxray14.augmentation import normalize, view
from chestxray14.batches import Part, count_steps, ordered_batches
from chestxray14.errors import InputError
from chestxray14.progress import track
from chestxray14.recipes import Recipe

Method = Literal["cam", "grad_cam", "grad_cam_plus_plus"]
Stride = Literal[8, 16, 32]


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


def draw_heatmaps(
    network: nn.Module,
    part: Part,
    recipe: Recipe,
    *,
    findings: Sequence[str],
    method: Method,
    stride: Stride,
    cells: int,
    device: torch.device,
    precision: str,
    what: str,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits (B, views, findings) and heatmaps (B, k, cells, cells), in order.

    Logits are those of all the recipe's findings, heatmaps of k `findings` among them. Both are
    float32 and stay on the device. The network sees what it sees when it predicts. A heatmap spans
    the whole image: it is the mean of the views' maps where they cover it, NaN where none does.
    Raises `InputError` where `cam` does not fit recipe or stride.
    """
    if method == "cam" and (recipe.head != "linear" or stride != 32):
        raise InputError(
            f"localize.method: cam needs head linear and stride 32, found head {recipe.head} and stride {stride}; "
            "take auto, grad_cam or grad_cam_plus_plus"
        )
    layer = LAYERS[recipe.backbone][stride]
    mapped = [recipe.findings.index(finding) for finding in findings]
    network.eval()
    before, after = split_network(network, layer.name)
    batches = ordered_batches(part, batch=recipe.batch, device=device)
    steps = count_steps(part, batch=recipe.batch)
    for images, _ in track(batches, what=what, unit="batches", total=steps):
        logits, maps = [], []
        for grey in view(images, recipe):
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                seen = map_findings(before, after, normalize(grey), mapped=mapped, method=method)
            logits.append(seen[0])
            maps.append(seen[1])
        yield torch.stack(logits, dim=1), lay_out(maps, recipe, layer, cells=cells)


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
) -> tuple[Tensor, Tensor]:
    """Return the logits (B, findings) of network input and the maps (B, k, h, w) of k `mapped`.

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
            maps = torch.einsum("bchw,fc->bfhw", features, weights)
            return after(features).float(), maps.float()
    features.requires_grad_()
    with torch.enable_grad():
        logits = after(features).float()
        # Images do not depend on each other, so that of a batch one sum a finding is enough.
        sums = logits.sum(0).unbind()
    seen = []
    for k in mapped:
        (gradient,) = torch.autograd.grad(sums[k], features, retain_graph=True)
        seen.append(_weigh(features.detach().float(), gradient.float(), method=method))
    return logits.detach(), torch.stack(seen, dim=1)


def _weigh(features: Tensor, gradient: Tensor, *, method: Method) -> Tensor:
    """Return the map (B, h, w) of one finding from features and gradient (B, C, h, w)."""
    if method == "grad_cam_plus_plus":
        below = 2 * gradient**2 + features.sum((2, 3), keepdim=True) * gradient**3
        share = torch.where(below != 0, gradient**2 / below, 0.0)
        gradient = share * gradient.relu()
    weights = gradient.mean((2, 3), keepdim=True)
    return (weights * features).sum(1).relu()


@dataclass(frozen=True)
class Window:
    """The place of a view in the reduced image, mirrored first where `mirrored`; pixels."""

    left: int
    top: int
    mirrored: bool


def list_windows(recipe: Recipe) -> list[Window]:
    """Return where each of `augmentation.view`'s views lies, in its order."""
    edge = recipe.resize_px - recipe.input_px
    middle = round(edge / 2)
    if recipe.views == "ten_crop":
        corners = [(0, 0), (edge, 0), (0, edge), (edge, edge), (middle, middle)]
        return [Window(*corner, mirrored) for mirrored in (False, True) for corner in corners]
    centre = Window(middle, middle, mirrored=False)
    # The mirror image of the centre, not the centre of the mirror image.
    mirror = Window(edge - middle, middle, mirrored=True)
    return [centre, mirror] if recipe.views == "flip" else [centre]


def lay_out(maps: Sequence[Tensor], recipe: Recipe, layer: Layer, *, cells: int) -> Tensor:
    """Return the views' maps, each (B, findings, h, w), as one of the whole image.

    (B, findings, cells, cells): the mean over the views that cover a place, NaN where none does;
    between centres of the network's cells linear, beyond the outermost constant.
    """
    device = maps[0].device
    total = torch.zeros((*maps[0].shape[:2], cells, cells), device=device)
    covers = torch.zeros((cells, cells), device=device)
    for one, window in zip(maps, list_windows(recipe), strict=True):
        rows = _interpolate(one.shape[2], window.top, recipe, layer, cells=cells).to(device)
        columns = _interpolate(one.shape[3], window.left, recipe, layer, cells=cells).to(device)
        if window.mirrored:
            columns = columns.flip(0)
        total += rows @ one @ columns.T
        covers += torch.outer(rows.sum(1), columns.sum(1))
    return torch.where(covers > 0, total / covers.clamp(min=1), torch.nan)


def _interpolate(count: int, start: int, recipe: Recipe, layer: Layer, *, cells: int) -> Tensor:
    """Return what each of `count` cells of a view gives to each of the image, (cells, count)."""
    seen = (torch.arange(cells) + 0.5) * recipe.resize_px / cells - start
    inside = (seen >= 0) & (seen <= recipe.input_px)
    place = ((seen - layer.first) / layer.stride).clamp(0, count - 1)
    return (1 - (place[:, None] - torch.arange(count)).abs()).relu() * inside[:, None]
