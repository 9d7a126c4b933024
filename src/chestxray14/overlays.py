"""A heatmap laid over its radiograph, for people to look at."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from chestxray14.archive import is_image
from chestxray14.radiographs import ends_as_dicom
from chestxray14.single_image import NOTICE, Answer

SMALLEST_SIDE = 512
"""Side in pixels to which smaller radiographs are enlarged."""

OPACITY = 0.6
"""How much of the radiograph the strongest place hides."""

_LINE = 22
_LONGEST_NAME = 100


def draw_overlay(
    pixels: NDArray[np.uint8], heatmap: NDArray[np.float32], *, captions: Sequence[str]
) -> bytes:
    """Return a PNG of a radiograph (P, P) under its heatmap (P, P), captions below.

    Strength is relative: the map's maximum is opaque to `OPACITY` and yellow, zero and what is below
    are clear. The colours are matplotlib's plasma, whose steps look even and none of which is grey.
    """
    side = max(SMALLEST_SIDE, len(pixels))
    grey = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).convert("RGB")
    strength = np.maximum(heatmap, 0) / max(float(heatmap.max()), 1e-12)
    wide = Image.fromarray(np.rint(strength * 255).astype(np.uint8))
    wide = wide.resize((side, side), Image.Resampling.BILINEAR)
    shares = np.asarray(wide, dtype=np.float32) / 255
    alpha = OPACITY * shares[..., None]
    colours = colormaps["plasma"](shares)[..., :3] * 255
    mixed = np.rint(np.asarray(grey) * (1 - alpha) + colours * alpha)
    picture = Image.new("RGB", (side, side + _LINE * len(captions) + 6))
    picture.paste(Image.fromarray(mixed.astype(np.uint8)))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=15)
    for i, caption in enumerate(captions):
        draw.text((8, side + 4 + i * _LINE), caption, fill="white", font=font)
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def caption(answer: Answer, *, recipe: str, drawn: bool) -> tuple[str, str]:
    """Return the two lines below an overlay: the answer, and what it is not."""
    kind = f"calibrated ({answer.raw:.3f} raw)" if answer.is_calibrated else "raw"
    origin = f" {recipe} was trained on drawn images." if drawn else ""
    return (
        f"{answer.finding} {answer.probability:.3f} {kind}, {recipe}",
        f"{NOTICE}{origin}",
    )


def name_pictures(files: Sequence[Path]) -> list[str]:
    """Return a name for each file: its own without ending, numbered where several share it."""
    names: list[str] = []
    taken: set[str] = set()
    for file in files:
        # A DICOM file may be called 1.2.840.113619, which has no ending.
        known = is_image(file.name) or ends_as_dicom(file)
        own = (file.stem if known else file.name)[:_LONGEST_NAME]
        name, count = own, 1
        # Some file systems do not tell Mass from mass.
        while name.lower() in taken:
            count += 1
            name = f"{own}-{count}"
        taken.add(name.lower())
        names.append(name)
    return names
