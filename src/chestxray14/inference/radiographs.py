"""A radiograph from a user's disk, checked: PNG, JPEG or DICOM."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from chestxray14.base.errors import InputError
from chestxray14.data.images import FEWEST_GREYS, count_greys, decode
from chestxray14.files.names import is_image, list_files
from chestxray14.inference.dicom import decode_dicom, is_dicom

SMALLEST_PX = 128
"""Side in pixels below which a file is taken for a thumbnail."""

MOST_OBLONG = 2.0
"""Largest ratio of a frontal radiograph's sides."""

LARGEST_BYTES = 500_000_000
"""Size above which a file is not opened."""


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

    PNG and JPEG are decoded as `prepare` decodes a dataset's, DICOM as in `decode_dicom`. Raises
    `InputError` naming the file when it cannot be read or does not look like a frontal radiograph:
    a side below `SMALLEST_PX`, sides of more than `MOST_OBLONG`, colours, or fewer than
    `FEWEST_GREYS`.
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
    image = (decode_dicom if dicom else decode)(content, name=name)
    return _check(image, name=name)


def show_path(path: Path) -> str:
    """Return a path as it can be printed on one line, whatever its bytes."""
    text = str(path)
    return text if text.isprintable() else repr(text)


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
        raise InputError(f"{name} is in colour, expected a grey radiograph")
    low, high = image.getextrema()
    if low == high:
        raise InputError(f"{name} is one grey throughout, no radiograph")
    if (greys := count_greys(image)) < FEWEST_GREYS:
        raise InputError(
            f"{name} has 98 % of its pixels within {greys} of 256 greys, expected at least "
            f"{FEWEST_GREYS}: it is blank, or was stored too dark"
        )
    return image
