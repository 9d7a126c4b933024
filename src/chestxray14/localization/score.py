"""Heatmaps against the radiologists' boxes, after Wang et al. 2017.

Boxes come from heatmaps by `boxes.find_boxes`. Overlap has to exceed a threshold, strictly.

* A radiologist's box is hit by any predicted box of its finding. The finding's heatmap is taken on
  every image with such a box, whether the network calls the finding present there or not.
* A false positive is a predicted box that hits no radiologist's box of its finding, on any
  annotated image the network calls positive for it, boxed for it or not. Wang et al. do not say
  which images they take.

Two baselines go through the same functions: maps of noise, and one box in the image's centre.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from chestxray14.base.findings import FINDINGS
from chestxray14.base.scores import DIGITS, round_record
from chestxray14.files.packed import IMAGE_PX
from chestxray14.localization.baselines import put_centre, put_noise
from chestxray14.localization.boxes import hold, iobb, iou
from chestxray14.localization.cases import Case
from chestxray14.localization.record import (
    HEADLINES,
    MEAN,
    THRESHOLDS,
    FindingBoxes,
    Kind,
    Localization,
    Overlap,
    Pointing,
    Shown,
)
from chestxray14.scoring.bootstrap import bootstrap_sums, draw_patients
from chestxray14.scoring.claims import estimate, suffice, suffice_for_mean
from chestxray14.scoring.evaluation import Estimate

SMALL = ("Mass", "Nodule")
"""Findings about as small as a cell, where holding the lesion's centre says more than overlap."""


def score_cases(
    cases: Sequence[Case],
    *,
    method: str,
    label_version: str,
    split_sha256: str,
    grid_px: float,
    resolution: int,
    left_out: Mapping[str, int],
    patients: Mapping[str, Any],
    draws: int,
    seed: int,
    shown: Sequence[Shown],
) -> Localization:
    """Return every score of one network's heatmaps, rounded to `DIGITS`.

    `cases` are every annotated test image with every boxed finding that the network predicts.
    Noise has cells of `grid_px`, is enlarged to `resolution` as the heatmaps are, and depends on
    `seed`, image and finding, so that networks of one grid meet the same noise. Intervals are over
    `draws` of the boxed images' `patients`, by image. `shown` goes into the record as it is.
    """
    boxed = [case for case in cases if len(case.truth)]
    noise = put_noise(boxed, cells=round(IMAGE_PX / grid_px), resolution=resolution, seed=seed)
    tables = {
        "accuracy": _measure_truth(boxed),
        "random": _measure_truth(noise),
        "centre": _measure_truth(put_centre(boxed)),
    }
    found = _measure_found(cases)
    images = len({case.image for case in cases})
    judged = {case.finding for case in cases if case.called is not None}
    at = {
        kind: {
            str(threshold): _score_overlap(
                kind, threshold, tables=tables, found=found, judged=judged, images=images
            )
            for threshold in thresholds
        }
        for kind, thresholds in THRESHOLDS.items()
    }
    pointing = {who: _average(_share(table, table["pointed"])) for who, table in tables.items()}
    small = {who: table[table["finding"].isin(SMALL)] for who, table in tables.items()}
    held = {who: _rounded(_share(table, table["held"])) for who, table in small.items()}
    return Localization(
        method=method,
        label_version=label_version,
        split_sha256=split_sha256,
        grid_px=round(grid_px, DIGITS),
        images=images,
        boxes=len(tables["accuracy"]),
        left_out=dict(left_out),
        findings=_describe(cases, found),
        iobb=at["IoBB"],
        iou=at["IoU"],
        pointing=Pointing(**pointing),
        holds_centre=Pointing(**held),
        found=_estimate(tables["accuracy"], patients=patients, draws=draws, seed=seed),
        shown=list(shown),
    )


def _measure_truth(cases: Iterable[Case]) -> pd.DataFrame:
    """Return a row for each radiologist's box: its best overlaps, and which points hit.

    Columns: finding, image, IoBB and IoU (0 where nothing is found), pointed (it holds the heatmap's
    maximum), held (a hot box holds its centre).
    """
    rows = []
    for case in cases:
        best = (
            iobb(case.found, case.truth).max(axis=0, initial=0),
            iou(case.found, case.truth).max(axis=0, initial=0),
        )
        pointed = hold(case.truth, np.array([case.peak]))[:, 0]
        middles = case.truth[:, :2] + case.truth[:, 2:] / 2
        held = np.logical_or.reduce(hold(case.hot, middles), axis=0)
        state = (case.finding, case.image)
        rows += [(*state, *values) for values in zip(*best, pointed, held, strict=True)]
    table = pd.DataFrame(rows, columns=["finding", "image", "IoBB", "IoU", "pointed", "held"])
    return table.astype({"IoBB": float, "IoU": float, "pointed": bool, "held": bool})


def _measure_found(cases: Iterable[Case]) -> pd.DataFrame:
    """Return a row for each predicted box: its best overlaps with any radiologist's.

    Columns: finding, called and boxed (those of its image), area (% of the image), IoBB and IoU.
    """
    rows = []
    for case in cases:
        state = (case.finding, bool(case.called), len(case.truth) > 0)
        area = 100 * case.found[:, 2:].prod(axis=1) / IMAGE_PX**2
        best = (
            iobb(case.found, case.truth).max(axis=1, initial=0),
            iou(case.found, case.truth).max(axis=1, initial=0),
        )
        rows += [(*state, *values) for values in zip(area, *best, strict=True)]
    table = pd.DataFrame(rows, columns=["finding", "called", "boxed", "area", "IoBB", "IoU"])
    numbers = dict.fromkeys(("area", "IoBB", "IoU"), float)
    return table.astype({"called": bool, "boxed": bool, **numbers})


def _score_overlap(
    kind: Kind,
    threshold: float,
    *,
    tables: Mapping[str, pd.DataFrame],
    found: pd.DataFrame,
    judged: Collection[str],
    images: int,
) -> Overlap:
    shares = {who: _share(table, table[kind] > threshold) for who, table in tables.items()}
    false = found["finding"][found["called"] & ~(found[kind] > threshold)].value_counts()
    number = false.reindex([f for f in shares["accuracy"].index if f in judged], fill_value=0)
    return Overlap(
        **{who: _average(share) for who, share in shares.items()},
        afp=_average(number / len(tables["accuracy"])),
        false_positives_per_image=_average(number / images),
    )


def _estimate(
    table: pd.DataFrame, *, patients: Mapping[str, Any], draws: int, seed: int
) -> dict[str, Estimate]:
    """Return the share of boxes found at the headline's IoBB by finding, after their mean."""
    hit = table["IoBB"] > float(HEADLINES["IoBB"])
    values = _share(table, hit)
    if values.empty:
        return {}
    resamples = draw_patients(table["image"].map(patients), draws=draws, seed=seed)
    boxed = np.column_stack([table["finding"] == finding for finding in values.index])
    sums = bootstrap_sums(np.hstack([boxed & hit.to_numpy()[:, None], boxed]), resamples)
    with np.errstate(invalid="ignore"):
        shares = sums[:, : len(values)] / sums[:, len(values) :]
    counts = [resamples.count_patients(column) for column in boxed.T]
    in_all = len(np.unique(resamples.patients))
    found = {
        MEAN: estimate(
            float(values.mean()),
            shares.mean(axis=1),
            enough=suffice_for_mean(counts, in_all=in_all),
        )
    }
    for i, (finding, value) in enumerate(values.items()):
        found[str(finding)] = estimate(float(value), shares[:, i], enough=suffice(counts[i]))
    return {name: round_record(each) for name, each in found.items()}


def _describe(cases: Sequence[Case], found: pd.DataFrame) -> dict[str, FindingBoxes]:
    described = {}
    for finding in FINDINGS:
        own = [case for case in cases if case.finding == finding]
        boxes = sum(len(case.truth) for case in own)
        area = found["area"][(found["finding"] == finding) & found["boxed"]]
        if boxes:
            described[finding] = FindingBoxes(
                boxes=boxes,
                unlabelled=sum(len(case.truth) for case in own if not case.labelled),
                unlabelled_images=sorted(
                    {case.image for case in own if len(case.truth) and not case.labelled}
                ),
                called=sum(bool(case.called) for case in own),
                predicted=len(area),
                median_area=round(float(area.median()), DIGITS) if len(area) else None,
            )
    return described


def _share(table: pd.DataFrame, hit: "pd.Series[bool]") -> "pd.Series[float]":
    """Return the share of a table's boxes that are hit, by finding in the order of Wang et al."""
    share = hit.astype(float).groupby(table["finding"]).mean()
    return share.reindex([finding for finding in FINDINGS if finding in share.index])


def _average(values: "pd.Series[float]") -> dict[str, float]:
    """Return the mean over findings and the value of each; nothing of nothing."""
    mean = {MEAN: round(float(values.mean()), DIGITS)} if len(values) else {}
    return mean | _rounded(values)


def _rounded(values: "pd.Series[float]") -> dict[str, float]:
    return {str(finding): round(float(value), DIGITS) for finding, value in values.items()}
