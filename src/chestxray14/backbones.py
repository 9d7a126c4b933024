"""Networks: torchvision's architectures with one logit a finding."""

import urllib.error
from typing import Literal

import torch
from torch import nn
from torchvision.models import DenseNet121_Weights, densenet121

from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS


def build_network(*, weights: Literal["imagenet", "random"], seed: int) -> nn.Module:
    """Return DenseNet-121 with 14 logits, (B, 3, H, W) -> (B, 14).

    The classifier, and with `random` every layer, starts from draws that depend on `seed` alone.
    Raises `InputError` when ImageNet weights cannot be downloaded.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = densenet121(
                weights=DenseNet121_Weights.IMAGENET1K_V1 if weights == "imagenet" else None
            )
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            raise InputError(
                f"ImageNet weights cannot be downloaded ({error}); bring "
                f"{DenseNet121_Weights.IMAGENET1K_V1.url} to {torch.hub.get_dir()}/checkpoints, "
                "or set the dataset's limits.weights to random"
            ) from None
        network.classifier = nn.Linear(network.classifier.in_features, len(FINDINGS))
    return network.to(memory_format=torch.channels_last)  # type: ignore[no-any-return]
