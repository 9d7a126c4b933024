"""Networks: a trunk of torchvision's that sees, a head that names findings."""

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import DenseNet121_Weights, ResNet50_Weights, get_model

from chestxray14.base.draws import generator
from chestxray14.model.recipe import Recipe, WeightsFile
from chestxray14.model.weights import match_weights, read_published, read_weights

IMAGENET = {
    "densenet121": DenseNet121_Weights.IMAGENET1K_V1.url,
    "resnet50": ResNet50_Weights.IMAGENET1K_V1.url,
}
"""Where weights lie; their names carry the first digits of their sha256."""

LAST_BLOCK = {
    "densenet121": ("features.denseblock4", "features.norm5"),
    "resnet50": ("layer4",),
}
"""What `trainable: last_block` trains of a trunk, the head always included."""


class Logits(nn.Linear):
    """The last layer, in fp32 whatever the rest computes in: the 8 bits of bf16 tie too many."""

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (B, findings) in float32 from features (B, C)."""
        kind = input.device.type
        if not torch.is_autocast_enabled(kind):
            return super().forward(input)
        with torch.autocast(kind, enabled=False):
            return super().forward(input.float())


def build_network(recipe: Recipe) -> nn.Module:
    """Return the recipe's network, (B, 3, H, W) -> logits (B, findings), frozen where it says so.

    It has two parts: `trunk`, (B, 3, H, W) -> features (B, C, H / 32, W / 32), and `head`. Weights
    are loaded into the trunk; the head, and without weights everything, starts from draws that
    depend on the recipe's seed alone. Raises `InputError` when weights cannot be downloaded,
    read, or do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator("weights", recipe.seed).integers(2**63)))
        trunk, features = _build_trunk(recipe)
        head = _build_head(recipe.head, features=features, logits=len(recipe.findings))
    _load(trunk, recipe)
    network = nn.Sequential(OrderedDict(trunk=trunk, head=head))
    _freeze(network, recipe)
    return network.to(memory_format=torch.channels_last)


def _build_trunk(recipe: Recipe) -> tuple[nn.Module, int]:
    """Return torchvision's network without pooling and classifier, and its number of features."""
    whole = get_model(recipe.backbone)
    parts = OrderedDict(whole.named_children())
    if recipe.backbone == "densenet121":
        return nn.Sequential(OrderedDict(features=parts["features"])), parts[
            "classifier"
        ].in_features
    features = parts.pop("fc").in_features
    del parts["avgpool"]
    return nn.Sequential(parts), features


def _build_head(
    name: Literal["linear", "fully_connected", "convolutional"], *, features: int, logits: int
) -> nn.Module:
    """Return the layers from features (B, C, h, w) to logits.

    `linear`: mean over the image, one linear layer. `fully_connected`: that of resnet50_frozen's
    source, 256 hidden units between batch normalisations. `convolutional`: that of
    custom_densenet121's source, two 3x3 convolutions to 256 channels and a transition to 128.
    """
    # DenseNet's trunk ends before its last ReLU; ResNet's ends with one, where another does nothing.
    pool = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if name == "linear":
        return nn.Sequential(*pool, Logits(features, logits))
    if name == "fully_connected":
        return nn.Sequential(
            *(*pool, nn.BatchNorm1d(features), nn.Linear(features, 256), nn.ReLU()),
            *(nn.BatchNorm1d(256), Logits(256, logits)),
        )
    return nn.Sequential(
        *(nn.BatchNorm2d(features), nn.ReLU(), nn.Conv2d(features, 256, 3, padding=1)),
        *(nn.BatchNorm2d(256), nn.ReLU(), nn.Conv2d(256, 256, 3, padding=1)),
        *(nn.BatchNorm2d(256), nn.ReLU(), nn.Conv2d(256, 128, 1)),
        # ceil_mode lets inputs below 64 pixels through, whose features are a single pixel.
        *(nn.AvgPool2d(2, ceil_mode=True), nn.BatchNorm2d(128)),
        *(*pool, Logits(128, logits)),
    )


def _load(trunk: nn.Module, recipe: Recipe) -> None:
    """Load the weights that a recipe starts from, out of a whole network's; random ones stay."""
    if isinstance(recipe.weights, WeightsFile):
        source, tensors = f"weights.path: {recipe.weights.path}", read_weights(recipe.weights)
    elif recipe.weights == "imagenet":
        url = IMAGENET[recipe.backbone]
        source, tensors = url.rpartition("/")[2], read_published(url)
    else:
        return
    # Many name no `features` around what DenseNet's holds.
    part = trunk.get_submodule("features" if recipe.backbone == "densenet121" else "")
    # Not strict: old files have no counters of batch normalisation, which nothing reads.
    part.load_state_dict(match_weights(tensors, part.state_dict(), source=source), strict=False)


def _freeze(network: nn.Sequential, recipe: Recipe) -> None:
    """Leave a gradient to the trainable parts alone.

    Nothing before the first of them needs a graph, so a frozen trunk costs a forward pass only.
    """
    network.requires_grad_(recipe.trainable == "all")
    if recipe.trainable in ("head", "last_block"):
        network.get_submodule("head").requires_grad_(True)
    if recipe.trainable == "last_block":
        for name in LAST_BLOCK[recipe.backbone]:
            network.get_submodule(f"trunk.{name}").requires_grad_(True)
