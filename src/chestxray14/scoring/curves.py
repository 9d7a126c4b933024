"""Tables to draw curves from: ROC, precision over recall, reliability."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from chestxray14.base.scores import DIGITS
from chestxray14.scoring.calibration import bin_reliability
from chestxray14.scoring.ranked import precision_recall_curve, roc_curve

GRID: NDArray[np.float64] = np.linspace(0, 1, 101)
"""The false positive rates and recalls at which curves are told."""


def roc_table(
    labels: ArrayLike, probabilities: ArrayLike, *, findings: Sequence[str]
) -> pd.DataFrame:
    """Return the true positive rate of each finding at `GRID`, after (0, 0).

    `labels` are zeros and ones, both (n, len(findings)). Columns `finding`,
    `false_positive_rate` and `true_positive_rate`, to four decimals; a finding with one class
    has none.
    """
    tables = [
        pd.DataFrame({"finding": finding, "false_positive_rate": x, "true_positive_rate": y})
        for finding, truth, given in _two_classes(labels, probabilities, findings)
        for x in [np.append(0, GRID)]
        for y in [np.append(0, np.interp(GRID, *roc_curve(truth, given)))]
    ]
    return _join(tables, columns=("finding", "false_positive_rate", "true_positive_rate"))


def precision_recall_table(
    labels: ArrayLike, probabilities: ArrayLike, *, findings: Sequence[str]
) -> pd.DataFrame:
    """Return the precision of each finding at `GRID`, 1 at recall 0, where nothing is called.

    Columns `finding`, `recall` and `precision`: that of the strictest threshold which reaches
    the recall.
    """
    tables = []
    for finding, truth, given in _two_classes(labels, probabilities, findings):
        recall, precision = precision_recall_curve(truth, given)
        # A hair below, as a recall of 3 / 10 is not quite the grid's 0.3.
        places = np.searchsorted(recall, GRID - 1e-9)
        tables.append(
            pd.DataFrame({"finding": finding, "recall": GRID, "precision": precision[places]})
        )
    return _join(tables, columns=("finding", "recall", "precision"))


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
        name: bin_reliability(truth[known], np.ravel(given)[known], bins=bins).round(DIGITS)
        for name, given in calibrations.items()
    }
    return pd.concat(tables, names=["calibration"]).reset_index(0).reset_index(drop=True)


def _two_classes(
    labels: ArrayLike, probabilities: ArrayLike, findings: Sequence[str]
) -> list[tuple[str, NDArray[np.bool_], NDArray[np.float64]]]:
    truth, given = np.asarray(labels), np.asarray(probabilities, np.float64)
    columns = [
        (finding, label[known] == 1, values[known])
        for finding, label, values in zip(findings, truth.T, given.T, strict=True)
        for known in [(label == 0) | (label == 1)]
    ]
    return [each for each in columns if each[1].any() and not each[1].all()]


def _join(tables: list[pd.DataFrame], *, columns: Sequence[str]) -> pd.DataFrame:
    empty = pd.DataFrame(columns=list(columns))
    return pd.concat(tables, ignore_index=True).round(4) if tables else empty
