"""One radiograph out of a DICOM file, as a screen would show it."""

import io
import logging
import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import expit

from chestxray14.base.errors import InputError, shorten
from chestxray14.data.images import LARGEST

RADIOGRAPHS = ("CR", "DX", "RG", "RF", "OT", "SC", "")
"""Modalities that are taken: computed, digital and film radiography, and those that do not tell."""

LATERAL = ("LL", "RL", "LATERAL", "LAT")
"""View positions of radiographs that are not frontal."""

_DEFLATED = b"1.2.840.10008.1.2.1.99"


def is_dicom(content: bytes) -> bool:
    """Tell whether a file begins as DICOM files do: 128 bytes of anything, then DICM."""
    return content[128:132] == b"DICM"


def decode_dicom(content: bytes, *, name: str) -> Image.Image:
    """Return a DICOM file's image in 8 bits, grey or RGB, bright where X-rays were stopped.

    The values go through the file's own lookup table or window (the first, where it has several)
    after its rescaling; where it has neither, 8-bit values stay as they are and the full range of
    others is spread over 0 to 255. MONOCHROME1 is inverted. Raises `InputError` naming the file
    when it cannot be read, is no frontal radiograph by its own words, or pydicom is absent.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise InputError(
            f"{name} is a DICOM file, and the package pydicom is not installed; "
            "pip install -e '.[dicom]'"
        ) from None
    if _DEFLATED in content:  # pydicom inflates it whatever it grows to
        raise InputError(f"{name} is a deflated DICOM file; store it uncompressed")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(content, name=name)
    except InputError:
        raise
    except Exception as error:  # a MemoryError too: a damaged header may ask for any length
        raise InputError(f"{name} is no readable DICOM file: {shorten(error)}") from None


def _decode(content: bytes, *, name: str) -> Image.Image:
    from pydicom import dcmread
    from pydicom.pixels.processing import apply_modality_lut
    from pydicom.pixels.utils import pixel_array

    file: Any = dcmread(io.BytesIO(content))
    if (modality := str(file.get("Modality") or "")) not in RADIOGRAPHS:
        raise InputError(f"{name} has the modality {modality[:16]!r}, expected CR, DX or RG")
    if (view := str(file.get("ViewPosition") or "").upper()) in LATERAL:
        raise InputError(f"{name} is a lateral view ({view}), expected a frontal radiograph")
    if not file.get("Rows") or not file.get("Columns"):
        raise InputError(f"{name} holds no image")
    if (frames := int(file.get("NumberOfFrames") or 1)) != 1:
        raise InputError(f"{name} has {frames} frames, expected one")
    if (width := file.Columns) * (height := file.Rows) > LARGEST:
        raise InputError(f"{name} has {width} x {height} pixels, too many")
    kind = str(file.PhotometricInterpretation)
    values = pixel_array(file)
    if values.ndim == 3 and values.dtype == np.uint8:
        return Image.fromarray(values)
    if not kind.startswith("MONOCHROME"):
        raise InputError(f"{name} has the photometric interpretation {kind[:16]!r}, expected grey")
    grey = _window(apply_modality_lut(values, file).astype(np.float64), file)
    if kind == "MONOCHROME1":
        grey = 1 - grey
    return Image.fromarray(np.rint(grey * 255).astype(np.uint8))


def _window(values: NDArray[np.float64], file: Any) -> NDArray[np.float64]:
    """Return rescaled values from 0 to 1: DICOM PS3.3, C.11.2, with the first table or window."""
    if file.get("VOILUTSequence"):
        from pydicom.pixels.processing import apply_voi

        largest = 2 ** int(file.VOILUTSequence[0].LUTDescriptor[2]) - 1
        looked_up: NDArray[np.float64] = apply_voi(values.astype(np.int64), file) / largest
        return looked_up.clip(0, 1)
    centre, width = _first(file.get("WindowCenter")), _first(file.get("WindowWidth"))
    if math.isfinite(centre) and width >= 1:
        shape = str(file.get("VOILUTFunction") or "LINEAR")
        if shape == "SIGMOID":
            return np.asarray(expit(4 * (values - centre) / width))
        if shape == "LINEAR":
            centre, width = centre - 0.5, max(width - 1, 1e-9)
        return ((values - centre) / width + 0.5).clip(0, 1)
    low, high = float(values.min()), float(values.max())
    if int(file.BitsStored) <= 8 and low >= 0 and high <= 255:
        return values / 255
    if not math.isfinite(high - low):
        raise ValueError("pixels that are no finite numbers")
    return (values - low) / max(high - low, 1e-9)


def _first(value: Any) -> float:
    """Return a number, or the first of several; NaN where there is none."""
    if value is None or value == "":
        return math.nan
    return float(value) if isinstance(value, int | float | str) else float(value[0])
