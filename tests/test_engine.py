import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, make_index
from torch import Tensor, nn

from chestxray14.batches import Part
from chestxray14.engine import build_optimizer, mean_loss, predict, train_one_epoch
from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.params import Recipe, load_params

CPU = torch.device("cpu")


def tiny_recipe(**changes: object) -> Recipe:
    recipe = load_params(ROOT / "params.yaml").recipes["densenet121_step"]
    return recipe.model_copy(update={"input_px": 32, "batch": 4, **changes})


def tiny_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 14),
    )  # fmt: skip


def tiny_part(images: int = 10) -> Part:
    rng = np.random.default_rng(0)
    index = make_index(images, studies=1)
    return Part(
        images=rng.integers(0, 256, (images, 32, 32), dtype=np.uint8),
        rows=np.arange(images),
        names=index["image"].tolist(),
        labels=torch.tensor(index[list(FINDINGS)].to_numpy(), dtype=torch.float32),
    )


def train(network: nn.Module, part: Part, recipe: Recipe, *, epochs: int) -> list[float]:
    optimizer = build_optimizer(network, recipe)
    return [
        train_one_epoch(
            *(network, part, optimizer, recipe),
            epoch=epoch,
            learning_rate=recipe.optimizer.lr,
            device=CPU,
            precision="fp32",
        )
        for epoch in range(epochs)
    ]


def weights(network: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(network.parameters())


def test_one_step_equals_plain_torch() -> None:
    recipe = tiny_recipe(
        batch=10, augmentation=tiny_recipe().augmentation.model_copy(update={"horizontal_flip": 0})
    )
    part = tiny_part()
    network, reference = tiny_network(), tiny_network()
    loss = train(network, part, recipe, epochs=1)[0]

    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    order = np.random.default_rng((recipe.seed, 0)).permutation(10)
    inputs = (torch.from_numpy(part.images[order])[:, None].float() / 255 - mean) / std
    optimizer = torch.optim.Adam(reference.parameters(), lr=1e-3)
    expected = F.binary_cross_entropy_with_logits(reference(inputs), part.labels[order])
    expected.backward()
    optimizer.step()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    # Adam's first step moves each weight by the rate whatever the gradient, so that rounding can
    # flip a vanishing one; all but those agree.
    off = (weights(network) - weights(reference)).abs()
    assert (off < 1e-6).float().mean() > 0.97


def test_training_learns_eight_images_by_heart() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 14))
    losses = train(linear, tiny_part(8), tiny_recipe(), epochs=60)
    assert losses[-1] < 0.3 * losses[0]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    first, again, other = tiny_network(), tiny_network(), tiny_network()
    train(first, tiny_part(), tiny_recipe(), epochs=2)
    train(again, tiny_part(), tiny_recipe(), epochs=2)
    train(other, tiny_part(), tiny_recipe(seed=1), epochs=2)
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def test_prediction_does_not_depend_on_the_batch_and_changes_nothing() -> None:
    network, part = tiny_network(), tiny_part()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    whole, single = (
        predict(
            *(network, part),
            px=32,
            batch=batch,
            device=CPU,
            precision="fp32",
            what="test",
        )
        for batch in (10, 1)
    )
    assert whole.shape == (10, 14)
    np.testing.assert_allclose(whole, single, atol=1e-5)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_the_mean_loss_is_the_cross_entropy_by_hand() -> None:
    logits, labels = np.array([[0.0, 2.0]], np.float32), torch.tensor([[1.0, 0.0]])
    by_hand = (np.log(2) + np.log(1 + np.exp(2))) / 2
    assert mean_loss(logits, labels) == pytest.approx(by_hand)


def test_a_loss_that_is_not_finite_stops_with_epoch_step_and_rate() -> None:
    network = tiny_network()
    nn.init.constant_(network[-1].bias, float("nan"))
    with pytest.raises(
        InputError, match=r"loss is nan in epoch 1, step 1, at learning rate 0\.001"
    ):
        train(network, tiny_part(), tiny_recipe(), epochs=1)
