"""What a frozen trunk says of an image is always the same: computed once, kept, reused."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from chestxray14.base.progress import track
from chestxray14.model.batches import Part, count_steps, ordered_batches
from chestxray14.model.device import memory_for
from chestxray14.model.predicting import autocast
from chestxray14.model.recipe import Augmentation, Recipe
from chestxray14.model.views import normalize, view_centre

AT_MOST = 4 * 2**30
"""Bytes of features that are kept. A fixed number, so that a run's bytes never depend on how much
memory happened to be free."""

_PLAIN = Augmentation(
    crop_area=1,
    crop_ratio=1,
    zoom=0,
    rotation=0,
    horizontal_flip=0,
    brightness=0,
    contrast=0,
    gamma=0,
)


def is_plain(recipe: Recipe) -> bool:
    """Say whether training sees an image as validation does: nothing is drawn at random."""
    return recipe.augmentation == _PLAIN and recipe.resize_px == recipe.input_px


def split_frozen(network: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the layers before the first trainable one, and all from it on, weights shared."""
    layers = _list_layers(network)
    first = next(
        (i for i, layer in enumerate(layers) if any(p.requires_grad for p in layer.parameters())),
        len(layers),
    )
    return nn.Sequential(*layers[:first]), nn.Sequential(*layers[first:])


def skip_frozen(
    network: nn.Module,
    part: Part,
    recipe: Recipe,
    *,
    device: torch.device,
    precision: str,
    what: str,
) -> tuple[nn.Module, Part]:
    """Return what a frozen front leaves of a network, and its features in place of the images.

    Both are returned as they are where the first layer is trainable, the last one is not, or the
    features would take more than `AT_MOST`. Features are those of images seen plainly, by their
    centre, in the precision in which the front leaves them. Raises `InputError` when memory is
    too small for a batch.
    """
    front, rest = split_frozen(network)
    if not len(front) or not len(rest):
        return network, part
    front.eval()
    batches = ordered_batches(part, batch=recipe.batch, device=device)
    steps = count_steps(part, batch=recipe.batch)
    kept: Tensor | None = None
    done = 0
    # Not inference_mode: what comes out is learned from.
    with torch.no_grad(), autocast(device, precision):
        for images, _ in track(batches, what=what, unit="batches", total=steps):
            with memory_for(len(images)):
                features: Tensor = front(normalize(view_centre(images, recipe)))
            if kept is None:
                if len(part) * features[:1].nbytes > AT_MOST:
                    return network, part
                kept = torch.empty((len(part), *features.shape[1:]), dtype=features.dtype)
            kept[done : done + len(features)] = features
            done += len(features)
    assert kept is not None
    return rest, replace(part, images=kept, rows=np.arange(len(part)))


def _list_layers(module: nn.Module) -> list[nn.Module]:
    if not isinstance(module, nn.Sequential):
        return [module]
    return [layer for child in module for layer in _list_layers(child)]
