"""One radiograph: from the bytes of a file to a small grey square."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from chestxray14.base.errors import InputError

LARGEST = 100_000_000
"""Pixels above which a file is refused before it is decoded."""


def decode(content: bytes, *, name: str) -> Image.Image:
    """Return a radiograph as an 8-bit grey image.

    Of a colour image the first channel counts (NIH's RGBA files repeat grey in each); 16-bit
    values keep their upper byte. Raises `InputError` naming the file when it is no whole PNG or
    JPEG.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        if image.width * image.height > LARGEST:
            raise InputError(f"{name} has {image.width} x {image.height} pixels, too many")
        # Decoding alone passes over a PNG's checksums, and so over some damage to its pixels.
        Image.open(io.BytesIO(content), formats=("PNG", "JPEG")).verify()
        image.load()
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{name} is no readable PNG or JPEG: {_reason(error)}") from None
    if image.mode in ("1", "P", "CMYK", "YCbCr"):
        image = image.convert("L")
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    return image if image.mode == "L" else image.getchannel(0)


def pack(image: Image.Image, *, px: int) -> NDArray[np.uint8]:
    """Return a grey image as a (px, px) array, reduced with antialiasing.

    What is not square is centred on black, so that anatomy keeps its proportions.
    """
    if image.width == image.height:
        square = image.resize((px, px), Image.Resampling.BILINEAR)
    else:
        square = ImageOps.pad(image, (px, px), Image.Resampling.BILINEAR)
    return np.asarray(square, dtype=np.uint8)


def _reason(error: Exception) -> str:
    # Pillow names the in-memory buffer, which tells a user nothing.
    text = str(error).split("<_io.BytesIO")[0].strip()
    return text or type(error).__name__
