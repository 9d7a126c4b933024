"""What a trained network says of images: logits, in the precision of the device."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chestxray14.base.progress import track
from chestxray14.model.batches import Part, count_steps, ordered_batches
from chestxray14.model.device import memory_for
from chestxray14.model.views import normalize


@torch.inference_mode()
def predict(
    network: nn.Module,
    part: Part,
    view: Callable[[Tensor], tuple[Tensor, ...]],
    *,
    batch: int,
    device: torch.device,
    precision: str,
    what: str,
) -> NDArray[np.float32]:
    """Return the logits of every image of `part`, in its order, (n, views, findings).

    `view` turns packed images (B, P, P) into what is to be predicted, each (B, 1, px, px); of
    features there is one view, themselves.
    """
    network.eval()
    logits: list[Tensor] = []
    batches = ordered_batches(part, batch=batch, device=device)
    steps = count_steps(part, batch=batch)
    for images, _ in track(batches, what=what, unit="batches", total=steps):
        with memory_for(len(images)), autocast(device, precision):
            if images.is_floating_point():
                logits.append(network(channels_last(images)).float()[:, None])
            else:
                seen = [network(normalize(grey)).float() for grey in view(images)]
                logits.append(torch.stack(seen, dim=1))
    return torch.cat(logits).cpu().numpy()


def channels_last(inputs: Tensor) -> Tensor:
    """Return features channels-last as the frozen front left them, down to a single pixel's strides."""
    return inputs.clone(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a network computes in `bf16` or `fp16`; `fp32` stays as it is."""
    half = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, half, enabled=precision != "fp32")


def compile_on_gpu(networks: Iterable[nn.Module], device: torch.device) -> None:
    """Have networks compiled when they first compute on a GPU; they keep their tensors' names.

    What cannot be compiled, as without a C compiler, runs as it is, with a warning. On a CPU it
    does not pay: DenseNet-121 compiles for longer than it trains.
    """
    if device.type == "cuda":
        torch._dynamo.config.suppress_errors = True
        for network in networks:
            # One graph for each size of batch: which one runs must not depend on what ran before.
            network.compile(dynamic=False)
