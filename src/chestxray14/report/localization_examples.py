"""A few hits and misses of a network's heatmaps, as pictures for the report."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from chestxray14.base.findings import BOXED_FINDINGS
from chestxray14.localization.record import Shown

LARGEST_PX = 384
"""Width in pixels above which a picture is reduced: sixteen have to fit into one page."""

QUALITY = 80


@dataclass(frozen=True)
class Overlay:
    """A radiograph with heatmap and boxes, a JPEG of at most `LARGEST_PX` in width."""

    shown: Shown
    picture: bytes


def choose_overlays(shown: Sequence[Shown]) -> list[Shown]:
    """Return the first hit and the first miss of each finding, where there are any.

    Findings come in the order of Wang et al. 2017.
    """
    chosen: dict[tuple[str, bool], Shown] = {}
    for picture in shown:
        chosen.setdefault((picture.finding, picture.hit), picture)
    return [
        chosen[finding, hit]
        for finding in BOXED_FINDINGS
        for hit in (True, False)
        if (finding, hit) in chosen
    ]


def show_overlay(shown: Shown, content: bytes) -> Overlay:
    """Return a JPEG of any size as it stands in a page; the same bytes give the same bytes.

    Raises what Pillow raises for what is no JPEG.
    """
    image = Image.open(io.BytesIO(content), formats=("JPEG",)).convert("RGB")
    image.thumbnail((LARGEST_PX, 2 * LARGEST_PX), Image.Resampling.LANCZOS)
    picture = io.BytesIO()
    image.save(picture, "JPEG", quality=QUALITY, optimize=True)
    return Overlay(shown, picture.getvalue())
