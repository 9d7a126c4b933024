"""From packed grey bytes to what a network sees, a whole batch at once on its device."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chestxray14.params import Augmentation

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Channel statistics that torchvision's ImageNet weights were trained with."""


def augment(images: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    """Return uint8 images (B, P, P) with each image's own random changes."""
    flips = rng.random(len(images)) < augmentation.horizontal_flip
    mask = torch.from_numpy(flips).to(images.device)[:, None, None]
    return torch.where(mask, images.flip(-1), images)


def normalize(images: Tensor, *, px: int) -> Tensor:
    """Return network input (B, 3, px, px) from uint8 images (B, P, P).

    Reduces with antialiasing, repeats grey in three channels and applies ImageNet's mean and
    standard deviation.
    """
    grey = images[:, None].float() / 255
    if px != images.shape[-1]:
        grey = F.interpolate(grey, (px, px), mode="bilinear", antialias=True, align_corners=False)
    mean = torch.tensor(IMAGENET_MEAN, device=grey.device)[:, None, None]
    std = torch.tensor(IMAGENET_STD, device=grey.device)[:, None, None]
    return ((grey - mean) / std).contiguous(memory_format=torch.channels_last)
