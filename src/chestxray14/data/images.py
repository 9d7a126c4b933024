"""One radiograph: from the bytes of a file to a small grey square."""

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from chestxray14.base.errors import InputError

LARGEST = 100_000_000
"""Pixels above which a file is refused before it is decoded."""

MOST_COLOUR = 8.0
"""Distance of a pixel's channels, of 255 and in the mean, above which a picture has colours."""

FEWEST_GREYS = 32
"""Greys that the 1st and the 99th percentile of a picture must lie apart, or it is flat.

A picture whose standard deviation is below 2 is flat as well: with two hundredths of its pixels 32
greys apart it would be above.
"""

_LOWER_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}
"""Pillow's names of 16 bits in several channels, of which it keeps the upper bytes, and of what
reads the lower ones too."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What rights a picture, by its EXIF orientation."""


def decode(content: bytes, *, name: str) -> Image.Image:
    """Return the picture in a PNG or JPEG file in 8 bits, upright: grey, or RGB where it has colours.

    What is grey in several channels is its first one (NIH's RGBA files repeat grey in each). Of 16
    bits the range in use is spread, for the values may be of 12 or 14. An EXIF orientation is
    applied. Raises `InputError` naming the file when it is no whole PNG or JPEG.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _open(content)
            if image.width * image.height > LARGEST:
                raise InputError(f"{name} has {image.width} x {image.height} pixels, too many")
            # Decoding alone passes over a PNG's checksums, and so over some damage to its pixels.
            _open(content).verify()
            stored = image.tile[0][3] if image.tile else ""
            image.load()
            turn = _TURNS.get(_read_orientation(image))
            if image.mode.startswith("I"):
                image = Image.fromarray(spread(np.asarray(image)))
            elif stored in _LOWER_BYTES:
                image = Image.fromarray(spread(_read_sixteen_bits(content, image, stored)))
            grey = reduce_colours(image)
            return grey if turn is None else grey.transpose(turn)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{name} is no readable PNG or JPEG: {_reason(error)}") from None


def spread(values: NDArray[Any], used: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Return values spread from the smallest to the largest over 0 to 255.

    Values not `used` are left out and black. Where fewer than `FEWEST_GREYS` different ones lie
    between the 1st and the 99th percentile, each is one grey: noise must not become a picture.
    """
    kept = values if used is None else values[used]
    found, counts = np.unique(kept, return_counts=True)
    first, last = np.searchsorted(counts.cumsum(), (0.01 * kept.size, 0.99 * kept.size))
    top = 255 if last - first >= FEWEST_GREYS else min(len(found) - 1, 255)
    low, high = float(found[0]), float(found[-1])
    grey = np.rint((values.astype(np.float64) - low) * (top / max(high - low, 1e-9)))
    if used is not None:
        grey[~used] = 0
    return grey.astype(np.uint8)


def reduce_colours(image: Image.Image) -> Image.Image:
    """Return an 8-bit picture in grey, or in RGB where its channels differ by `MOST_COLOUR`."""
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.mode == "LA":
        return image.getchannel(0)
    rgb = image.convert("RGB")
    pixels = np.asarray(rgb)
    distance = np.mean(pixels.max(axis=2) - pixels.min(axis=2))
    return rgb if distance > MOST_COLOUR else rgb.getchannel(0)


def count_greys(image: Image.Image) -> int:
    """Return how many greys the 1st and the 99th percentile of a picture lie apart, 0 to 255.

    Of colours, in the first channel.
    """
    below = np.cumsum(image.getchannel(0).histogram()) / (image.width * image.height)
    first, last = np.searchsorted(below, (0.01, 0.99))
    return int(last - first)


def pack(image: Image.Image, *, px: int) -> NDArray[np.uint8]:
    """Return a picture as a grey (px, px) array, reduced with antialiasing.

    Of colours the first channel counts. What is not square is centred on black, so that anatomy
    keeps its proportions.
    """
    grey = image.getchannel(0)
    if grey.width == grey.height:
        square = grey.resize((px, px), Image.Resampling.BILINEAR)
    else:
        square = ImageOps.pad(grey, (px, px), Image.Resampling.BILINEAR)
    return np.asarray(square, dtype=np.uint8)


def _open(content: bytes) -> Any:
    return Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))


def _read_sixteen_bits(content: bytes, image: Image.Image, stored: str) -> NDArray[np.uint16]:
    """Return the values of 16-bit colours or of grey with transparency, without transparency."""
    again = _open(content)
    again.tile = [(*again.tile[0][:3], _LOWER_BYTES[stored])]
    upper = np.asarray(image, dtype=np.uint16) << 8
    lower = np.asarray(again, dtype=np.uint16)
    values: NDArray[np.uint16]
    if stored == "LA;16B":  # read as four channels: the bytes of grey, of transparency
        values = np.bitwise_or(upper[..., 0], lower[..., 1])
    else:
        values = np.bitwise_or(upper[..., :3], lower[..., :3])
    return values


def _read_orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # pixels may be whole where what is said of them is not
        return None


def _reason(error: Exception) -> str:
    # Pillow names the in-memory buffer, which tells a user nothing.
    text = str(error).split("<_io.BytesIO")[0].strip()
    return text or type(error).__name__
