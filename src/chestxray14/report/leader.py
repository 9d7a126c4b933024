"""The sections about the leading network: decisions, calibration, groups, boxes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from chestxray14.files.predictions import Predicted
from chestxray14.localization.record import HEADLINES, MEAN, Localization
from chestxray14.report import curves, figures
from chestxray14.report.figures import Dot
from chestxray14.report.results import Run
from chestxray14.report.sections import Facts, Told
from chestxray14.report.tables import count_words
from chestxray14.scoring.claims import suffice
from chestxray14.scoring.evaluation import Attribute, Calibration, Estimate, Gap


def describe_decisions(told: Told) -> Facts | None:
    """Return what is taken for what at Youden's threshold; None without one, or of a leak."""
    thresholds = told.leader.evaluation.youden
    if told.leader.leaky or not thresholds:
        return None
    wrong, anyway = count_wrong_calls(told.test, thresholds)
    return {
        "figure": figures.draw_matrix(wrong, findings=list(thresholds)),
        "confused": find_confused(told.test, wrong, anyway, findings=list(thresholds)),
    }


def count_wrong_calls(
    test: Predicted, thresholds: Mapping[str, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return which share of the images with one finding and without another is called the other.

    (k, k) by label, then by call, at the k thresholds; on the diagonal stands which share of the
    images with the finding is called so. After it the same of all images without the other, (k,).
    NaN where there is no such image.
    """
    labels, scores = test.labels(list(thresholds)), test.scores(list(thresholds))
    calls = scores >= list(thresholds.values())
    with_it, without = (labels == 1).astype(float), (labels == 0).astype(float)
    with np.errstate(invalid="ignore"):
        wrong: NDArray[np.float64] = (with_it.T @ (without * calls)) / (with_it.T @ without)
        np.fill_diagonal(wrong, (with_it * calls).sum(axis=0) / with_it.sum(axis=0))
        anyway: NDArray[np.float64] = (without * calls).sum(axis=0) / without.sum(axis=0)
    return wrong, anyway


def find_confused(
    test: Predicted,
    wrong: NDArray[np.float64],
    anyway: NDArray[np.float64],
    *,
    findings: Sequence[str],
) -> tuple[str, str, float, float] | None:
    """Return the label and the wrong call that go together most beyond how often that is called.

    After them the shares of both, as `count_wrong_calls`. Pairs of too few patients, which would be
    chosen for being few, are passed over; None where no other wrong call is more frequent than anyway.
    """
    labels = test.labels(findings)
    beyond = np.nan_to_num(wrong - anyway)
    np.fill_diagonal(beyond, 0)
    for place in np.argsort(-beyond, axis=None):
        row, column = divmod(int(place), len(findings))
        if beyond[row, column] <= 0:
            break
        asked = (labels[:, row] == 1) & (labels[:, column] == 0)
        if suffice(test.known["patient"][asked].nunique()):
            shares = float(wrong[row, column]), float(anyway[column])
            return findings[row], findings[column], *shares
    return None


def describe_calibration(told: Told) -> Facts | None:
    """Return mean errors of all in the ranking, before and after Platt; None of a leak."""
    leader = told.leader
    if leader.leaky:
        return None
    calibrations = [leader.evaluation.findings[finding].calibration for finding in leader.findings]
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
        "slopes": [each.slope for each in calibrations if each.slope],
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
    dots: list[Dot] = []
    for attribute, found in attributes.items():
        scored = [Dot(name, group.macro) for name, group in found.groups.items() if group.macro]
        if len(scored) > 1:
            heading = f"{attribute}, {count_words(len(found.shared), 'finding')}"
            dots += [Dot(heading, None, "heading"), *scored]
    gaps = [gap for found in attributes.values() for gap in list_gaps(found)]
    about = "macro AUROC over the findings that all groups score"
    return {
        "figure": figures.draw_intervals(dots, about=about) if dots else None,
        "gaps": sort_gaps(gaps),
        "alike": len(gaps),
        "too_few": [name for found in attributes.values() for name in found.too_few],
        "absent": [attribute for attribute, found in attributes.items() if not found.groups],
    }


def list_gaps(attribute: Attribute) -> Iterator[tuple[str, str, Gap]]:
    """Yield findings, groups and gaps; of two groups the one that is worse off, as theirs are one gap."""
    for finding in {name: None for group in attribute.groups.values() for name in group.tpr_gap}:
        gaps = {
            name: group.tpr_gap[finding]
            for name, group in attribute.groups.items()
            if finding in group.tpr_gap
        }
        worst = min(gaps, key=lambda name: gaps[name].value)
        for name in gaps if len(gaps) > 2 else [worst]:
            yield finding, name, gaps[name]


def sort_gaps(gaps: Iterable[tuple[str, str, Gap]]) -> list[tuple[str, str, Gap]]:
    """Return gaps by the bound nearest 0, the surest first, without those that have none.

    Sorted by size, small groups would come first.
    """

    def nearest(each: tuple[str, str, Gap]) -> float:
        _, _, gap = each
        return -(gap.low or 0) if gap.value > 0 else gap.high or 0

    return sorted((each for each in gaps if each[2].low is not None), key=nearest)


def describe_boxes(told: Told) -> Facts | None:
    """Return which boxes recipes find, and what was published; None without any.

    Figures are of the leader, or of the first of all recipes that is tested on boxed images.
    """
    runs = [standing.run for ranking in told.rankings for standing in ranking.standings]
    runs = [run for run in runs if run.boxes and not run.leaky]
    if not runs:
        return None
    shown = runs[0]
    return {
        "runs": runs,
        "outlined": any("ChestX-Det" in run.boxes for run in runs),
        "figures": [
            _draw_boxes(found, label=shown.label, whose=f"{by}'s " if shown.outlined else "")
            for by, found in shown.boxes.items()
        ],
        "theirs": [
            (run, theirs)
            for run in runs
            if (theirs := told.published.comparable_boxes(run, told.results.prepared))
        ],
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
