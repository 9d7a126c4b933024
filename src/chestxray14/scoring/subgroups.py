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

from chestxray14.base.scores import rank_auroc
from chestxray14.scoring.bootstrap import Resamples, bootstrap_findings, bootstrap_sums
from chestxray14.scoring.claims import estimate, interval, suffice
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
) -> dict[str, Attribute]:
    """Return the scores of each group of test images, by attribute.

    `labels` and `probabilities` are (n, len(findings)) and `resamples` is the draws of the n rows of
    `table`. A group scores a finding with `claims.AT_LEAST` patients with an image that shows it and
    as many with one that does not; one that scores none is named and does without a mean. A true
    positive rate at `thresholds` takes as many patients with the finding; the gap is the rate less the
    other, or less the median where more than two groups have a rate. Groups without an image are
    left out.
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
        scored = {name: _list_scored(member) for name, member in members.items()}
        sets = [set(places) for places in scored.values() if places]
        shared = sorted(set.intersection(*sets)) if sets else []
        gaps = _tpr_gaps(members, findings=findings, thresholds=thresholds or {})
        compared[attribute] = Attribute(
            shared=tuple(findings[i] for i in shared),
            too_few=tuple(name for name, places in scored.items() if not places),
            unknown=int(names.isna().sum()),
            groups={
                name: Subgroup(
                    images=len(member.rows),
                    patients=int(table["patient"].iloc[member.rows].nunique()),
                    macro=_average(member, shared) if shared and scored[name] else None,
                    tpr_gap=gaps[name],
                )
                for name, member in members.items()
            },
        )
    return compared


def _order(column: "pd.Series[Any]", groups: Sequence[str]) -> "pd.Series[Any]":
    return column.astype(pd.CategoricalDtype(list(groups)))


def _list_scored(member: _Member) -> list[int]:
    """Return the places of the findings that a group has enough patients for."""
    counts = [member.resamples.count_rarer(column) for column in member.labels.T]
    return [place for place, patients in enumerate(counts) if suffice(patients)]


def _average(member: _Member, places: Sequence[int]) -> Estimate:
    """Return the mean AUROC over some findings."""
    labels, given = member.labels[:, places], member.probabilities[:, places]
    values = [rank_auroc(*columns) for columns in zip(labels.T, given.T, strict=True)]
    draws, _ = bootstrap_findings(labels, given, member.resamples)
    return estimate(float(np.mean(values)), draws.mean(axis=1), enough=True)


def _tpr_gaps(
    members: Mapping[str, _Member], *, findings: Sequence[str], thresholds: Mapping[str, float]
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
            if suffice(member.resamples.count_patients(shown)):
                hits = shown & (member.probabilities[:, i] >= thresholds[finding])
                counts = np.column_stack([hits, shown])
                sums = np.vstack([counts.sum(axis=0), bootstrap_sums(counts, member.resamples)])
                with np.errstate(invalid="ignore"):
                    rates[name] = sums[:, 0] / sums[:, 1]
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
