import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from chestxray14.model.recipe import BinaryCrossEntropy, Focal
from chestxray14.training.losses import balance_classes, build_loss

GENERATOR = torch.Generator().manual_seed(0)
TRAIN = (torch.rand(500, 3, generator=GENERATOR) < torch.tensor([0.5, 0.1, 0.02])).float()
LOGITS = torch.randn(40, 3, generator=GENERATOR)
LABELS = (torch.rand(40, 3, generator=GENERATOR) < 0.3).float()


def test_plain_is_torchs_cross_entropy_with_logits() -> None:
    loss = build_loss(BinaryCrossEntropy(name="bce"), TRAIN)
    assert torch.equal(loss(LOGITS, LABELS), F.binary_cross_entropy_with_logits(LOGITS, LABELS))


def test_class_weights_are_scikit_learns_balanced_ones() -> None:
    present, absent = balance_classes(TRAIN)
    for column in range(3):
        labels = TRAIN[:, column].numpy()
        expected = compute_class_weight("balanced", classes=np.array([0.0, 1.0]), y=labels)
        np.testing.assert_allclose([absent[column], present[column]], expected, rtol=1e-6)


def test_weighted_is_the_weighted_sum_by_hand_with_weights_of_the_training_part() -> None:
    loss = build_loss(BinaryCrossEntropy(name="weighted_bce"), TRAIN)
    total = 0.0
    for row in range(len(LOGITS)):
        for column in range(3):
            positives = float(TRAIN[:, column].sum())
            p = 1 / (1 + np.exp(-float(LOGITS[row, column])))
            if LABELS[row, column]:
                total -= 500 / (2 * positives) * np.log(p)
            else:
                total -= 500 / (2 * (500 - positives)) * np.log(1 - p)
    np.testing.assert_allclose(float(loss(LOGITS, LABELS)), total / LOGITS.numel(), rtol=1e-5)


def test_on_the_training_part_both_classes_of_a_finding_weigh_alike() -> None:
    # At logit 0 every label costs log 2 times its weight.
    present, absent = balance_classes(TRAIN)
    positives = TRAIN.sum(dim=0)
    torch.testing.assert_close(present * positives, absent * (len(TRAIN) - positives))
    loss = build_loss(BinaryCrossEntropy(name="weighted_bce"), TRAIN)
    torch.testing.assert_close(
        loss(torch.zeros_like(TRAIN), TRAIN), torch.tensor(np.log(2)).float()
    )


def test_a_finding_without_a_positive_costs_a_finite_loss() -> None:
    empty = torch.zeros(10, 3)
    loss = build_loss(BinaryCrossEntropy(name="weighted_bce"), empty)
    assert torch.isfinite(loss(torch.randn(10, 3), empty))


def focal_by_hand(gamma: float, alpha: float) -> Tensor:
    p = torch.sigmoid(LOGITS.double())
    present = -alpha * (1 - p) ** gamma * torch.log(p)
    absent = -(1 - alpha) * p**gamma * torch.log(1 - p)
    return torch.where(LABELS > 0, present, absent).mean()


def test_focal_is_lins_formula() -> None:
    for gamma, alpha in ((2.0, 0.25), (0.5, 0.9)):
        loss = build_loss(Focal(name="focal", gamma=gamma, alpha=alpha), TRAIN)
        torch.testing.assert_close(
            loss(LOGITS.double(), LABELS.double()), focal_by_hand(gamma, alpha)
        )


def test_focal_without_focus_is_half_the_cross_entropy() -> None:
    loss = build_loss(Focal(name="focal", gamma=0.0, alpha=0.5), TRAIN)
    half = F.binary_cross_entropy_with_logits(LOGITS, LABELS) / 2
    torch.testing.assert_close(loss(LOGITS, LABELS), half)


@pytest.mark.parametrize(
    "params",
    [
        BinaryCrossEntropy(name="bce"),
        BinaryCrossEntropy(name="weighted_bce"),
        Focal(name="focal", gamma=2.0, alpha=0.25),
    ],
)
def test_an_unknown_label_costs_nothing_and_the_mean_is_over_the_known(
    params: BinaryCrossEntropy | Focal,
) -> None:
    hidden = torch.rand(LABELS.shape, generator=torch.Generator().manual_seed(1)) < 0.1
    labels = LABELS.masked_fill(hidden, torch.nan)
    logits = LOGITS.clone().requires_grad_()
    plain = build_loss(params, TRAIN)
    # A cell at a time: all but it at logits so right that they cost nothing.
    cells = []
    for row, column in (~hidden).nonzero().tolist():
        sure = torch.where(LABELS[[row]] > 0, 1e3, -1e3)
        sure[0, column] = LOGITS[row, column]
        cells.append(float(plain(sure, LABELS[[row]]) * 3))
    loss = build_loss(params, TRAIN, unknown=True)(logits, labels)
    np.testing.assert_allclose(float(loss.detach()), np.mean(cells), rtol=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad == 0, hidden)


def test_a_batch_of_unknown_labels_costs_nothing() -> None:
    loss = build_loss(BinaryCrossEntropy(name="bce"), TRAIN, unknown=True)
    assert loss(LOGITS, torch.full_like(LABELS, torch.nan)) == 0


def test_class_weights_are_of_the_known_labels() -> None:
    labels = torch.tensor([1.0, 1.0, 0.0, torch.nan, torch.nan, 0.0, 0.0])[:, None]
    present, absent = balance_classes(labels)
    assert (float(present), float(absent)) == pytest.approx((5 / 4, 5 / 6))
