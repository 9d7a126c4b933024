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


def build_loss(params: LossParams, train_labels: Tensor, *, unknown: bool = False) -> Loss:
    """Return the loss that a recipe asks for.

    `weighted_bce` takes its weights from `train_labels` (n, findings), zeros and ones of the
    training part alone, and `focal` is that of Lin et al. 2017 (arXiv:1708.02002, eq. 5). Where
    some labels are `unknown`, NaN, the mean is over those that are known, 0 where none is.
    """
    reduction = "none" if unknown else "mean"
    weights = balance_classes(train_labels) if params.name == "weighted_bce" else None

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        if isinstance(params, Focal):
            value: Tensor = sigmoid_focal_loss(
                logits, labels, alpha=params.alpha, gamma=params.gamma, reduction=reduction
            )
            return value
        weight = None
        if weights:
            present, absent = (each.to(logits) for each in weights)
            weight = torch.where(labels > 0, present, absent)
        return F.binary_cross_entropy_with_logits(
            logits, labels, weight=weight, reduction=reduction
        )

    def masked(logits: Tensor, labels: Tensor) -> Tensor:
        known = ~labels.isnan()
        values = torch.where(known, loss(logits, labels.nan_to_num()), 0)
        return values.sum() / known.sum().clamp(min=1)

    return masked if unknown else loss


def balance_classes(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights of positives and of negatives, each (findings,).

    n / (2 positives) and n / (2 negatives) of n labels that are known: within a finding both classes
    weigh alike, and the mean weight is 1. The ratio of the two is that of W-CEL in Wang et al. 2017 (section 4.1).
    """
    positives, negatives = ((labels == value).sum(dim=0).to(labels) for value in (1, 0))
    known = positives + negatives
    # A class that does not occur gets some weight, which nothing is multiplied with.
    return tuple(known * (2 * n.clamp(min=1)).reciprocal() for n in (positives, negatives))  # type: ignore[return-value]
