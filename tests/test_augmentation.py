import numpy as np
import torch
from PIL import Image
from torchvision.models import DenseNet121_Weights
from torchvision.transforms import v2

from chestxray14.augmentation import IMAGENET_MEAN, IMAGENET_STD, augment, normalize
from chestxray14.params import Augmentation

IMAGES = torch.randint(0, 256, (400, 8, 8), dtype=torch.uint8, generator=torch.Generator())


def flip(probability: float) -> torch.Tensor:
    return augment(IMAGES, Augmentation(horizontal_flip=probability), np.random.default_rng(0))


def test_no_image_or_every_image_is_flipped_at_the_ends() -> None:
    assert torch.equal(flip(0.0), IMAGES)
    assert torch.equal(flip(1.0), IMAGES.flip(2))


def test_half_of_the_images_are_flipped_each_by_its_own_draw() -> None:
    flipped = flip(0.5)
    same = (flipped == IMAGES).all(dim=(1, 2))
    turned = (flipped == IMAGES.flip(2)).all(dim=(1, 2))
    assert (same ^ turned).all()
    assert 150 < int(turned.sum()) < 250  # 400 fair draws, five standard deviations


def test_statistics_are_those_of_torchvisions_weights() -> None:
    preset = DenseNet121_Weights.IMAGENET1K_V1.transforms()
    assert (list(IMAGENET_MEAN), list(IMAGENET_STD)) == (preset.mean, preset.std)


def test_input_equals_torchvisions_own_preprocessing() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    theirs = v2.Compose(
        [
            v2.Resize(16, antialias=True),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )(Image.fromarray(grey).convert("RGB"))
    ours = normalize(torch.from_numpy(grey)[None], px=16)
    assert ours.shape == (1, 3, 16, 16)
    # Pillow rounds to whole grey values; one of 255 is 0.018 after division by 0.224.
    torch.testing.assert_close(ours[0], theirs, atol=0.02, rtol=0)
