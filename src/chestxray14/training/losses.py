"""What training minimises: binary cross-entropy, its weighted form, focal loss."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from chestxray14.model.recipe import Focal
from chestxray14.model.recipe import Loss as LossParams

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits and labels, both (B, findings), to their mean loss."""


def build_loss(params: LossParams, train_labels: Tensor) -> Loss:
    """Return the loss that a recipe asks for.

    `weighted_bce` takes its weights from `train_labels` (n, findings), zeros and ones of the
    training part alone, and `focal` is that of Lin et al. 2017 (arXiv:1708.02002, eq. 5).
    """
    if isinstance(params, Focal):
        return lambda logits, labels: sigmoid_focal_loss(
            logits, labels, alpha=params.alpha, gamma=params.gamma, reduction="mean"
        )
    if params.name == "bce":
        return F.binary_cross_entropy_with_logits
    present, absent = balance_classes(train_labels)

    def weighted(logits: Tensor, labels: Tensor) -> Tensor:
        weight = torch.where(labels > 0, present.to(logits), absent.to(logits))
        return F.binary_cross_entropy_with_logits(logits, labels, weight=weight)

    return weighted


def balance_classes(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights of positives and of negatives, each (findings,).

    n / (2 positives) and n / (2 negatives): within a finding both classes weigh alike, and the
    mean weight is 1. The ratio of the two is that of W-CEL in Wang et al. 2017 (section 4.1).
    """
    positives = labels.sum(dim=0)
    # A class that does not occur gets some weight, which nothing is multiplied with.
    return tuple(len(labels) / (2 * n.clamp(min=1)) for n in (positives, len(labels) - positives))  # type: ignore[return-value]
