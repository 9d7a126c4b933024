"""One radiograph out of a DICOM file, as a screen would show it."""

import io
import logging
import math
import re
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import expit

from chestxray14.base.errors import InputError, shorten
from chestxray14.data.images import LARGEST, reduce_colours, spread
from chestxray14.inference.dicom_words import check_words

_DEFLATED = b"1.2.840.10008.1.2.1.99"

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

_FIRST_ELEMENT = re.compile(rb"[\x02\x08]\0[\0-\x20]\0([A-Z]{2}|[^\0]\0\0\0)", re.DOTALL)
"""How a file without preamble begins: with an element of group 2 or 8."""


def is_dicom(content: bytes) -> bool:
    """Tell whether a file begins as DICOM files do: 128 bytes of anything, then DICM.

    Older ones have neither, and begin with their first element.
    """
    return content[128:132] == b"DICM" or bool(_FIRST_ELEMENT.match(content))


def decode_dicom(content: bytes, *, name: str) -> Image.Image:
    """Return a DICOM file's image in 8 bits, grey or RGB, bright where X-rays were stopped.

    The values go through the file's own lookup table or window (the first, where it has several)
    after its rescaling; where it has neither, 8-bit values stay as they are and the range that
    others use is spread over 0 to 255. MONOCHROME1 is inverted, and padding is black. Raises
    `InputError` naming the file when it cannot be read, is no frontal radiograph of a chest by its
    own words, or a package is absent.
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
    file = _read(content, name=name)
    check_words(file, name=name)
    if not (file.get("Rows") and file.get("Columns") and any(map(file.get, _PIXELS))):
        raise InputError(f"{name} holds no image")
    if (frames := int(file.get("NumberOfFrames") or 1)) != 1:
        raise InputError(f"{name} has {frames} frames, expected one")
    if (width := file.Columns) * (height := file.Rows) > LARGEST:
        raise InputError(f"{name} has {width} x {height} pixels, too many")
    kind = str(file.PhotometricInterpretation)
    stored = _read_values(file, name=name)
    if stored.ndim == 3 and stored.dtype == np.uint8:
        return reduce_colours(Image.fromarray(stored))
    if not kind.startswith("MONOCHROME"):
        raise InputError(f"{name} has the photometric interpretation {kind[:16]!r}, expected grey")
    used = _find_used(stored, file)
    grey = _show(_rescale(stored, file), file, used=used)
    if kind == "MONOCHROME1":
        grey = 255 - grey
    return Image.fromarray(np.rint(np.where(used, grey, 0)).astype(np.uint8))


def _read(content: bytes, *, name: str) -> Any:
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    file: Any = dcmread(io.BytesIO(content), force=True)
    if not any(element.keyword for element in file):
        raise InputError(f"{name} is no DICOM file")
    if "TransferSyntaxUID" not in file.file_meta:
        implicit, little = file.original_encoding
        plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        file.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else plain
    return file


def _read_values(file: Any, *, name: str) -> NDArray[Any]:
    """Return the stored values, in the lowest bits."""
    from pydicom.pixels.utils import pixel_array

    syntax = file.file_meta.TransferSyntaxUID
    bits, high = int(file.BitsStored), int(file.get("HighBit") or 0)
    if bits <= high < int(file.BitsAllocated):
        file.BitsStored = high + 1
    try:
        values: NDArray[Any] = pixel_array(file)
    except Exception as error:
        if syntax.is_compressed:
            raise InputError(f"{name} {_explain(error, syntax)}") from None
        raise
    file.BitsStored = bits
    # Some files say that their values lie in the upper bits, and have them in the lower ones.
    if high >= bits and np.abs(values.astype(np.int64)).max() >= 2**bits:
        values = values >> (high + 1 - bits)
    return values


def _explain(error: Exception, syntax: Any) -> str:
    """Return why compressed pixels cannot be read, and which packages would read them."""
    from pydicom.pixels.decoders.base import get_decoder

    compressed = f"is compressed as {syntax.name}"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return f"{compressed}, which pydicom does not read"
    absent = sorted(
        set(re.findall(r"pylibjpeg[\w-]*(?=>)", " ".join(decoder.missing_dependencies)))
    )
    if absent and not decoder.is_available:
        return f"{compressed}, which needs packages: pip install {' '.join(absent)}"
    more = f", or it needs packages: pip install {' '.join(absent)}" if absent else ""
    reason = str(error).splitlines()[-1].split(": ", maxsplit=1)[-1]
    return f"{compressed} and damaged{more} ({shorten(RuntimeError(reason))})"


def _find_used(stored: NDArray[Any], file: Any) -> NDArray[np.bool_]:
    """Return where values are no padding; everywhere, where all would be."""
    everywhere = np.ones(stored.shape, dtype=bool)
    padding = file.get("PixelPaddingValue")
    if padding is None or stored.dtype.kind not in "iu":
        return everywhere
    ends = np.array([padding, file.get("PixelPaddingRangeLimit", padding)], dtype=np.int64)
    low, high = np.sort(ends.astype(stored.dtype))  # a negative one may be written without sign
    used: NDArray[np.bool_] = (stored < low) | (stored > high)
    return used if used.any() else everywhere


def _rescale(stored: NDArray[Any], file: Any) -> NDArray[np.float64]:
    """Return what stored values stand for: DICOM PS3.3, C.11.1."""
    values = stored.astype(np.float64)
    if file.get("ModalityLUTSequence"):
        item = file.ModalityLUTSequence[0]
        return _look_up(values, item, _read_table(item, file))
    slope, intercept = file.get("RescaleSlope"), file.get("RescaleIntercept")
    values = values * float(1 if slope is None else slope) + float(intercept or 0)
    if not np.isfinite(values).all():
        raise ValueError("pixels that are no finite numbers")
    return values


def _show(
    values: NDArray[np.float64], file: Any, *, used: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return rescaled values from 0 to 255: PS3.3, C.11.2, with the first table or window."""
    if file.get("VOILUTSequence"):
        item = file.VOILUTSequence[0]
        table = _read_table(item, file)
        # A table may say that it has 16 bits, and use 12.
        low, high = table.min(), table.max()
        shown: NDArray[np.float64] = _look_up(values, item, table) - low
        shown *= 255 / max(high - low, 1)
        return shown
    centre, width = _first(file.get("WindowCenter")), _first(file.get("WindowWidth"))
    if math.isfinite(centre) and width >= 1:
        shape = str(file.get("VOILUTFunction") or "LINEAR")
        if shape == "SIGMOID":
            return 255 * np.asarray(expit(4 * (values - centre) / width))
        if shape == "LINEAR":
            centre, width = centre - 0.5, max(width - 1, 1e-9)
        return 255 * ((values - centre) / width + 0.5).clip(0, 1)
    if int(file.BitsStored) <= 8 and values[used].min() >= 0 and values[used].max() <= 255:
        return values
    return spread(values, used).astype(np.float64)


def _read_table(item: Any, file: Any) -> NDArray[np.float64]:
    """Return a lookup table's entries; those of 8 bits may lie two in a word."""
    count, data = int(item.LUTDescriptor[0]) or 2**16, item.LUTData
    order = "<" if file.original_encoding[1] is not False else ">"
    if not isinstance(data, bytes):
        words = np.atleast_1d(np.asarray(data))
        data = (words & 0xFFFF).astype(f"{order}u2").tobytes()
    wide = len(data) >= 2 * count
    return np.frombuffer(data, f"{order}u2" if wide else np.uint8, count).astype(np.float64)


def _look_up(
    values: NDArray[np.float64], item: Any, table: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the entries of values; outside the table, its first and last one."""
    first = int(item.LUTDescriptor[1])
    if first >= 2**15 and values.min() < 0:  # a negative one, written without sign
        first -= 2**16
    entries: NDArray[np.float64] = table[
        np.rint(values - first).clip(0, len(table) - 1).astype(np.int64)
    ]
    return entries


def _first(value: Any) -> float:
    """Return a number, or the first of several; NaN where there is none."""
    if value is None or value == "":
        return math.nan
    return float(value) if isinstance(value, int | float | str) else float(value[0])
