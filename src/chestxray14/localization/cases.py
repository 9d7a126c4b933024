"""What a heatmap and the radiologists say of one finding on one annotated image."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chestxray14.base.errors import InputError, name_some
from chestxray14.data.boxes import SIDES
from chestxray14.files.heatmaps import Heatmaps, lay_out
from chestxray14.localization.boxes import (
    NO_BOXES,
    Boxes,
    Heatmap,
    find_boxes,
    find_peak,
)

CELLS = 128
"""Cells a side of a heatmap of the whole image: 8 pixels of 1024 each."""


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


@dataclass(frozen=True)
class Annotated:
    """Annotated test images with the maps (n, k, CELLS, CELLS) of k findings, and their cases."""

    images: list[str]
    findings: list[str]
    maps: NDArray[np.float32]
    cases: list[Case]


def annotate(
    heatmaps: Heatmaps,
    boxes: pd.DataFrame,
    *,
    images: Iterable[str],
    findings: Iterable[str],
    index: pd.DataFrame,
    probabilities: pd.DataFrame,
    thresholds: Mapping[str, float],
) -> Annotated:
    """Lay out the maps of annotated images and hold them against their boxes.

    Of the findings those that the network maps. `index` says what is known of all images,
    `probabilities` are by image, `thresholds` by finding, where there is one. Raises `InputError` as
    `lay_out_images` does.
    """
    known = index[index["image"].isin(images)].set_index("image")
    names = known.index.tolist()
    mapped = [finding for finding in findings if finding in heatmaps.findings]
    maps = lay_out_images(heatmaps, names, findings=mapped)
    cases = make_cases(
        maps,
        images=names,
        findings=mapped,
        boxes=boxes,
        probabilities=probabilities.loc[names, mapped].to_numpy(),
        thresholds=[thresholds.get(finding) for finding in mapped],
        labelled=known[mapped].to_numpy() > 0,
    )
    return Annotated(names, mapped, maps, cases)


def lay_out_images(
    heatmaps: Heatmaps, names: Sequence[str], *, findings: Sequence[str]
) -> NDArray[np.float32]:
    """Return the maps (n, k, CELLS, CELLS) of k findings in n named images.

    Raises `InputError` when `predict` drew none of an image.
    """
    places = {image: i for i, image in enumerate(heatmaps.images)}
    if missing := [name for name in names if name not in places]:
        raise InputError(
            f"no heatmap of {len(missing):,} annotated test images: {name_some(missing)}; "
            "run the predict stage again"
        )
    columns = [heatmaps.findings.index(finding) for finding in findings]
    maps = np.empty((len(names), len(findings), CELLS, CELLS), dtype=np.float32)
    for i, name in enumerate(names):
        coarse = heatmaps.maps[places[name]][:, columns]
        maps[i] = lay_out(coarse, heatmaps.geometry, cells=CELLS)
    return maps
