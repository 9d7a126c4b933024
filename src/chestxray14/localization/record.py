"""How well a network's heatmaps find what radiologists boxed: the record, in full and in short."""

from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from chestxray14.files.metrics import Count, Share
from chestxray14.scoring.evaluation import Estimate

Rate = Annotated[float, Field(ge=0)]
Kind = Literal["IoBB", "IoU"]

THRESHOLDS: dict[Kind, tuple[float, ...]] = {
    "IoBB": (0.1, 0.25, 0.5, 0.75, 0.9),
    "IoU": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
}
"""The thresholds of overlap in tables 19, 4 and 7 of Wang et al. 2017."""

HEADLINES: dict[Kind, str] = {"IoBB": "0.25", "IoU": "0.3"}
"""The thresholds that metrics show."""

MEAN = "mean"
"""Stands for the mean over findings among their names, first of all."""


class _Localized(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, extra="forbid")


class FindingBoxes(_Localized):
    """The boxes of one finding.

    `boxes` are the radiologists', `unlabelled` those whose image lacks the label (188 of NIH's do,
    by the original label file), on the `unlabelled_images`, `called` the annotated images called positive. `predicted` counts
    the network's boxes on images that a radiologist boxed for the finding; `median_area` is
    theirs in % of the image, None where there are none.
    """

    boxes: Count
    unlabelled: Count
    unlabelled_images: list[str]
    called: Count
    predicted: Count
    median_area: Rate | None = None


class Overlap(_Localized):
    """The scores at one threshold of overlap, by finding and as `MEAN` over them.

    `accuracy` is the share of radiologists' boxes that a predicted box hits, `random` what maps of
    noise reach, `centre` what one box in the image's centre does. `afp` are predicted boxes that
    hit nothing, over all radiologists' boxes of the record; the last are the same over its images.
    Both lack a finding for which the network has no threshold, for it is called nowhere.
    """

    accuracy: dict[str, Share]
    random: dict[str, Share]
    centre: dict[str, Share]
    afp: dict[str, Rate]
    false_positives_per_image: dict[str, Rate]


class Pointing(_Localized):
    """Shares of radiologists' boxes, the network's and the baselines', keys as in `Overlap`."""

    accuracy: dict[str, Share]
    random: dict[str, Share]
    centre: dict[str, Share]


class Heat(_Localized):
    """The share of heatmaps inside radiologists' outlines, by finding and as `MEAN` over them.

    `inside` is of the heat, `area` of the image, which a map that knows nothing reaches; both are
    means over the `images` on which the finding is outlined.
    """

    inside: dict[str, Share]
    area: dict[str, Share]
    images: dict[str, Count]


class Shown(_Localized):
    """One picture of a radiograph, its heatmap and the boxes of one finding, `file` by name.

    `iobb` is the best overlap of a predicted box with a radiologist's, a `hit` where it exceeds
    the headline's. `probability` is the network's, uncalibrated.
    """

    file: str
    image: str
    finding: str
    hit: bool
    probability: Share
    iobb: Share


class Localization(_Localized):
    """Everything `localize` says of one network's heatmaps on its annotated test images.

    `method` names what drew them; `grid_px` is the side of the network's cells in 1024-pixel
    coordinates. `boxes` on `images` count, `left_out` are the others, by reason. `iobb` and `iou`
    are by threshold. `pointing` counts boxes that hold the heatmap's maximum, `holds_centre` small
    lesions (Mass and Nodule) whose centre lies in a box of the upper cut: those of the lower one
    may span the whole image. Only findings with a box that counts are scored, and without any
    there is no `MEAN` either. `shown` are the pictures of some hits and misses.
    """

    method: str
    label_version: str
    split_sha256: str
    grid_px: Rate
    images: Count
    boxes: Count
    left_out: dict[str, Count]
    findings: dict[str, FindingBoxes]
    iobb: dict[str, Overlap]
    iou: dict[str, Overlap]
    pointing: Pointing
    holds_centre: Pointing
    found: dict[str, Estimate]
    shown: list[Shown]

    @property
    def overlaps(self) -> dict[Kind, dict[str, Overlap]]:
        """The scores by kind of overlap, then by threshold."""
        return {"IoBB": self.iobb, "IoU": self.iou}


class Outlined(_Localized):
    """localizations/<recipe>/chestx_det.json: the same against ChestX-Det's boxes and outlines."""

    localization: Localization
    heat: Heat


def summarise_outlined(outlined: Outlined) -> dict[str, Any]:
    """Return what fits in a diff, as `summarise_localization` does."""
    return summarise_localization(outlined.localization) | {"heat": _means(outlined.heat)}


def summarise_localization(localization: Localization) -> dict[str, Any]:
    """Return what fits in a diff: counts, median areas, means over the findings at `HEADLINES`.

    Without any box that counts, the counts alone.
    """
    summary: dict[str, Any] = localization.model_dump(
        include={
            *("method", "label_version", "split_sha256"),
            *("grid_px", "images", "boxes", "left_out"),
        }
    )
    if not localization.boxes:
        return summary
    means = {
        "iobb": {HEADLINES["IoBB"]: localization.iobb[HEADLINES["IoBB"]]},
        "iou": {HEADLINES["IoU"]: localization.iou[HEADLINES["IoU"]]},
    }
    areas = {name: finding.median_area for name, finding in localization.findings.items()}
    return summary | {
        "median_area": {name: area for name, area in areas.items() if area is not None},
        **{
            kind: {threshold: _means(scores) for threshold, scores in at.items()}
            for kind, at in means.items()
        },
        "pointing": _means(localization.pointing),
    }


def tabulate_overlaps(localization: Localization) -> pd.DataFrame:
    """Return a row for each overlap (`IoBB`, `IoU`), threshold, and finding or `MEAN`.

    Columns: overlap, threshold, finding, boxes, accuracy, random, centre, afp and
    false_positives_per_image, as in `Overlap`.
    """
    boxes = {name: finding.boxes for name, finding in localization.findings.items()}
    boxes[MEAN] = localization.boxes
    rows = [
        {
            "overlap": overlap,
            "threshold": float(threshold),
            "finding": finding,
            "boxes": boxes[finding],
            **{name: values.get(finding) for name, values in scores},
        }
        for overlap, at in localization.overlaps.items()
        for threshold, scores in at.items()
        for finding in scores.accuracy
    ]
    head = ["overlap", "threshold", "finding", "boxes"]
    return pd.DataFrame(rows, columns=[*head, *Overlap.model_fields])


def _means(scores: Overlap | Pointing | Heat) -> dict[str, float]:
    return {name: values[MEAN] for name, values in scores if MEAN in values}
