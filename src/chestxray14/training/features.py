"""What a frozen trunk says of an image is always the same: computed once, kept, reused."""

from collections import OrderedDict
from collections.abc import Sequence
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
    """Return the layers before the first trainable one, and all from it on.

    Weights are shared with the network, and tensors keep their names.
    """
    front, rest = OrderedDict[str, nn.Module](), OrderedDict[str, nn.Module]()
    for name, layer in network.named_children():
        if rest or not isinstance(layer, nn.Sequential):
            trainable = any(parameter.requires_grad for parameter in layer.parameters())
            (rest if rest or trainable else front)[name] = layer
        else:
            halves = zip((front, rest), split_frozen(layer), strict=True)
            for half, layers in halves:
                if len(layers):
                    half[name] = layers
    return nn.Sequential(front), nn.Sequential(rest)


def skip_frozen(
    network: nn.Module,
    parts: Sequence[Part],
    recipe: Recipe,
    *,
    device: torch.device,
    precision: str,
    batch: int,
) -> tuple[nn.Module, Sequence[Part]]:
    """Return what a frozen front leaves of a network, and parts with its features as images.

    All are returned as they are where the first layer is trainable, none is, training sees
    images otherwise than validation, or the features of a part would take more than `AT_MOST`.
    Features are those of images seen by their centre, in the precision in which the front
    leaves them. Raises `InputError` when memory is too small for a batch.
    """
    front, rest = split_frozen(network)
    if not len(front) or not len(rest) or not is_plain(recipe):
        return network, parts
    kept = []
    for part in parts:
        features = _look(front, part, recipe, device=device, precision=precision, batch=batch)
        if features is None:
            return network, parts
        kept.append(replace(part, images=features, rows=np.arange(len(part))))
    return rest, kept


def _look(
    front: nn.Module,
    part: Part,
    recipe: Recipe,
    *,
    device: torch.device,
    precision: str,
    batch: int,
) -> Tensor | None:
    """Return the features of a part, (n, ...), or None where they are too large."""
    front.eval()
    batches = ordered_batches(part, batch=batch, device=device)
    steps = count_steps(part, batch=batch)
    kept: Tensor | None = None
    done = 0
    # Not inference_mode: what comes out is learned from.
    with torch.no_grad(), autocast(device, precision):
        for images, _ in track(batches, what="features", unit="batches", total=steps):
            with memory_for(len(images)):
                features: Tensor = front(normalize(view_centre(images, recipe)))
            if kept is None:
                if len(part) * features[:1].nbytes > AT_MOST:
                    return None
                kept = torch.empty((len(part), *features.shape[1:]), dtype=features.dtype)
            kept[done : done + len(features)] = features
            done += len(features)
    return kept
