"""A radiograph from a user's disk, checked: PNG, JPEG or DICOM."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from chestxray14.base.errors import InputError, shorten
from chestxray14.data.images import decode
from chestxray14.files.names import is_image, list_files
from chestxray14.inference.dicom import decode_dicom, is_dicom

SMALLEST_PX = 128
"""Side in pixels below which a file is taken for a thumbnail."""

MOST_OBLONG = 2.0
"""Largest ratio of a frontal radiograph's sides."""

MOST_COLOUR = 8.0
"""Distance of a pixel's channels, of 255 and in the mean, above which a file is a photograph."""

LARGEST_BYTES = 500_000_000
"""Size above which a file is not opened."""

_TWELVE_BITS = 4096


def list_radiographs(given: Sequence[Path]) -> tuple[list[Path], int]:
    """Return the files to read, in order, and how many others lie in the folders given.

    A folder stands for what is in and below it, sorted: files with the ending of a PNG, JPEG or
    DICOM file and, whatever their ending, those that begin as DICOM does. What is hidden is passed
    over. A file named itself is always returned, also when it is absent.
    """
    files: list[Path] = []
    others = 0
    for path in given:
        if not path.is_dir():
            files.append(path)
            continue
        for file in list_files(path):
            if _is_radiograph(file):
                files.append(file)
            else:
                others += 1
    return files, others


def _is_radiograph(file: Path) -> bool:
    if is_image(file.name) or ends_as_dicom(file):
        return True
    try:
        with file.open("rb") as content:
            # The index of a disc of DICOM files begins as they do.
            return file.name.upper() != "DICOMDIR" and is_dicom(content.read(132))
    except OSError:
        return False


def ends_as_dicom(file: Path) -> bool:
    """Tell whether a file has a DICOM file's ending."""
    return file.suffix.lower() in (".dcm", ".dicom")


def read_radiograph(path: Path) -> Image.Image:
    """Return the radiograph in a file as an 8-bit grey image, bright where X-rays were stopped.

    PNG and JPEG are decoded as `prepare` decodes a dataset's; only 16-bit files whose values stay
    below 4096, of which it would leave a few dark greys, have their range spread. DICOM as in
    `decode_dicom`. Raises `InputError` naming the file when it cannot be read or does not look like
    a frontal radiograph: a side below `SMALLEST_PX`, sides of more than `MOST_OBLONG`, clear
    colours, or a single grey throughout.
    """
    name = show_path(path)
    try:
        if not path.is_file():
            raise InputError(f"{name} is no file" if path.exists() else f"{name} not found")
        if path.stat().st_size > LARGEST_BYTES:
            raise InputError(f"{name} has more than {LARGEST_BYTES / 1e6:.0f} MB")
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # a name with a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{name} cannot be read: {reason}") from None
    dicom = is_dicom(content) or ends_as_dicom(path)
    image = decode_dicom(content, name=name) if dicom else _decode_picture(content, name=name)
    return _check(image, name=name)


def show_path(path: Path) -> str:
    """Return a path as it can be printed on one line, whatever its bytes."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def _decode_picture(content: bytes, *, name: str) -> Image.Image:
    """Return a PNG or JPEG in grey, or in RGB where it has colours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            grey = decode(content, name=name)
            stored = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
            if stored.mode.startswith("I"):
                values = np.asarray(stored)
                return _spread(values) if values.max() < _TWELVE_BITS else grey
            if stored.mode in ("1", "L", "LA"):
                return grey
            rgb = stored.convert("RGB")
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{name} is no readable PNG or JPEG: {shorten(error)}") from None
    # What is grey in colour has the grey that a dataset's file would have.
    return rgb if _colour(rgb) > MOST_COLOUR else grey


def _spread(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Image.Image:
    wide = values.astype(np.float64)
    low, high = wide.min(), wide.max()
    grey = np.rint((wide - low) / max(high - low, 1) * 255)
    return Image.fromarray(grey.astype(np.uint8))


def _colour(image: Image.Image) -> float:
    """Return how far a pixel's channels are apart, in the mean."""
    pixels = np.asarray(image)
    return float(np.mean(pixels.max(axis=2) - pixels.min(axis=2)))


def _check(image: Image.Image, *, name: str) -> Image.Image:
    """Return what looks like a frontal radiograph, in grey."""
    short, long = sorted(image.size)
    size = f"{name} has {image.width} x {image.height} pixels"
    if short < SMALLEST_PX:
        raise InputError(f"{size}, expected at least {SMALLEST_PX} a side")
    if long > MOST_OBLONG * short:
        raise InputError(
            f"{size}, no frontal radiograph's shape (sides up to 1 : {MOST_OBLONG:g})"
        )
    if image.mode != "L":
        if _colour(image) > MOST_COLOUR:
            raise InputError(f"{name} is in colour, expected a grey radiograph")
        image = image.getchannel(0)
    low, high = image.getextrema()
    if low == high:
        raise InputError(f"{name} is one grey throughout, no radiograph")
    return image
