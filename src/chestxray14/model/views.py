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
    """Return what is seen through windows, (B, 1, px, px) from 0 to 1.

    The packed pixels are blurred as for a reduction of the whole image to `reduced_px`, then
    sampled once a pixel: the kernel of `reduce`, at any place, so that training and test see
    structures of the same sharpness.
    """
    theta = _send(windows, images.device)
    parts = zip(_split(images), _split(theta), strict=True)
    return torch.cat([_sample(*part, px=px, reduced_px=reduced_px) for part in parts])


def _sample(images: Tensor, theta: Tensor, *, px: int, reduced_px: int) -> Tensor:
    # F.affine_grid's values; as a product of matrices it takes longer than all the rest.
    places = (2 * torch.arange(px, device=images.device) + 1) / px - 1
    x, y = theta[:, :, 0, None] * places, theta[:, :, 1, None] * places
    grid = x[:, :, None] + (y + theta[:, :, 2, None])[:, :, :, None]
    blurred = blur(images[:, None].float() / 255, scale=images.shape[-1] / reduced_px)
    inside = (grid.abs() <= 1).all(dim=1, keepdim=True)
    # Black begins at the border, not before it: a cubic reaches two pixels far.
    seen = F.grid_sample(
        *(blurred, grid.permute(0, 2, 3, 1)),
        mode="bicubic",
        padding_mode="border",
        align_corners=False,
    )
    return seen.clamp(0, 1) * inside


def blur(images: Tensor, *, scale: float, axes: tuple[int, ...] = (-2, -1)) -> Tensor:
    """Return images (..., H, W) without what is too fine for pixels `scale` times as large.

    A triangle of half-width `scale` along each axis, as antialiasing filters are; beyond its border
    an image goes on as it ends there.
    """
    reach = math.ceil(scale) - 1
    if reach < 1:
        return images
    weights = [1 - abs(n) / scale for n in range(-reach, reach + 1)]
    for axis in axes:
        border = [reach, reach, 0, 0] if axis == -1 else [0, 0, reach, reach]
        wide, size = F.pad(images, border, mode="replicate"), images.shape[axis]
        # Shifted sums: F.conv2d takes three times as long on a CPU.
        images = wide.narrow(axis, 0, size) * (weights[0] / sum(weights))
        for n, weight in enumerate(weights[1:], start=1):
            images = images.add(wide.narrow(axis, n, size), alpha=weight / sum(weights))
    return images


def _split(batch: Tensor) -> tuple[Tensor, ...]:
    """Return a batch in parts that its device is fast at: a CPU's each fit its cache."""
    count = torch.get_num_threads() if batch.device.type == "cpu" else len(batch)
    return torch.split(batch, count)


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
    if px == images.shape[-1]:
        return images[:, None].float() / 255
    scale = images.shape[-1] / px
    resize = partial(F.interpolate, size=px, mode="bicubic", align_corners=False)
    parts = [resize(blur(part[:, None].float() / 255, scale=scale)) for part in _split(images)]
    return torch.cat(parts).clamp(0, 1)


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
