"""A heatmap laid over its radiograph, for people to look at."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from chestxray14.files.packed import IMAGE_PX
from chestxray14.localization.boxes import NO_BOXES, Boxes

SMALLEST_SIDE = 512
"""Side in pixels to which smaller radiographs are enlarged."""

OPACITY = 0.6
"""How much of the radiograph the strongest place hides."""

TRUTH_COLOUR, FOUND_COLOUR = (0, 255, 255), (255, 255, 255)
"""Of a radiologist's box, cyan and thick, and of a predicted one, white and thin."""

_LINE = 22


def draw_overlay(
    pixels: NDArray[np.uint8],
    heatmap: NDArray[np.float32],
    *,
    captions: Sequence[str],
    truth: Boxes = NO_BOXES,
    found: Boxes = NO_BOXES,
) -> Image.Image:
    """Return a radiograph (P, P) under its heatmap (P, P) and boxes (n, 4), captions below.

    Strength is relative: the map's maximum is opaque to `OPACITY` and yellow, zero and what is below
    are clear, as is what the network did not see (NaN). The colours are matplotlib's plasma, whose steps look even and none of which is grey.
    `truth` are radiologists' boxes, `found` predicted ones.
    """
    side = max(SMALLEST_SIDE, len(pixels))
    grey = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).convert("RGB")
    seen = np.nan_to_num(heatmap).clip(min=0)
    strength = seen / max(float(seen.max()), 1e-12)
    wide = Image.fromarray(np.rint(strength * 255).astype(np.uint8))
    wide = wide.resize((side, side), Image.Resampling.BILINEAR)
    shares = np.asarray(wide, dtype=np.float32) / 255
    alpha = OPACITY * shares[..., None]
    colours = colormaps["plasma"](shares)[..., :3] * 255
    mixed = np.rint(np.asarray(grey) * (1 - alpha) + colours * alpha)
    picture = Image.new("RGB", (side, side + _LINE * len(captions) + 6))
    picture.paste(Image.fromarray(mixed.astype(np.uint8)))
    draw = ImageDraw.Draw(picture)
    for boxes, colour, width in ((found, FOUND_COLOUR, 2), (truth, TRUTH_COLOUR, 4)):
        for x, y, w, h in np.rint(boxes * side / IMAGE_PX).clip(0, side).astype(int).tolist():
            end = (max(x, x + w - 1), max(y, y + h - 1))
            draw.rectangle(((x, y), end), outline=colour, width=width)
    font = ImageFont.load_default(size=15)
    for i, caption in enumerate(captions):
        draw.text((8, side + 4 + i * _LINE), caption, fill="white", font=font)
    return picture


def encode(picture: Image.Image, *, kind: str) -> bytes:
    """Return a picture's file; `kind` is `PNG`, or `JPEG`, which is ten times smaller."""
    content = io.BytesIO()
    picture.save(content, kind, quality=85)
    return content.getvalue()
