"""Heatmaps against the radiologists' boxes, after Wang et al. 2017.

Boxes come from heatmaps by `boxes.find_boxes`. Overlap has to exceed a threshold, strictly.

* A radiologist's box is hit by any predicted box of its finding. The finding's heatmap is taken on
  every image with such a box, whether the network calls the finding present there or not.
* A false positive is a predicted box that hits no radiologist's box of its finding, on any
  annotated image the network calls positive for it, boxed for it or not. Wang et al. do not say
  which images they take.

Two baselines go through the same functions: maps of noise, and one box in the image's centre.
"""

import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chestxray14.base.draws import generator
from chestxray14.base.findings import BOXED_FINDINGS
from chestxray14.base.scores import DIGITS
from chestxray14.data.boxes import SIDES
from chestxray14.files.packed import IMAGE_PX
from chestxray14.localization.boxes import (
    CUTS,
    NO_BOXES,
    Boxes,
    Heatmap,
    find_boxes,
    find_peak,
    hold,
    iobb,
    iou,
)
from chestxray14.localization.record import (
    MEAN,
    THRESHOLDS,
    FindingBoxes,
    Kind,
    Localization,
    Overlap,
    Pointing,
    Shown,
)

SMALL = ("Mass", "Nodule")
"""Findings about as small as a cell, where holding the lesion's centre says more than overlap."""

NOISE_DRAWS = 10
"""Maps of noise for each heatmap: with one alone, few boxes would have a baseline by luck."""

CENTRE: Boxes = np.array([[0.25, 0.25, 0.5, 0.5]]) * IMAGE_PX
"""The centre baseline, half the image's side: a round number, fitted to no box."""


@dataclass(frozen=True)
class Case:
    """One finding on one annotated image.

    `drawn` are the radiologists' boxes, often none; `found` are the network's, `hot` those of the
    upper cut alone, and `peak` is where its heatmap is highest. `probability` is the network's,
    `called` says whether it calls the finding present, None where it has no threshold, `labelled`
    whether the image's label does.
    """

    image: str
    finding: str
    drawn: Boxes
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
    and a finding is called present from its one of k `thresholds` on. Maps that no score asks for, neither boxed nor called, are not searched.
    """
    drawn = {
        key: group[list(SIDES)].to_numpy() for key, group in boxes.groupby(["image", "finding"])
    }
    cases = []
    for i, image in enumerate(images):
        for k, finding in enumerate(findings):
            threshold = thresholds[k]
            called = None if threshold is None else bool(probabilities[i, k] >= threshold)
            asked = called or (image, finding) in drawn
            cases.append(
                Case(
                    image=image,
                    finding=finding,
                    drawn=drawn.get((image, finding), NO_BOXES),
                    found=find_boxes(heatmaps[i, k]) if asked else NO_BOXES,
                    hot=find_boxes(heatmaps[i, k], cuts=CUTS[1:]) if asked else NO_BOXES,
                    peak=find_peak(heatmaps[i, k]) if asked else (np.nan, np.nan),
                    probability=float(probabilities[i, k]),
                    called=called,
                    labelled=bool(labelled[i, k]),
                )
            )
    return cases


def score_cases(
    cases: Sequence[Case],
    *,
    method: str,
    label_version: str,
    split_sha256: str,
    grid_px: float,
    resolution: int,
    left_out: Mapping[str, int],
    seed: int,
    shown: Sequence[Shown],
) -> Localization:
    """Return every score of one network's heatmaps, rounded to `DIGITS`.

    `cases` are every annotated test image with every boxed finding that the network predicts.
    Noise has cells of `grid_px`, is enlarged to `resolution` as the heatmaps are, and depends on
    `seed`, image and finding, so that networks of one grid meet the same noise. `shown` goes into
    the record as it is.
    """
    boxed = [case for case in cases if len(case.drawn)]
    noise = put_noise(boxed, cells=round(IMAGE_PX / grid_px), resolution=resolution, seed=seed)
    middle = (IMAGE_PX / 2, IMAGE_PX / 2)
    drawn = {
        "accuracy": _measure_drawn(boxed),
        "random": _measure_drawn(noise),
        "centre": _measure_drawn(
            replace(case, found=CENTRE, hot=CENTRE, peak=middle) for case in boxed
        ),
    }
    found = _measure_found(cases)
    images = len({case.image for case in cases})
    judged = {case.finding for case in cases if case.called is not None}
    at = {
        kind: {
            str(threshold): _score_overlap(
                kind, threshold, drawn=drawn, found=found, judged=judged, images=images
            )
            for threshold in thresholds
        }
        for kind, thresholds in THRESHOLDS.items()
    }
    pointing = {who: _average(_share(table, table["pointed"])) for who, table in drawn.items()}
    small = {who: table[table["finding"].isin(SMALL)] for who, table in drawn.items()}
    held = {who: _rounded(_share(table, table["held"])) for who, table in small.items()}
    return Localization(
        method=method,
        label_version=label_version,
        split_sha256=split_sha256,
        grid_px=round(grid_px, DIGITS),
        images=images,
        boxes=len(drawn["accuracy"]),
        left_out=dict(left_out),
        findings=_describe(cases, found),
        iobb=at["IoBB"],
        iou=at["IoU"],
        pointing=Pointing(**pointing),
        holds_centre=Pointing(**held),
        shown=list(shown),
    )


def put_noise(cases: Iterable[Case], *, cells: int, resolution: int, seed: int) -> Iterator[Case]:
    """Yield `NOISE_DRAWS` of each case, with what maps of uniform noise find in place of its own.

    Noise of `cells` a side is enlarged bilinearly to (resolution, resolution).
    """
    for case in cases:
        name = zlib.crc32(f"{case.image}/{case.finding}".encode())
        for draw in range(NOISE_DRAWS):
            noise = generator(seed, name, draw).random((cells, cells))
            heatmap = enlarge(noise, resolution)
            yield replace(
                case,
                found=find_boxes(heatmap),
                hot=find_boxes(heatmap, cuts=CUTS[1:]),
                peak=find_peak(heatmap),
            )


def enlarge(cells: Heatmap, resolution: int) -> NDArray[np.float64]:
    """Return a map (g, g) enlarged bilinearly to (resolution, resolution).

    Cells have their values in their middles and the outermost ones go on to the edge, as in
    PyTorch's `interpolate` without `align_corners`.
    """
    middles = (np.arange(resolution) + 0.5) * len(cells) / resolution - 0.5
    places = np.clip(middles, 0, len(cells) - 1)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(len(cells))))
    enlarged: NDArray[np.float64] = weights @ cells @ weights.T
    return enlarged


def _measure_drawn(cases: Iterable[Case]) -> pd.DataFrame:
    """Return a row for each radiologist's box: its best overlaps, and which points hit.

    Columns: finding, IoBB and IoU (0 where nothing is found), pointed (it holds the heatmap's
    maximum), held (a hot box holds its centre).
    """
    rows = []
    for case in cases:
        best = (
            iobb(case.found, case.drawn).max(axis=0, initial=0),
            iou(case.found, case.drawn).max(axis=0, initial=0),
        )
        pointed = hold(case.drawn, np.array([case.peak]))[:, 0]
        middles = case.drawn[:, :2] + case.drawn[:, 2:] / 2
        held = np.logical_or.reduce(hold(case.hot, middles), axis=0)
        rows += [(case.finding, *values) for values in zip(*best, pointed, held, strict=True)]
    table = pd.DataFrame(rows, columns=["finding", "IoBB", "IoU", "pointed", "held"])
    return table.astype({"IoBB": float, "IoU": float, "pointed": bool, "held": bool})


def _measure_found(cases: Iterable[Case]) -> pd.DataFrame:
    """Return a row for each predicted box: its best overlaps with any radiologist's.

    Columns: finding, called and boxed (those of its image), area (% of the image), IoBB and IoU.
    """
    rows = []
    for case in cases:
        state = (case.finding, bool(case.called), len(case.drawn) > 0)
        area = 100 * case.found[:, 2:].prod(axis=1) / IMAGE_PX**2
        best = (
            iobb(case.found, case.drawn).max(axis=1, initial=0),
            iou(case.found, case.drawn).max(axis=1, initial=0),
        )
        rows += [(*state, *values) for values in zip(area, *best, strict=True)]
    table = pd.DataFrame(rows, columns=["finding", "called", "boxed", "area", "IoBB", "IoU"])
    numbers = dict.fromkeys(("area", "IoBB", "IoU"), float)
    return table.astype({"called": bool, "boxed": bool, **numbers})


def _score_overlap(
    kind: Kind,
    threshold: float,
    *,
    drawn: Mapping[str, pd.DataFrame],
    found: pd.DataFrame,
    judged: Collection[str],
    images: int,
) -> Overlap:
    shares = {who: _share(table, table[kind] > threshold) for who, table in drawn.items()}
    false = found["finding"][found["called"] & ~(found[kind] > threshold)].value_counts()
    number = false.reindex([f for f in shares["accuracy"].index if f in judged], fill_value=0)
    return Overlap(
        **{who: _average(share) for who, share in shares.items()},
        afp=_average(number / len(drawn["accuracy"])),
        false_positives_per_image=_average(number / images),
    )


def _describe(cases: Sequence[Case], found: pd.DataFrame) -> dict[str, FindingBoxes]:
    described = {}
    for finding in BOXED_FINDINGS:
        own = [case for case in cases if case.finding == finding]
        boxes = sum(len(case.drawn) for case in own)
        area = found["area"][(found["finding"] == finding) & found["boxed"]]
        if boxes:
            described[finding] = FindingBoxes(
                boxes=boxes,
                unlabelled=sum(len(case.drawn) for case in own if not case.labelled),
                unlabelled_images=sorted(
                    {case.image for case in own if len(case.drawn) and not case.labelled}
                ),
                called=sum(bool(case.called) for case in own),
                predicted=len(area),
                median_area=round(float(area.median()), DIGITS) if len(area) else None,
            )
    return described


def _share(table: pd.DataFrame, hit: "pd.Series[bool]") -> "pd.Series[float]":
    """Return the share of a table's boxes that are hit, by finding in the order of Wang et al."""
    share = hit.astype(float).groupby(table["finding"]).mean()
    return share.reindex([finding for finding in BOXED_FINDINGS if finding in share.index])


def _average(values: "pd.Series[float]") -> dict[str, float]:
    """Return the mean over findings and the value of each; nothing of nothing."""
    mean = {MEAN: round(float(values.mean()), DIGITS)} if len(values) else {}
    return mean | _rounded(values)


def _rounded(values: "pd.Series[float]") -> dict[str, float]:
    return {str(finding): round(float(value), DIGITS) for finding, value in values.items()}
