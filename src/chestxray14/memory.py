"""The device's memory: what may stay on it, and what to say when it is too small."""

import logging
import traceback
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from chestxray14.batches import Part
from chestxray14.errors import InputError

log = logging.getLogger(__name__)

LEFT_TO_NETWORK = 0.5
"""The share of a GPU's memory that images never take: weights, moments and activations need it."""

_CHUNK = 512


def keep_on_device(part: Part, device: torch.device) -> Part:
    """Return a part whose pixels and labels lie on the GPU where they fit, else as it is.

    They fit when they are free now, and `LEFT_TO_NETWORK` of the memory stays so. What does not
    fit is streamed batch by batch; on a CPU the part already lies where it is used.
    """
    if device.type != "cuda":
        return part
    free, total = torch.cuda.mem_get_info(device)
    if not fits(part, free=free, total=total):
        log.info(
            "%s images (%.1f GB) are streamed: %.1f of the GPU's %.1f GB are free",
            *(f"{len(part):,}", len(part) * part.images[:1].nbytes / 1e9, free / 1e9, total / 1e9),
        )
        return part
    return copy_to(part, device)


def fits(part: Part, *, free: int, total: int) -> bool:
    """Say whether a part's images leave enough of a GPU's memory, in bytes."""
    return free - len(part) * part.images[:1].nbytes >= LEFT_TO_NETWORK * total


def copy_to(part: Part, device: torch.device) -> Part:
    """Return a part whose images, those of its rows alone, and labels lie on the device."""
    whole = part.images
    dtype = whole.dtype if isinstance(whole, Tensor) else torch.uint8
    images = torch.empty((len(part), *whole.shape[1:]), dtype=dtype, device=device)
    for start in range(0, len(part), _CHUNK):
        chunk = whole[part.rows[start : start + _CHUNK]]
        images[start : start + _CHUNK] = torch.as_tensor(chunk)
    return replace(part, images=images, rows=np.arange(len(part)), labels=part.labels.to(device))


def name_batch_that_fits(
    error: torch.OutOfMemoryError, attempt: Callable[[int], object] | None, *, images: int
) -> InputError:
    """Return what to tell a user for whom `images` at once were too many.

    `attempt(count)` does the same with fewer: it is called with halves until one fits. Without it
    the batch that fits stays unknown.
    """
    problem = f"the device's memory is too small for {images} images at once"
    if attempt is None:
        return InputError(f"{problem}; lower the recipe's batch")
    found: torch.OutOfMemoryError | None = error
    fit = images
    while found and fit >= 4:
        # The frames that ran out still hold what they had computed.
        traceback.clear_frames(found.__traceback__)
        fit, found = fit // 2, None
        try:
            attempt(fit)
        except torch.OutOfMemoryError as again:
            found = again
    if found:
        return InputError(f"{problem}; not even {fit} fit: lower the recipe's input_px")
    return InputError(f"{problem}; {fit} fit: set the recipe's batch to {fit}")
