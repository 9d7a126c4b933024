"""Whom a network works for less well: scores by sex, age, view and study.

Age bands and the gap in true positive rate after Seyyed-Kalantari et al., PSB 2021 (CheXclusion,
arXiv:2003.00827).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from chestxray14.bootstrap import bootstrap_findings, estimate
from chestxray14.evaluation import Attribute, Estimate, Group
from chestxray14.scores import auroc

# In words, since the letters F and M stand beside findings and views in a report.
SEXES = {"F": "women", "M": "men"}
AGES = ("under 20", "20 to 39", "40 to 59", "60 to 79", "80 and over")
VIEWS = ("PA", "AP")
STUDIES = ("first study", "follow-up")


def group_images(table: pd.DataFrame) -> "dict[str, pd.Series[Any]]":
    """Return the group of each row by attribute: sex, age, view and study.

    `table` is as of `metadata.read_labels`. Groups are categories in the order a reader expects,
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


def compare_groups(
    table: pd.DataFrame,
    labels: ArrayLike,
    probabilities: ArrayLike,
    counts: NDArray[np.uint8],
    *,
    findings: Sequence[str],
    thresholds: Mapping[str, float] | None,
    at_least: int,
) -> dict[str, Attribute]:
    """Return the scores of each group of test images, by attribute.

    `labels` and `probabilities` are (n, len(findings)) and `counts` (n, draws), as of
    `bootstrap.draw_counts`, for the n rows of `table`. A finding is scored in a group with
    `at_least` images that show it and `at_least` that do not. The gap in true positive rate at
    `thresholds` takes `at_least` images that show it: it is the rate less the other group's, or
    less the median over all groups with a rate where an attribute has more than two groups.
    Groups without an image are left out.
    """
    truth: NDArray[np.uint8] = np.asarray(labels).astype(np.uint8)
    given = np.asarray(probabilities, dtype=np.float64)
    compared = {}
    for attribute, names in group_images(table).items():
        members = {
            str(name): rows
            for name in names.cat.categories
            if len(rows := np.flatnonzero(names == name))
        }
        # The macro average waits for all groups: it is over the findings that they share.
        values: dict[str, dict[str, float]] = {}
        draws: dict[str, dict[str, NDArray[np.float64]]] = {}
        for name, rows in members.items():
            values[name], draws[name] = _score(
                truth[rows], given[rows], counts[rows], findings=findings, at_least=at_least
            )
        shared = tuple(
            finding
            for finding in findings
            if values and all(finding in scored for scored in values.values())
        )
        gaps = _tpr_gaps(
            {name: (truth[rows], given[rows]) for name, rows in members.items()},
            findings=findings,
            thresholds=thresholds or {},
            at_least=at_least,
        )
        compared[attribute] = Attribute(
            shared=shared,
            unknown=int(names.isna().sum()),
            groups={
                name: Group(
                    images=len(rows),
                    patients=int(table["patient"].iloc[rows].nunique()),
                    auroc=_estimates(values[name], draws[name], shared=shared),
                    too_few=tuple(f for f in findings if f not in values[name]),
                    tpr_gap=gaps[name],
                )
                for name, rows in members.items()
            },
        )
    return compared


def _order(column: "pd.Series[Any]", groups: Sequence[str]) -> "pd.Series[Any]":
    return column.astype(pd.CategoricalDtype(list(groups)))


def _score(
    labels: NDArray[np.uint8],
    probabilities: NDArray[np.float64],
    counts: NDArray[np.uint8],
    *,
    findings: Sequence[str],
    at_least: int,
) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
    """Return the AUROC of each finding with enough images, and that of each draw."""
    present = labels.sum(axis=0, dtype=np.int64)
    enough = np.flatnonzero(np.minimum(present, len(labels) - present) >= at_least).tolist()
    scored = tuple(findings[i] for i in enough)
    labels, probabilities = labels[:, enough], probabilities[:, enough]
    values = auroc(labels, probabilities, findings=scored)
    draws = bootstrap_findings(labels, probabilities, counts)
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
    members: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.float64]]],
    *,
    findings: Sequence[str],
    thresholds: Mapping[str, float],
    at_least: int,
) -> dict[str, dict[str, float]]:
    """Return each group's gap in true positive rate, for findings with a rate in two groups."""
    gaps: dict[str, dict[str, float]] = {name: {} for name in members}
    for i, finding in enumerate(findings):
        if finding not in thresholds:
            continue
        rates = {
            name: float(np.mean(given[truth[:, i] == 1, i] >= thresholds[finding]))
            for name, (truth, given) in members.items()
            if truth[:, i].sum(dtype=np.int64) >= at_least
        }
        if len(rates) < 2:
            continue
        for name, rate in rates.items():
            # The median is over all groups, this one included.
            compared = [rates[other] for other in rates if other != name or len(members) > 2]
            gaps[name][finding] = rate - float(np.median(compared))
    return gaps
