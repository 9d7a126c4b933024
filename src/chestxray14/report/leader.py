"""The sections about the leading network: decisions, calibration, groups, boxes."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from chestxray14.files.predictions import Predicted
from chestxray14.localization.record import HEADLINES, MEAN
from chestxray14.report import curves, figures
from chestxray14.report.figures import Dot
from chestxray14.report.published import why_boxes_apart
from chestxray14.report.results import Run
from chestxray14.report.sections import Section, Told
from chestxray14.report.tables import NONE, Row, cell, make_table, number
from chestxray14.scoring.evaluation import Bounded, Calibration, Estimate, Gap

RULES = {
    "half": "0.5",
    "youden": "Youden",
    "max_f1": "highest F1",
    "sensitivity": "sensitivity asked for",
}

MOST_GAPS = 10
"""Rows of the table of gaps between groups."""


def describe_decisions(told: Told) -> Section | None:
    """Return what thresholds from validation give on test; None without any, or of a leak."""
    leader, digits = told.leader, told.digits
    points = leader.evaluation.operating_points
    youden = points.get("youden")
    if leader.leaky or not youden:
        return None
    measures = ("sensitivity", "specificity", "precision", "npv", "f1")
    heads = ("Sensitivity", "Specificity", "Precision", "NPV", "F1")
    rules: list[Row] = [
        [head, *(cell(point.macro[measure], digits) for point in points.values())]
        for head, measure in zip(heads, measures, strict=True)
    ]
    rows: list[Row] = [
        [
            *(finding, f"{youden.thresholds[finding]:.3g}"),
            *(cell(getattr(decision, measure), digits) for measure in measures),
            *(f"{decision.true_positives:,}", f"{decision.false_positives:,}"),
            *(f"{decision.false_negatives:,}", f"{decision.true_negatives:,}"),
        ]
        for finding, decision in youden.decisions.items()
    ]
    findings = list(youden.thresholds)
    matrix = count_matrix(told.test, youden.thresholds)
    calls = (told.test.scores(findings) >= list(youden.thresholds.values())).mean(axis=0)
    words = f"Share of the images labelled with one finding that {leader.label} calls another."
    asked = points.get("sensitivity")
    facts = {
        "macro": youden.macro,
        "asked": leader.evaluation.sensitivity,
        "reached": asked.macro["sensitivity"] if asked else None,
        "confused": _confuse(matrix, calls, findings) if len(findings) > 1 else None,
        "sources": [
            (run, told.published.decisions[run.name])
            for run in told.results.runs
            if run.name in told.published.decisions
        ],
    }
    return Section(
        *("decisions", "Decisions", facts),
        (Markup(figures.draw_matrix(matrix, findings=findings, title=words)),),
        (
            make_table(
                "Mean over the findings", ("By the rule", *(RULES[rule] for rule in points)), rules
            ),
            make_table(
                "At Youden's threshold",
                ("Finding", "Threshold", *heads, "Hits", "False alarms", "Missed", "Rejected"),
                rows,
            ),
        ),
    )


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


def describe_calibration(told: Told) -> Section | None:
    """Return whether probabilities mean what they say, before and after Platt's correction."""
    leader, digits = told.leader, told.digits
    if leader.leaky:
        return None
    rows: list[Row] = []
    worse = []
    for standing in told.first.standings:
        before, after = _calibrations(standing.run)
        cells = [number(fmean(c.ece for c in before), 3), _floor(before)]
        cells += [number(fmean(c.ece for c in after), 3), _floor(after)] if after else [NONE] * 2
        briers = [fmean(c.brier.value for c in part) if part else None for part in (before, after)]
        rows.append([standing.run.label, *cells, *(number(value, 4) for value in briers)])
        if after and fmean(c.ece for c in after) >= fmean(c.ece for c in before):
            worse.append(standing.run)
    lines: list[Row] = []
    for finding in leader.findings:
        scores = leader.evaluation.findings[finding]
        pair = [scores.calibration, scores.calibrated.calibration if scores.calibrated else None]
        parts = [part for c in pair for part in ((c.slope, c.intercept) if c else (None, None))]
        brier = cell(scores.calibration.brier, digits + 1)
        lines.append([finding, brier, *(cell(part, digits) for part in parts)])
    before, after = _calibrations(leader)
    slopes = [c.slope for c in before if c.slope]
    facts = {
        "before": fmean(c.ece for c in before),
        "after": fmean(c.ece for c in after) if after else None,
        "floor": fmean(c.ece_floor for c in before),
        "slope": median(slope.value for slope in slopes) if slopes else None,
        "off": sum(not _holds(slope, 1) for slope in slopes),
        "slopes": len(slopes),
        "worse": worse,
        "ranked": [s.run for s in told.first.standings],
    }
    columns = ("Recipe", "ECE", "Its floor", "After Platt", "Floor", "Brier", "Brier after Platt")
    heads = ("Slope", "Intercept", "Slope after Platt", "Intercept after Platt")
    words = f"Predicted and observed shares of {leader.label}, all findings pooled."
    return Section(
        *("calibration", "Calibration", facts),
        (Markup(curves.draw_reliability(leader.curves["reliability"], title=words)),),
        (
            make_table("Expected calibration error, mean over the findings", columns, rows),
            make_table(f"Calibration of {leader.label}", ("Finding", "Brier", *heads), lines),
        ),
    )


def _calibrations(run: Run) -> tuple[list[Calibration], list[Calibration]]:
    """Return the calibration of each finding, and after Platt where every finding has one."""
    scored = [run.evaluation.findings[finding] for finding in run.findings]
    after = [scores.calibrated.calibration for scores in scored if scores.calibrated]
    return [s.calibration for s in scored], after if len(after) == len(scored) else []


def _floor(calibrations: Sequence[Calibration]) -> str:
    return number(fmean(c.ece_floor for c in calibrations), 3)


def _holds(found: Bounded, value: float) -> bool:
    return found.low is not None and found.high is not None and found.low <= value <= found.high


def describe_groups(told: Told) -> Section | None:
    """Return whom the leader works for less well; None where no group is large enough."""
    leader, digits = told.leader, told.digits
    attributes = leader.evaluation.subgroups
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
    if leader.leaky or not attributes:
        return None
    rows: list[Row] = [
        [finding, name, cell(gap, digits), f"{gap.positives:,}"]
        for finding, name, gap in gaps[:MOST_GAPS]
    ]
    drawn: tuple[Markup, ...] = ()
    if dots:
        words = f"Macro AUROC of {leader.label} by group of patients."
        about = "macro AUROC over the findings that all groups score"
        lines = {"chance": 0.5}
        drawn = (Markup(figures.draw_intervals(dots, lines=lines, about=about, title=words)),)
    facts = {
        "surest": gaps[0] if gaps else None,
        "apart": sum(nearest(gap) > 0 for *_, gap in gaps),
        "asked": len(gaps),
        "too_few": [name for found in attributes.values() for name in found.too_few],
        "absent": [attribute for attribute, found in attributes.items() if not found.groups],
    }
    columns = ("Finding", "Group", "Sensitivity less the others'", "Images with it")
    table = make_table("Gaps in sensitivity, the surest first", columns, rows, words=["Group"])
    return Section("groups", "Groups of patients", facts, drawn, (table,) if rows else ())


def nearest(gap: Gap) -> float:
    """Return how far the bound nearest 0 is on a gap's own side, below 0 where 0 is between."""
    if gap.low is None or gap.high is None:
        return -np.inf
    return gap.low if gap.value > 0 else -gap.high


def sort_gaps(gaps: Iterable[tuple[str, str, Gap]]) -> list[tuple[str, str, Gap]]:
    """Return gaps by the bound nearest 0, the surest first, without those that have none.

    Sorted by size, small groups would come first.
    """
    known = [each for each in gaps if each[2].low is not None]
    return sorted(known, key=lambda each: -nearest(each[2]))


def describe_boxes(told: Told) -> Section | None:
    """Return how many boxes the heatmaps find, beside noise and the centre; None without any."""
    leader, digits = told.leader, told.digits
    runs = [s.run for s in told.first.standings if s.run.localization]
    found = leader.localization
    if leader.leaky or not found or not found.boxes:
        return None
    headline = found.iobb[HEADLINES["IoBB"]]
    rows: list[Row] = []
    for run in runs:
        own = run.localization
        if not own or not own.boxes:
            continue
        at = own.iobb[HEADLINES["IoBB"]]
        rows.append(
            [
                *(run.label, f"{own.boxes:,}", cell(own.found[MEAN], digits)),
                *(number(at.random[MEAN], digits), number(at.centre[MEAN], digits)),
                number(own.pointing.accuracy[MEAN], digits),
                *(number(own.pointing.random[MEAN], digits), f"{own.grid_px:.0f} px"),
            ]
        )
    theirs = {}
    for wang in told.published.boxes:
        system = told.published.systems[wang.source]
        reason = why_boxes_apart(
            wang, system, run=leader, prepared=told.results.prepared, found=found
        )
        if reason is None:
            theirs[wang.title] = wang.mean
    shown = {
        leader.label: {f: e for f, e in found.found.items() if f != MEAN},
        "noise": {f: Estimate(value=v) for f, v in headline.random.items() if f != MEAN},
        "box in the centre": {
            f: Estimate(value=v) for f, v in headline.centre.items() if f != MEAN
        },
    }
    drawn = figures.draw_by_finding(
        shown,
        others=[],
        findings=list(shown[leader.label]),
        about=f"share of boxes found, IoBB > {HEADLINES['IoBB']}",
        chance=None,
        title=f"Share of the boxes that {leader.label} finds, beside noise and the centre.",
    )
    columns = (
        *("Recipe", "Boxes", "Found", "Noise", "Centre", "Peak in a box"),
        *("Peak of noise", "Cells of 1024 px"),
    )
    mean = found.found[MEAN]
    facts = {
        "found": mean,
        "boxes": found.boxes,
        "noise": headline.random[MEAN],
        "centre": headline.centre[MEAN],
        "better": mean.low is not None
        and mean.low > max(headline.random[MEAN], headline.centre[MEAN]),
        "theirs": theirs,
        "threshold": HEADLINES["IoBB"],
        "unlabelled": sum(each.unlabelled for each in found.findings.values()),
    }
    table = make_table("Boxes found, mean over the findings", columns, rows)
    return Section("boxes", "Boxes", facts, (Markup(drawn),), (table,))
