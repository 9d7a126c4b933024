"""How much of a heatmap lies inside what radiologists outlined."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from chestxray14.base.scores import DIGITS
from chestxray14.files.packed import IMAGE_PX
from chestxray14.localization.boxes import Heatmap
from chestxray14.localization.record import MEAN, Heat


def measure_heat(
    heatmaps: Heatmap, *, images: Sequence[str], findings: Sequence[str], outlines: pd.DataFrame
) -> Heat:
    """Return the share of the heat inside the outlines, by finding and as `MEAN` over them.

    `heatmaps` are (n, k, G, G) of n images and k findings; `outlines` has image, finding and outline
    (`x y x y ...`, in a picture of 1024 pixels), of these images and findings. The share of a
    finding is the mean over the images where it is outlined; several outlines count as one.
    """
    shares = [
        (finding, *_share(heatmaps[images.index(image), findings.index(finding)], own["outline"]))
        for (image, finding), own in outlines.groupby(["image", "finding"])
    ]
    table = pd.DataFrame(shares, columns=["finding", "inside", "area"]).groupby("finding")
    means = table[["inside", "area"]].mean().reindex([f for f in findings if f in table.groups])
    if len(means):
        means = pd.concat([means.mean().to_frame(MEAN).T, means])
    columns = means.round(DIGITS).to_dict()
    return Heat(
        inside=columns["inside"],
        area=columns["area"],
        images={str(finding): int(n) for finding, n in table.size().items()},
    )


def _share(heatmap: Heatmap, outlines: Iterable[str]) -> tuple[float, float]:
    """Return the share of a map's heat, and that of the image's area, inside outlines.

    Heat is what a map has above its lowest place; a flat one's lies everywhere alike.
    """
    cover = fill(outlines, cells=len(heatmap))
    values = np.asarray(heatmap, dtype=np.float64)
    heat = np.nan_to_num(values - np.nanmin(values)) if not np.isnan(values).all() else 0 * cover
    area = float(cover.mean())
    return (float((heat * cover).sum() / heat.sum()) if heat.any() else area), area


def fill(outlines: Iterable[str], *, cells: int) -> NDArray[np.float64]:
    """Return how much of each cell (cells, cells) of the image lies inside any outline, 0 to 1."""
    picture = Image.new("L", (IMAGE_PX, IMAGE_PX))
    for outline in outlines:
        ImageDraw.Draw(picture).polygon([int(value) for value in outline.split()], fill=255)
    reduced = picture.resize((cells, cells), Image.Resampling.BOX)
    cover: NDArray[np.float64] = np.asarray(reduced, dtype=np.float64) / 255
    return cover
