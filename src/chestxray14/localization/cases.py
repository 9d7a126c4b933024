"""What a heatmap and the radiologists say of one finding on one annotated image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chestxray14.data.boxes import SIDES
from chestxray14.localization.boxes import (
    NO_BOXES,
    Boxes,
    Heatmap,
    find_boxes,
    find_peak,
)


@dataclass(frozen=True)
class Case:
    """One finding on one annotated image.

    `truth` are the radiologists' boxes, often none; `found` are the network's, `hot` those of the
    upper cut alone, and `peak` is where its heatmap is highest. `probability` is the network's,
    `called` says whether it calls the finding present, None where it has no threshold, `labelled`
    whether the image's label does.
    """

    image: str
    finding: str
    truth: Boxes
    found: Boxes
    hot: Boxes
    peak: tuple[float, float]
    probability: float
    called: bool | None
    labelled: bool


def make_cases(
    heatmaps: Heatmap,
    *,
    images: Sequence[str],
    findings: Sequence[str],
    boxes: pd.DataFrame,
    probabilities: NDArray[np.float64],
    thresholds: Sequence[float | None],
    labelled: NDArray[np.bool_],
) -> list[Case]:
    """Return the case of each of n images and k findings, whose `heatmaps` are (n, k, G, G).

    `boxes` are those that count, also of other images; `probabilities` and `labelled` are (n, k),
    and a finding is called present from its one of k `thresholds` on. Maps that no score asks for,
    neither boxed nor called, are not searched.
    """
    truth = {
        key: group[list(SIDES)].to_numpy() for key, group in boxes.groupby(["image", "finding"])
    }
    cases = []
    for i, image in enumerate(images):
        for k, finding in enumerate(findings):
            threshold = thresholds[k]
            called = None if threshold is None else bool(probabilities[i, k] >= threshold)
            asked = called or (image, finding) in truth
            found, hot = find_boxes(heatmaps[i, k]) if asked else (NO_BOXES, NO_BOXES)
            cases.append(
                Case(
                    image=image,
                    finding=finding,
                    truth=truth.get((image, finding), NO_BOXES),
                    found=found,
                    hot=hot,
                    peak=find_peak(heatmaps[i, k]) if asked else (np.nan, np.nan),
                    probability=float(probabilities[i, k]),
                    called=called,
                    labelled=bool(labelled[i, k]),
                )
            )
    return cases
