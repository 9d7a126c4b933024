"""From packed grey bytes to what a network sees, a whole batch at once on its device."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.functional import center_crop, ten_crop

from chestxray14.base.params import Views
from chestxray14.model.recipe import Augmentation, Recipe

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Channel statistics that torchvision's ImageNet weights were trained with."""

APART = 5 / 16
"""How far from a pixel's centre, along both axes and in packed pixels, are the four places that it
is the mean of. At one place alone its sharpness would depend on where between packed pixels it
lies: always alike at test, by chance in training."""


def augment(
    images: Tensor,
    recipe: Recipe,
    rng: np.random.Generator,
    *,
    whole: int | None = None,
    share: slice = slice(None),
) -> Tensor:
    """Return uint8 images (B, P, P) as (B, 1, input_px, input_px), each with its own changes.

    Values are from 0 to 1. Crop, zoom, rotation and flip are one antialiased sampling of the
    packed pixels; what lies outside the image is black. Where the images are a `share` of a batch
    of `whole` images, draws are made for all of it, so that each image changes as among all.
    """
    augmentation = recipe.augmentation
    whole = len(images) if whole is None else whole
    flips = rng.random(whole) < augmentation.horizontal_flip
    side = recipe.input_px / recipe.resize_px
    if side < 1 or augmentation.crop_area < 1 or augmentation.zoom or augmentation.rotation:
        windows = draw_windows(augmentation, flips=flips, share=side, rng=rng)
        grey = sample(images, windows[share], px=recipe.input_px, reduced_px=recipe.resize_px)
    else:
        mask = _send(flips[share], images.device)[:, None, None]
        grey = view_centre(torch.where(mask, images.flip(-1), images), recipe)

    def draw(spread: float) -> Tensor:
        factors = rng.uniform(1 - spread, 1 + spread, whole).astype(np.float32)
        return _send(factors[share], grey.device)[:, None, None, None]

    return _change_tones(grey, augmentation, draw)


def draw_windows(
    augmentation: Augmentation,
    *,
    flips: NDArray[np.bool_],
    share: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return the window each image is seen through, (B, 2, 3), as torch's affine_grid takes it.

    With `crop_area` below 1 a window has a random share of the area and a random ratio of its
    sides, as in torchvision's RandomResizedCrop (but a side longer than the image is cut to it);
    else it has `share` of each side, as RandomCrop. Its place is random. Zoom then scales
    it, rotation turns it about its own centre, and `flips` says which are mirrored.
    """
    count = len(flips)
    if augmentation.crop_area < 1:
        area = rng.uniform(augmentation.crop_area, 1, count)
        stretch = math.log(augmentation.crop_ratio)
        ratio = np.exp(rng.uniform(-stretch, stretch, count))
        sides = np.minimum(np.sqrt([area * ratio, area / ratio]), 1)
    else:
        sides = np.full((2, count), share)
    x, y = rng.uniform(-1, 1, (2, count)) * (1 - sides)
    width, height = sides / rng.uniform(1 - augmentation.zoom, 1 + augmentation.zoom, count)
    width = np.where(flips, -width, width)
    angle = np.radians(rng.uniform(-augmentation.rotation, augmentation.rotation, count))
    sine, cosine = np.sin(angle), np.cos(angle)
    rows = [[cosine * width, -sine * height, x], [sine * width, cosine * height, y]]
    return np.array(rows, dtype=np.float32).transpose(2, 0, 1)


def sample(images: Tensor, windows: NDArray[np.float32], *, px: int, reduced_px: int) -> Tensor:
    """Return what uint8 images show through windows, (B, 1, px, px) from 0 to 1; outside is black.

    One kernel serves training and test: a bell with the variance of an antialiasing triangle, as
    wide as a pixel of the window but never narrower than a packed one. Each window has its own
    width; `reduced_px`, what the whole image is reduced to, sets how the bell is computed.
    """
    theta = _send(windows, images.device)
    split = _split(images)
    parts = zip(split, torch.split(theta, [len(part) for part in split]), strict=True)
    return torch.cat([_sample(*part, px=px, reduced_px=reduced_px) for part in parts])


def _sample(images: Tensor, theta: Tensor, *, px: int, reduced_px: int) -> Tensor:
    grey = _halve(images.float() / 255, least=2 * reduced_px)
    packed_px = grey.shape[-1]
    width = theta[:, :, :2].norm(dim=-1) * packed_px / px
    # A triangle's variance, less that of bilinear interpolation and of the mean over four places.
    variance = (width.clamp(min=1) ** 2 - 1) / 6 - APART**2
    steps = max(2, math.ceil((packed_px / reduced_px) ** 2 / 3))
    _diffuse(grey, variance, steps=steps)
    # F.affine_grid's values; as a product of matrices it takes longer than all the rest.
    places = (2 * torch.arange(px, device=images.device) + 1) / px - 1
    x, y = theta[:, :, 0, None] * places, theta[:, :, 1, None] * places
    grid = (x[:, :, None] + (y + theta[:, :, 2, None])[:, :, :, None]).permute(0, 2, 3, 1)
    look = partial(F.grid_sample, grey[:, None], padding_mode="border", align_corners=False)
    step = 2 * APART / packed_px
    near = torch.tensor([(-step, -step), (-step, step), (step, -step), (step, step)])
    seen = grey.new_zeros(len(grey), 1, px, px)
    for place in near.to(grid.device, non_blocking=True):
        seen += look(grid + place)
    inside = (grid.abs() <= 1).all(dim=-1)[:, None]
    return (seen / 4).clamp_(0, 1).mul_(inside)


def _halve(grey: Tensor, *, least: int) -> Tensor:
    """Return images (B, P, P) halved by means over 2 by 2 as long as `least` pixels a side remain.

    Images much larger than what is seen would need as much wider a kernel.
    """
    while grey.shape[-1] % 2 == 0 and grey.shape[-1] >= 2 * least:
        rows = grey[:, ::2] + grey[:, 1::2]
        grey = (rows[..., ::2] + rows[..., 1::2]) / 4
    return grey


def _diffuse(grey: Tensor, variance: Tensor, *, steps: int) -> None:
    """Blur images (B, P, P) in place by bells of a `variance` (B, 2) along x and y, in pixels.

    Each step moves a share of the difference between neighbours, which needs no border; many
    steps make a Gaussian bell, and a negative variance sharpens.
    """
    share = (variance / 2 / steps)[:, :, None, None]
    for _ in range(steps):
        for axis, of_axis in ((-1, share[:, 0]), (-2, share[:, 1])):
            flow = grey.diff(dim=axis).mul_(of_axis)
            size = flow.shape[axis]
            grey.narrow(axis, 0, size).add_(flow)
            grey.narrow(axis, 1, size).sub_(flow)


def _split(batch: Tensor) -> tuple[Tensor, ...]:
    """Return a batch in parts that its device is fast at: a CPU's each fit its cache."""
    if batch.device.type != "cpu":
        return (batch,)
    pixels = max(1, math.prod(batch.shape[1:]))
    return torch.split(batch, torch.get_num_threads() * max(1, 2**17 // pixels))


def _change_tones(
    grey: Tensor, augmentation: Augmentation, draw: Callable[[float], Tensor]
) -> Tensor:
    """Change brightness, contrast and gamma as torchvision's adjust_ functions, in this order.

    `draw` returns a factor for each image, at most so far from 1.
    """
    if augmentation.brightness:
        grey = (grey * draw(augmentation.brightness)).clamp(0, 1)
    if augmentation.contrast:
        mean = grey.mean(dim=(1, 2, 3), keepdim=True)
        grey = (mean + (grey - mean) * draw(augmentation.contrast)).clamp(0, 1)
    if augmentation.gamma:
        grey = grey ** draw(augmentation.gamma)
    return grey


def view_centre(images: Tensor, recipe: Recipe) -> Tensor:
    """Return uint8 images (B, P, P) reduced to `resize_px`, their centre (B, 1, px, px)."""
    return center_crop(reduce(images, px=recipe.resize_px), [recipe.input_px])  # type: ignore[no-any-return]


def view(images: Tensor, recipe: Recipe, views: Views) -> tuple[Tensor, ...]:
    """Return uint8 images (B, P, P) as test-time `views`, each (B, 1, px, px).

    `centre`: one; `flip`: it and its mirror image; `ten_crop`: the four corners and the centre
    of the reduced image, and the mirror images of these five.
    """
    if views == "ten_crop":
        return ten_crop(reduce(images, px=recipe.resize_px), [recipe.input_px])  # type: ignore[no-any-return]
    centre = view_centre(images, recipe)
    return (centre, centre.flip(-1)) if views == "flip" else (centre,)


def reduce(images: Tensor, *, px: int) -> Tensor:
    """Return uint8 images (B, P, P) reduced to (B, 1, px, px), from 0 to 1."""
    whole = np.tile(np.eye(2, 3, dtype=np.float32), (len(images), 1, 1))
    return sample(images, whole, px=px, reduced_px=px)


def normalize(grey: Tensor) -> Tensor:
    """Return network input (B, 3, px, px) from grey images (B, 1, px, px) from 0 to 1.

    Repeats grey in three channels and applies ImageNet's mean and standard deviation.
    """
    mean = _send(IMAGENET_MEAN, grey.device)[:, None, None]
    std = _send(IMAGENET_STD, grey.device)[:, None, None]
    return ((grey - mean) / std).contiguous(memory_format=torch.channels_last)


def _send(values: NDArray[Any] | tuple[float, ...], device: torch.device) -> Tensor:
    """Return values on a device, without waiting for what it still computes."""
    return torch.as_tensor(values).to(device, non_blocking=True)
