"""TorchXRayVision's pretrained networks, scored on the same test images as the recipes.

Source: Cohen et al., TorchXRayVision, arXiv:2111.00595; the networks: arXiv:2002.02497.

What they were trained on decides what their score means. By the package's own lists the weights
`*-all` and `densenet121-res224-nih` saw NIH images, and so did `densenet121-res224-rsna`, whose
challenge drew its radiographs from ChestX-ray14 (Shih et al. 2019, doi:10.1148/ryai.2019180041).
Test images may be among them. `-pc`, `-chex`, `-mimic_nb` and `-mimic_ch` are of other hospitals.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from chestxray14.base.errors import InputError, shorten
from chestxray14.base.findings import FINDINGS
from chestxray14.base.progress import track
from chestxray14.model.batches import Part, count_steps, ordered_batches
from chestxray14.model.recipe import WeightsFile
from chestxray14.model.weights import check_name, match_weights, read_weights

DENSENET_PX = 224
"""The side that TorchXRayVision's DenseNets were trained on."""


@dataclass(frozen=True)
class Pretrained:
    """A network in eval mode, (B, 1, px, px) from `prepare` -> probabilities (B, len(outputs)).

    `outputs` names its columns, in its own order; an untrained column is named "".
    """

    network: nn.Module
    outputs: tuple[str, ...]
    px: int


def load_external(weights: str | WeightsFile, *, name: str) -> Pretrained:
    """Return a network of TorchXRayVision, with its operating points where the weights bring them.

    `weights` is the name of published weights, or a file with the state dict of
    `torchxrayvision.models.DenseNet(weights=None)`, with or without the buffer `op_threshs`. With
    operating points a probability of 0.5 is the point, without them it is the sigmoid of the
    logit. `name` is the key in `external`, for messages.

    A file is read as tensors alone. Published weights are downloaded to `~/.torchxrayvision` by
    the package, which checks no hash and unpickles them: the file's own code runs.

    Raises `InputError` when the package is absent, or the weights are unknown, of another
    network, unreadable or cannot be downloaded.
    """
    try:
        with warnings.catch_warnings():  # the package would silence all warnings for good
            from torchxrayvision import models
    except ImportError:
        raise InputError(
            f"external.{name}: the package torchxrayvision is not installed; "
            "pip install -e '.[external]'"
        ) from None
    key = f"external.{name}.weights"
    network: Any  # the package has no types
    if isinstance(weights, WeightsFile):
        network, px = _read_densenet(weights, models, key=key), DENSENET_PX
    else:
        network = _load_published(weights, models, key=key)
        px = models.model_urls[weights]["input_resolution"]
    outputs = tuple(network.targets)
    if (points := network.op_threshs) is not None:
        # The package answers 0.5 to every image where there is no operating point.
        trained = (~points.isnan()).tolist()
        outputs = tuple(o if t else "" for o, t in zip(outputs, trained, strict=True))
    return Pretrained(network=network.eval(), outputs=outputs, px=px)


def prepare(images: Tensor, *, px: int) -> Tensor:
    """Return network input (B, 1, px, px) from uint8 images (B, P, P), on their device.

    The package's preprocessing: 0 to 255 becomes -1024 to 1024, resized bilinearly with
    antialiasing as its networks resize what they are given.
    """
    grey = (2 * (images[:, None].float() / 255) - 1) * 1024
    if px != images.shape[-1]:
        grey = F.interpolate(grey, (px, px), mode="bilinear", antialias=True)
    return grey


def match_findings(outputs: Sequence[str]) -> dict[str, int]:
    """Return the column of each finding among `outputs`, by name, in the order of `FINDINGS`.

    Findings that the network does not predict are left out.
    """
    return {finding: outputs.index(finding) for finding in FINDINGS if finding in outputs}


@torch.inference_mode()
def predict_external(
    pretrained: Pretrained, part: Part, *, batch: int, device: torch.device, what: str
) -> NDArray[np.float32]:
    """Return the probabilities of every image of `part`, (n, outputs), in the part's order.

    In fp32, as the package computes. Raises `InputError` naming the first image whose outputs
    are not from 0 to 1, as of weights that are not finite.
    """
    network = pretrained.network.to(device)
    batches = ordered_batches(part, batch=batch, device=device)
    probabilities = torch.cat(
        [
            network(prepare(images, px=pretrained.px)).cpu()
            for images, _ in track(
                batches, what=what, unit="batches", total=count_steps(part, batch=batch)
            )
        ]
    ).numpy()
    odd = ~((probabilities >= 0) & (probabilities <= 1))
    if odd.any():
        row, column = np.argwhere(odd)[0]
        raise InputError(
            f"{what}, {part.names[row]}: the network gives {probabilities[row, column]:g} for "
            f"{pretrained.outputs[column] or 'an output'}, expected a probability from 0 to 1"
        )
    return probabilities


def _read_densenet(file: WeightsFile, models: ModuleType, *, key: str) -> nn.Module:
    state = read_weights(file)
    try:
        # Network and file must both have operating points, or neither.
        with_points = any(name.rpartition(".")[2] == "op_threshs" for name in state)
        points = torch.zeros(len(models.DenseNet.targets)) if with_points else None
        network: nn.Module = models.DenseNet(weights=None, op_threshs=points, apply_sigmoid=True)
        matched = match_weights(state, network.state_dict(), source=file.path)
        network.load_state_dict(matched, strict=False)
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(
            f"{key}: {file.path} is not of TorchXRayVision's DenseNet ({shorten(error)})"
        ) from None
    return network


def _load_published(weights: str, models: ModuleType, *, key: str) -> nn.Module:
    known = [name for name in models.model_urls if name.startswith(("densenet", "resnet"))]
    if weights not in known:
        raise InputError(
            f"{key}: found {weights!r}, expected a file or one of {', '.join(sorted(known))}"
        )
    url = models.model_urls[weights]["weights_url"]
    try:
        check_name(Path(models.utils.get_cache_dir(), url.rpartition("/")[2]))
        network: nn.Module = models.get_model(weights, apply_sigmoid=True)
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(
            f"{key}: {weights} cannot be loaded ({shorten(error)}); bring {url} to "
            f"{models.utils.get_cache_dir()}"
        ) from None
    return network
