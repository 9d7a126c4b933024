"""The sections about the leading network: decisions, calibration, groups, boxes."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from chestxray14.files.predictions import Predicted
from chestxray14.localization.record import HEADLINES, MEAN, Localization
from chestxray14.report import curves, figures
from chestxray14.report.figures import Dot
from chestxray14.report.results import Run
from chestxray14.report.sections import Facts, Told
from chestxray14.scoring.evaluation import Calibration, Estimate, Gap


def describe_decisions(told: Told) -> Facts | None:
    """Return what is taken for what at Youden's threshold; None without one, or of a leak."""
    thresholds = told.leader.evaluation.youden
    if told.leader.leaky or not thresholds:
        return None
    findings = list(thresholds)
    matrix = count_matrix(told.test, thresholds)
    calls = (told.test.scores(findings) >= list(thresholds.values())).mean(axis=0)
    return {
        "figure": figures.draw_matrix(matrix, findings=findings),
        "confused": _confuse(matrix, calls, findings) if len(findings) > 1 else None,
    }


def count_matrix(test: Predicted, thresholds: Mapping[str, float]) -> NDArray[np.float64]:
    """Return which share of the images labelled with a finding is called another, (k, k).

    By label, then by call, at the k thresholds; NaN where no image has the label.
    """
    labels = (test.labels(list(thresholds)) == 1).astype(float)
    calls = (test.scores(list(thresholds)) >= list(thresholds.values())).astype(float)
    with np.errstate(invalid="ignore"):
        shares: NDArray[np.float64] = (labels.T @ calls) / labels.sum(axis=0)[:, None]
    return shares


def _confuse(
    matrix: NDArray[np.float64], calls: NDArray[np.float64], findings: Sequence[str]
) -> tuple[str, str, float, float]:
    """Return the label and another call that go together most beyond how often that is called.

    After them which share of the images with the label is called so, and of all, as in `calls`.
    """
    beyond = np.nan_to_num(matrix - calls, nan=-1.0)
    np.fill_diagonal(beyond, -1)
    row, column = map(int, np.unravel_index(np.argmax(beyond), beyond.shape))
    return findings[row], findings[column], float(matrix[row, column]), float(calls[column])


def describe_calibration(told: Told) -> Facts | None:
    """Return mean errors of all in the ranking, before and after Platt; None of a leak."""
    leader = told.leader
    if leader.leaky:
        return None
    calibrations = [leader.evaluation.findings[finding].calibration for finding in leader.findings]
    slopes = [each.slope for each in calibrations if each.slope]
    return {
        "figure": curves.draw_lines(
            {
                str(name): (points["predicted"], points["observed"])
                for name, points in leader.curves["reliability"].groupby("calibration", sort=False)
            },
            axes_names=("predicted", "observed"),
            diagonal=True,
        ),
        "runs": [(s.run, *_average_calibration(s.run)) for s in told.first.standings],
        "slopes": slopes,
        "slope": median(slope.value for slope in slopes) if slopes else None,
    }


def _average_calibration(run: Run) -> tuple[dict[str, float], dict[str, float] | None]:
    """Return the mean errors over the findings, and after Platt where every finding has it."""

    def average(found: list[Calibration]) -> dict[str, float]:
        return {
            "ece": fmean(each.ece for each in found),
            "floor": fmean(each.ece_floor for each in found),
            "brier": fmean(each.brier.value for each in found),
        }

    scored = [run.evaluation.findings[finding] for finding in run.findings]
    after = [each.calibrated.calibration for each in scored if each.calibrated]
    before = average([each.calibration for each in scored])
    return before, average(after) if len(after) == len(scored) else None


def describe_groups(told: Told) -> Facts | None:
    """Return whom the leader works for less well; None of a leak, and where nothing is known."""
    attributes = told.leader.evaluation.subgroups
    if told.leader.leaky or not attributes:
        return None
    dots = [
        dot
        for attribute, found in attributes.items()
        if sum(group.macro is not None for group in found.groups.values()) > 1
        for dot in (
            Dot(f"{attribute}, {len(found.shared)} findings", None, "heading"),
            *(Dot(name, group.macro) for name, group in found.groups.items() if group.macro),
        )
    ]
    gaps = sort_gaps(
        (finding, name, gap)
        for found in attributes.values()
        for name, group in found.groups.items()
        for finding, gap in group.tpr_gap.items()
    )
    about = "macro AUROC over the findings that all groups score"
    return {
        "figure": figures.draw_intervals(dots, lines={"chance": 0.5}, about=about)
        if dots
        else None,
        "gaps": gaps,
        "too_few": [name for found in attributes.values() for name in found.too_few],
        "absent": [attribute for attribute, found in attributes.items() if not found.groups],
    }


def sort_gaps(gaps: Iterable[tuple[str, str, Gap]]) -> list[tuple[str, str, Gap]]:
    """Return gaps by the bound nearest 0, the surest first, without those that have none.

    Sorted by size, small groups would come first.
    """

    def nearest(each: tuple[str, str, Gap]) -> float:
        _, _, gap = each
        return -(gap.low or 0) if gap.value > 0 else gap.high or 0

    return sorted((each for each in gaps if each[2].low is not None), key=nearest)


def describe_boxes(told: Told) -> Facts | None:
    """Return which boxes the leader finds, and what was published; None of a leak or without any."""
    leader = told.leader
    if leader.leaky or not leader.boxes:
        return None
    return {
        "figures": [
            _draw_boxes(found, label=leader.label, whose=f"{by}'s " if leader.outlined else "")
            for by, found in leader.boxes.items()
        ],
        "theirs": told.published.comparable_boxes(leader, told.results.prepared),
    }


def _draw_boxes(found: Localization, *, label: str, whose: str) -> Figure:
    headline = found.iobb[HEADLINES["IoBB"]]
    series = {
        label: found.found,
        "noise": {name: Estimate(value=share) for name, share in headline.random.items()},
        "box in the centre": {
            name: Estimate(value=share) for name, share in headline.centre.items()
        },
    }
    findings = [name for name in found.found if name != MEAN]
    about = f"share of {whose}boxes found, IoBB > {HEADLINES['IoBB']}"
    return figures.draw_by_finding(series, findings=findings, about=about)
