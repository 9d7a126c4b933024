import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tiny import RECIPES, plain, tiny_recipe
from torchvision.models import DenseNet121_Weights
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from chestxray14.model.recipe import Augmentation, Recipe, Views
from chestxray14.model.views import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    augment,
    draw_windows,
    normalize,
    reduce,
    sample,
    view,
    view_centre,
)

GENERATOR = torch.Generator().manual_seed(0)
NOISE = torch.randint(0, 256, (400, 32, 32), dtype=torch.uint8, generator=GENERATOR)


def smooth(px: int, count: int = 6) -> torch.Tensor:
    """Return images without structure finer than a few pixels, so that resamplings agree."""
    coarse = torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    fine = F.interpolate(coarse, (px, px), mode="bicubic").clamp(0, 1)
    return (fine[:, 0] * 255).round().to(torch.uint8)


def recipe_with(*, px: int = 32, resize_px: int | None = None, **changes: float) -> Recipe:
    return tiny_recipe(input_px=px, resize_px=resize_px or px, augmentation=plain(**changes))


def draw(recipe: Recipe, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return augment(images, recipe, np.random.default_rng(seed))


def test_no_image_or_every_image_is_flipped_at_the_ends() -> None:
    grey = reduce(NOISE, px=32)
    torch.testing.assert_close(draw(recipe_with(horizontal_flip=0.0), NOISE), grey)
    torch.testing.assert_close(draw(recipe_with(horizontal_flip=1.0), NOISE), grey.flip(-1))


@pytest.mark.parametrize("crop_area", [1.0, 0.9999])
def test_half_of_the_images_are_flipped_each_by_its_own_draw(crop_area: float) -> None:
    # 0.9999 takes the way through the sampling grid, 1.0 the one without.
    recipe = recipe_with(horizontal_flip=0.5, crop_area=crop_area)
    images = smooth(32, 400)
    images[:, :, :16] //= 4
    seen = draw(recipe, images)
    mirrored = seen[..., :16].mean(dim=(1, 2, 3)) > seen[..., 16:].mean(dim=(1, 2, 3))
    assert 150 < int(mirrored.sum()) < 250  # 400 fair draws, five standard deviations


CHANGES = {
    "everything": plain(zoom=0.2, rotation=20.0, horizontal_flip=0.5, brightness=0.3, contrast=0.3)
    | {"gamma": 0.3, "crop_area": 0.4, "crop_ratio": 1.3},
    "a flip alone": plain(horizontal_flip=0.5),
    "the best recipe's": RECIPES["best"].augmentation.model_dump(),
}


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("resize_px", [32, 36])
def test_an_image_of_a_share_is_changed_as_among_the_whole_batch(
    changes: str, resize_px: int
) -> None:
    recipe = tiny_recipe(augmentation=CHANGES[changes], resize_px=resize_px)
    images = NOISE[:7]
    whole = draw(recipe, images)
    assert not torch.equal(whole, draw(recipe, images, seed=1))
    for share in (slice(0, 2), slice(2, 5), slice(5, 7), slice(0, 7)):
        rng = np.random.default_rng(0)
        alone = augment(images[share], recipe, rng, whole=7, share=share)
        torch.testing.assert_close(alone, whole[share])


def test_a_window_of_everything_is_the_antialiased_reduction_of_torch() -> None:
    whole = np.tile(np.eye(2, 3, dtype=np.float32), (6, 1, 1))
    images = smooth(64)
    expected = F.interpolate(images[:, None] / 255, (32, 32), mode="bilinear", antialias=True)
    assert (sample(images, whole, px=32, reduced_px=32) - expected).abs().max() < 0.02


def test_a_pattern_finer_than_a_pixel_becomes_grey_and_not_stripes() -> None:
    stripes = torch.zeros(1, 64, 64, dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    whole = np.eye(2, 3, dtype=np.float32)[None]
    seen = sample(stripes, whole, px=32, reduced_px=32)
    # At the border a stripe has no neighbour.
    torch.testing.assert_close(seen[..., 1:-1], torch.full((1, 1, 32, 30), 0.5))


def test_a_window_of_everything_is_what_validation_sees() -> None:
    whole = np.tile(np.eye(2, 3, dtype=np.float32), (20, 1, 1))
    for px in (32, 20, 16, 11):
        ours = sample(NOISE[:20], whole, px=px, reduced_px=px)
        torch.testing.assert_close(ours, reduce(NOISE[:20], px=px), atol=1e-5, rtol=0)


def noise(px: int, count: int, *, falling: bool) -> torch.Tensor:
    """Return white noise, or noise whose amplitude falls with its frequency, as radiographs' does."""
    grey = torch.randn(count, px, px, generator=torch.Generator().manual_seed(7))
    if falling:
        f = torch.fft.fftfreq(px)
        radius = (f[:, None] ** 2 + f**2).sqrt()
        radius[0, 0] = 1
        grey = torch.fft.ifft2(torch.fft.fft2(grey) / radius).real
    return (128 + 30 * grey / grey.std()).round().clamp(0, 255).to(torch.uint8)


def sharpness(grey: torch.Tensor) -> np.ndarray:
    """Return mean gradient energy, power in four octaves, and power from 0.4 to 0.5 cycles a pixel."""
    grey = grey[..., 6:-6, 6:-6]
    px = grey.shape[-1]
    right, down = grey.diff(dim=-1).square().mean(), grey.diff(dim=-2).square().mean()
    window = torch.hann_window(px)
    grey = (grey - grey.mean((-1, -2), keepdim=True)) * window[:, None] * window
    power = torch.fft.fft2(grey).abs().square() / px**2
    f = torch.fft.fftfreq(px)
    radius = (f[:, None] ** 2 + f**2).sqrt()
    bands = ((1 / 32, 1 / 16), (1 / 16, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 1 / 2), (0.4, 0.5))
    octaves = [power[..., (radius >= low) & (radius < high)].mean() for low, high in bands]
    return np.array([float(right + down), *map(float, octaves)])


@pytest.mark.parametrize("falling", [False, True], ids=["white", "1/f"])
@pytest.mark.parametrize(
    ("packed_px", "resize_px", "tolerance"),
    # At one packed pixel a pixel nothing can be blurred before it is interpolated.
    [(128, 64, 0.05), (224, 98, 0.05), (256, 64, 0.05), (96, 72, 0.05), (80, 80, 0.08)],
)
def test_training_sees_structures_as_sharp_as_validation_does(
    packed_px: int, resize_px: int, tolerance: float, falling: bool
) -> None:
    images = noise(packed_px, 120, falling=falling)
    input_px = round(0.95 * resize_px)
    recipe = recipe_with(px=input_px, resize_px=resize_px, rotation=7.0, zoom=0.05)
    learned, judged = sharpness(draw(recipe, images)), sharpness(view_centre(images, recipe))
    np.testing.assert_allclose(learned / judged, 1, atol=tolerance)


@pytest.mark.parametrize(("packed_px", "resize_px"), [(224, 112), (256, 128)])
def test_a_crop_of_any_share_is_as_sharp_as_the_whole(packed_px: int, resize_px: int) -> None:
    # Noise that falls with its frequency looks alike at every magnification.
    images = noise(packed_px, 240, falling=True)
    recipe = recipe_with(
        px=round(0.875 * resize_px), resize_px=resize_px, crop_area=0.3, crop_ratio=1.1
    )
    learned, judged = sharpness(draw(recipe, images)), sharpness(view_centre(images, recipe))
    np.testing.assert_allclose(learned / judged, 1, atol=0.05)


@pytest.mark.parametrize("flip", [False, True])
def test_a_crop_shows_what_torchvisions_resized_crop_shows(flip: bool) -> None:
    images = smooth(64)
    windows = draw_windows(
        Augmentation(**plain(crop_area=0.3, crop_ratio=1.3)),
        flips=np.full(6, flip),
        share=1.0,
        rng=np.random.default_rng(3),
    )
    seen = sample(images, windows, px=32, reduced_px=32)
    for image, window, ours in zip(images, windows, seen, strict=True):
        width, height = abs(window[0, 0]) * 64, window[1, 1] * 64
        left, top = (window[0, 2] + 1) * 32 - width / 2, (window[1, 2] + 1) * 32 - height / 2
        # A whole number of pixels on a finer image, as torchvision crops none else.
        fine = tv.resize(image[None], [640, 640], antialias=True)
        box = [round(10 * side) for side in (top, left, height, width)]
        theirs = tv.resized_crop(fine, *box, size=[32, 32], antialias=True) / 255
        assert (ours - (theirs.flip(-1) if flip else theirs)).abs().max() < 0.03


def test_rotation_turns_as_torchvisions() -> None:
    images = smooth(33, 1)
    recipe = recipe_with(px=33, rotation=30.0)
    windows = draw_windows(
        recipe.augmentation, flips=np.array([False]), share=1.0, rng=np.random.default_rng(5)
    )
    angle = math.degrees(math.atan2(windows[0, 1, 0], windows[0, 0, 0]))
    assert 1 < abs(angle) <= 30
    theirs = tv.rotate(images[:, None] / 255, angle, interpolation=v2.InterpolationMode.BILINEAR)
    ours = sample(images, windows, px=33, reduced_px=33)
    # Beside the border torchvision mixes with black.
    whole = tv.rotate(torch.ones(1, 1, 33, 33), angle, interpolation=v2.InterpolationMode.BILINEAR)
    assert whole.mean() > 0.7
    assert ((ours - theirs) * (whole > 0.999)).abs().max() < 0.03
    assert (ours * (whole < 0.001)).abs().max() == 0


def test_windows_keep_to_their_ranges_and_to_the_image() -> None:
    windows = draw_windows(
        Augmentation(**plain(crop_area=0.2, crop_ratio=1.25)),
        flips=np.zeros(5000, dtype=bool),
        share=1.0,
        rng=np.random.default_rng(0),
    )
    width, height = windows[:, 0, 0], windows[:, 1, 1]
    area, ratio = width * height, width / height
    assert 0.2 <= area.min() < 0.22
    assert 0.95 < area.max() <= 1
    assert 0.8 - 1e-6 <= ratio.min() < 0.82
    assert 1.22 < ratio.max() <= 1.25 + 1e-6
    for centre, side in ((windows[:, 0, 2], width), (windows[:, 1, 2], height)):
        assert (abs(centre) + side <= 1 + 1e-6).all()
    # As torchvision's RandomResizedCrop: the mean area is that of an even draw.
    assert area.mean() == pytest.approx(0.6, abs=0.02)


def test_a_crop_of_the_reduced_image_has_its_share_and_any_place() -> None:
    windows = draw_windows(
        Augmentation(**plain()),
        flips=np.zeros(1000, dtype=bool),
        share=0.875,
        rng=np.random.default_rng(0),
    )
    np.testing.assert_allclose(windows[:, [0, 1], [0, 1]], 0.875)
    for axis in (0, 1):
        assert windows[:, axis, 2].min() == pytest.approx(-0.125, abs=0.002)
        assert windows[:, axis, 2].max() == pytest.approx(0.125, abs=0.002)


def test_zoom_enlarges_and_reduces_by_its_share() -> None:
    windows = draw_windows(
        Augmentation(**plain(zoom=0.25)),
        flips=np.zeros(2000, dtype=bool),
        share=1.0,
        rng=np.random.default_rng(0),
    )
    sides = windows[:, 0, 0]
    assert sides.min() == pytest.approx(1 / 1.25, abs=0.005)
    assert sides.max() == pytest.approx(1 / 0.75, abs=0.005)
    np.testing.assert_array_equal(sides, windows[:, 1, 1])


@pytest.mark.parametrize("what", ["brightness", "contrast", "gamma"])
def test_tones_change_as_torchvisions_adjust_functions_each_image_by_its_own_factor(
    what: str,
) -> None:
    images = smooth(32)
    seen = draw(recipe_with(**{what: 0.4}), images, seed=2)
    rng = np.random.default_rng(2)
    rng.random(6)  # the flips
    factors = rng.uniform(0.6, 1.4, 6)
    adjust = getattr(tv, f"adjust_{what}")
    for image, factor, ours in zip(reduce(images, px=32), factors, seen, strict=True):
        torch.testing.assert_close(ours, adjust(image, factor), atol=1e-5, rtol=0)


def test_every_augmentation_stays_between_0_and_1_and_is_the_same_for_the_same_draw() -> None:
    recipe = recipe_with(
        crop_area=0.1,
        crop_ratio=2.0,
        zoom=0.3,
        rotation=45.0,
        horizontal_flip=0.5,
        brightness=0.5,
        contrast=0.5,
        gamma=0.5,
    )
    seen = draw(recipe, NOISE)
    assert seen.shape == (400, 1, 32, 32)
    assert float(seen.min()) >= 0
    assert float(seen.max()) <= 1
    assert torch.equal(seen, draw(recipe, NOISE))
    assert not torch.equal(seen, draw(recipe, NOISE, seed=1))


def test_statistics_are_those_of_torchvisions_weights() -> None:
    preset = DenseNet121_Weights.IMAGENET1K_V1.transforms()
    assert (list(IMAGENET_MEAN), list(IMAGENET_STD)) == (preset.mean, preset.std)


def test_the_centre_of_a_smooth_image_is_that_of_torchvisions_preprocessing() -> None:
    grey = smooth(64, 1)[0].numpy()
    theirs = v2.Compose(
        [
            v2.Resize(40, antialias=True),
            v2.CenterCrop(32),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )(Image.fromarray(grey).convert("RGB"))
    recipe = recipe_with(resize_px=40)
    ours = normalize(view_centre(torch.from_numpy(grey)[None], recipe))
    assert ours.shape == (1, 3, 32, 32)
    # Pillow rounds to whole grey values (one of 255 is 0.018 here), and its filter is wider.
    torch.testing.assert_close(ours[0], theirs, atol=0.08, rtol=0)


def test_ten_crop_is_corners_and_centre_and_their_mirror_images() -> None:
    recipe = tiny_recipe("best", input_px=32, resize_px=40)
    images = smooth(40)
    crops = view(images, recipe, "ten_crop")
    grey = reduce(images, px=40)
    expected = [
        crop
        for seen in (grey, grey.flip(-1))
        for crop in (
            *(seen[..., :32, :32], seen[..., :32, 8:], seen[..., 8:, :32], seen[..., 8:, 8:]),
            seen[..., 4:36, 4:36],
        )
    ]
    for ours, theirs in zip(crops, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("views", "count"), [("centre", 1), ("flip", 2), ("ten_crop", 10)])
def test_the_first_of_few_views_is_the_centre(views: Views, count: int) -> None:
    recipe = recipe_with(resize_px=36)
    seen = view(smooth(64), recipe, views)
    assert len(seen) == count
    assert all(crop.shape == (6, 1, 32, 32) for crop in seen)
    place = 4 if views == "ten_crop" else 0
    assert torch.equal(seen[place], view_centre(smooth(64), recipe))
    if views == "flip":
        assert torch.equal(seen[1], seen[0].flip(-1))


def test_no_recipe_leaves_an_image_black_or_of_another_shape() -> None:
    for name in RECIPES:
        recipe = tiny_recipe(name, resize_px=36)
        seen = draw(recipe, smooth(64))
        assert seen.shape == (6, 1, 32, 32)
        assert float(seen.mean()) > 0.2
