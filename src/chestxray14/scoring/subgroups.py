"""Whom a network works for less well: scores by sex, age, view and study.

Age bands and the gap in true positive rate after Seyyed-Kalantari et al., PSB 2021 (CheXclusion,
arXiv:2003.00827).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from chestxray14.base.scores import auroc
from chestxray14.scoring.bootstrap import (
    Resamples,
    bootstrap_findings,
    bootstrap_sensitivity,
    estimate,
    interval,
)
from chestxray14.scoring.evaluation import Attribute, Estimate, Gap, Subgroup

# In words, since the letters F and M stand beside findings and views in a report.
SEXES = {"F": "women", "M": "men"}
AGES = ("under 20", "20 to 39", "40 to 59", "60 to 79", "80 and over")
VIEWS = ("PA", "AP")
STUDIES = ("first study", "follow-up")


def group_images(table: pd.DataFrame) -> "dict[str, pd.Series[Any]]":
    """Return the group of each row by attribute: sex, age, view and study.

    `table` is as of `labels.read_labels`. Groups are categories in the order a reader expects,
    NaN where the attribute is unknown. Ages are in years; 19.9 is still under 20.
    """
    years = [0, 20, 40, 60, 80, np.inf]
    study = pd.Series(np.where(table["follow_up"] == 0, *STUDIES), index=table.index)
    study = study.where(table["follow_up"].notna())
    return {
        "sex": _order(table["sex"].map(SEXES), tuple(SEXES.values())),
        "age": pd.cut(table["age"], years, right=False, labels=list(AGES)),
        "view": _order(table["view"], VIEWS),
        "study": _order(study, STUDIES),
    }


@dataclass(frozen=True)
class _Member:
    """One group: its rows of the table, and what there is of them."""

    rows: NDArray[np.intp]
    labels: NDArray[Any]
    probabilities: NDArray[np.float64]
    resamples: Resamples


def compare_groups(
    table: pd.DataFrame,
    labels: ArrayLike,
    probabilities: ArrayLike,
    resamples: Resamples,
    *,
    findings: Sequence[str],
    thresholds: Mapping[str, float] | None,
    at_least: int,
) -> dict[str, Attribute]:
    """Return the scores of each group of test images, by attribute.

    `labels` and `probabilities` are (n, len(findings)) and `resamples` is the draws of the n rows of
    `table`. A finding is scored in a group with `at_least` patients with an image that shows it and
    `at_least` with one that does not. A true positive rate at `thresholds` takes `at_least`
    patients with an image that shows it; the gap is the rate less the other, or less the median
    where more than two groups have a rate. Groups without an image are left out.
    """
    truth = np.asarray(labels)
    given = np.asarray(probabilities, dtype=np.float64)
    compared = {}
    for attribute, names in group_images(table).items():
        members = {
            str(name): _Member(rows, truth[rows], given[rows], resamples.restrict(rows))
            for name in names.cat.categories
            if len(rows := np.flatnonzero(names == name))
        }
        # The macro average waits for all groups: it is over the findings that they share.
        values: dict[str, dict[str, float]] = {}
        draws: dict[str, dict[str, NDArray[np.float64]]] = {}
        for name, member in members.items():
            values[name], draws[name] = _score(member, findings=findings, at_least=at_least)
        shared = tuple(
            finding
            for finding in findings
            if values and all(finding in scored for scored in values.values())
        )
        gaps = _tpr_gaps(
            members, findings=findings, thresholds=thresholds or {}, at_least=at_least
        )
        compared[attribute] = Attribute(
            shared=shared,
            unknown=int(names.isna().sum()),
            groups={
                name: Subgroup(
                    images=len(member.rows),
                    patients=int(table["patient"].iloc[member.rows].nunique()),
                    auroc=_estimates(values[name], draws[name], shared=shared),
                    too_few=tuple(f for f in findings if f not in values[name]),
                    tpr_gap=gaps[name],
                )
                for name, member in members.items()
            },
        )
    return compared


def _order(column: "pd.Series[Any]", groups: Sequence[str]) -> "pd.Series[Any]":
    return column.astype(pd.CategoricalDtype(list(groups)))


def _score(
    member: _Member, *, findings: Sequence[str], at_least: int
) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
    """Return the AUROC of each finding with enough patients, and that of each draw."""
    enough = [
        i
        for i, known in enumerate(member.labels.T)
        if min(map(member.resamples.count_patients, (known == 1, known == 0))) >= at_least
    ]
    scored = tuple(findings[i] for i in enough)
    labels, probabilities = member.labels[:, enough], member.probabilities[:, enough]
    values = auroc(labels, probabilities, findings=scored)
    draws = bootstrap_findings(labels, probabilities, member.resamples)
    return {f: values[f] for f in scored}, dict(zip(scored, draws.T, strict=True))


def _estimates(
    values: Mapping[str, float],
    draws: Mapping[str, NDArray[np.float64]],
    *,
    shared: Sequence[str],
) -> dict[str, Estimate]:
    """Return each finding with its interval, after their mean over `shared`, if any."""
    found = {f: estimate(values[f], draws[f]) for f in values}
    if not shared:
        return found
    # A draw that lacks one of the findings has no mean: NaN, which the interval leaves out.
    mean = np.mean([draws[f] for f in shared], axis=0)
    return {"macro": estimate(float(np.mean([values[f] for f in shared])), mean), **found}


def _tpr_gaps(
    members: Mapping[str, _Member],
    *,
    findings: Sequence[str],
    thresholds: Mapping[str, float],
    at_least: int,
) -> dict[str, dict[str, Gap]]:
    """Return each group's gap in true positive rate, for findings with a rate in two groups."""
    gaps: dict[str, dict[str, Gap]] = {name: {} for name in members}
    for i, finding in enumerate(findings):
        if finding not in thresholds:
            continue
        # Of each group, the rate and that of each draw: in one array, their gaps are paired.
        rates: dict[str, NDArray[np.float64]] = {}
        for name, member in members.items():
            shown = member.labels[:, i] == 1
            if member.resamples.count_patients(shown) >= at_least:
                calls = member.probabilities[:, i] >= thresholds[finding]
                draws = bootstrap_sensitivity(shown, calls, member.resamples)
                rates[name] = np.concatenate([[calls[shown].mean()], draws])
        if len(rates) < 2:
            continue
        for name, rate in rates.items():
            # The median is over all groups, this one included.
            compared = [rates[other] for other in rates if other != name or len(rates) > 2]
            gap = rate - np.median(compared, axis=0)
            low, high = interval(gap[1:]) or (None, None)
            positives = int(np.count_nonzero(members[name].labels[:, i] == 1))
            gaps[name][finding] = Gap(value=float(gap[0]), low=low, high=high, positives=positives)
    return gaps
