"""Tables to draw curves from: ROC, precision over recall, reliability."""

import heapq
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from chestxray14.base.scores import DIGITS
from chestxray14.scoring.calibration import bin_reliability
from chestxray14.scoring.ranked import precision_recall_curve, roc_curve

POINTS = 101
"""The most points that a finding's curve is drawn with."""

CLOSE = 0.001
"""The distance from the full curve, in units of its axes, at which points are enough."""

Floats = NDArray[np.float64]
Curve = Callable[[ArrayLike, ArrayLike], tuple[Floats, Floats]]


def roc_table(
    labels: ArrayLike, probabilities: ArrayLike, *, findings: Sequence[str]
) -> pd.DataFrame:
    """Return the ROC curve of each finding, from (0, 0) to (1, 1), at most `POINTS` points each.

    `labels` are zeros and ones, both (n, len(findings)). Columns `finding`,
    `false_positive_rate` and `true_positive_rate`, to four decimals; a finding with one class
    has none. Points are left out where the line between their neighbours is within `CLOSE` of
    them, and the nearest ones first where more than `POINTS` are left.
    """
    columns = ("false_positive_rate", "true_positive_rate")
    return _tabulate(labels, probabilities, findings=findings, curve=roc_curve, columns=columns)


def precision_recall_table(
    labels: ArrayLike, probabilities: ArrayLike, *, findings: Sequence[str]
) -> pd.DataFrame:
    """Return precision over recall of each finding, from recall 0 on, thinned as in `roc_table`.

    Columns `finding`, `recall` and `precision`.
    """
    columns, curve = ("recall", "precision"), precision_recall_curve
    return _tabulate(labels, probabilities, findings=findings, curve=curve, columns=columns)


def reliability_table(
    labels: ArrayLike, calibrations: Mapping[str, ArrayLike], *, bins: int
) -> pd.DataFrame:
    """Return predicted and observed shares over bins of equally many labels, all findings pooled.

    `labels` are zeros and ones (n, k), `calibrations` name the probabilities (n, k), say before
    and after Platt. Columns `calibration`, `predicted`, `observed` and `labels`, their number.
    """
    truth = np.ravel(labels)
    known = ~np.isnan(truth)
    tables = {
        name: bin_reliability(truth[known], np.ravel(given)[known], bins=bins, by="mass").round(
            DIGITS
        )
        for name, given in calibrations.items()
    }
    return pd.concat(tables, names=["calibration"]).reset_index(0).reset_index(drop=True)


def _tabulate(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    findings: Sequence[str],
    curve: Curve,
    columns: tuple[str, str],
) -> pd.DataFrame:
    truth, given = np.asarray(labels), np.asarray(probabilities, np.float64)
    tables = []
    for place, finding in enumerate(findings):
        known = ~np.isnan(truth[:, place])
        present = truth[known, place] == 1
        if present.any() and not present.all():
            points = _thin(np.column_stack(curve(present, given[known, place]))).round(4)
            table = pd.DataFrame(points, columns=list(columns))
            table.insert(0, "finding", finding)
            tables.append(table)
    if not tables:
        return pd.DataFrame(columns=["finding", *columns])
    return pd.concat(tables, ignore_index=True)


def _thin(points: Floats) -> Floats:
    """Return the points (n, 2) that a line through them needs most, in their order.

    The first and last, then always the point farthest from the line so far (Ramer 1972; Douglas &
    Peucker 1973), until all are within `CLOSE` or `POINTS` are kept.
    """
    kept = [0, len(points) - 1]
    rest = [_farthest(points, *kept)]
    while len(kept) < POINTS and -rest[0][0] > CLOSE:
        _, at, first, last = heapq.heappop(rest)
        kept.append(at)
        heapq.heappush(rest, _farthest(points, first, at))
        heapq.heappush(rest, _farthest(points, at, last))
    return points[sorted(kept)]


def _farthest(points: Floats, first: int, last: int) -> tuple[float, int, int, int]:
    """Return minus the distance, and the place, of the point farthest from first to last."""
    along = points[last] - points[first]
    offset = points[first : last + 1] - points[first]
    length = along @ along
    share = np.clip(offset @ along / length, 0, 1) if length else np.zeros(len(offset))
    distance = np.linalg.norm(offset - share[:, None] * along, axis=1)
    at = int(distance.argmax())
    return -float(distance[at]), first + at, first, last
