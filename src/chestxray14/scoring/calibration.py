"""Whether a probability of 0.3 means 3 in 10: reliability, and Platt's correction."""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

Binning = Literal["width", "mass"]
"""Bins of equal width from 0 to 1, or of equally many images."""

CLIP = 1e-7
"""Probabilities are kept this far from 0 and 1, about where single precision reaches 1."""


def fit_platt(labels: ArrayLike, probabilities: ArrayLike) -> tuple[float, float]:
    """Return slope and intercept of sigmoid(slope * logit(p) + intercept), for one finding.

    `labels` are zeros and ones, both (n,), of the validation part. The likeliest pair for Platt's
    targets (Platt 1999): (P + 1) / (P + 2) for each of P positives and 1 / (N + 2) for each of N
    negatives, which keep it finite where a threshold separates them. `p` is clipped to
    [`CLIP`, 1 - `CLIP`]. The slope is never negative, which would reverse the ranks: where that is
    likelier, or all `p` are equal, it is 0 and every image gets the mean of the targets.
    """
    present = np.asarray(labels) == 1
    positives = np.count_nonzero(present)
    targets = np.where(
        present, (positives + 1) / (positives + 2), 1 / (len(present) - positives + 2)
    )
    logits = _logit(probabilities)
    # Around 0 with spread 1 the search takes few steps, however alike the probabilities are.
    centre, spread = logits.mean(), logits.std() if np.ptp(logits) else np.inf
    scaled = (logits - centre) / spread

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        values = line[0] * scaled + line[1]
        errors = expit(values) - targets
        mean = np.mean(np.logaddexp(0, values) - targets * values)
        return float(mean), np.array([np.mean(errors * scaled), np.mean(errors)])

    slope, intercept = minimize(loss, x0=(0.0, 0.0), jac=True, options={"gtol": 1e-9}).x
    if slope <= 0:
        return 0.0, float(logit(targets.mean()))
    slope /= spread
    return float(slope), float(intercept - slope * centre)


def apply_platt(
    probabilities: ArrayLike, *, slope: float, intercept: float
) -> NDArray[np.float64]:
    """Return sigmoid(slope * logit(p) + intercept), `p` clipped as in `fit_platt`."""
    calibrated: NDArray[np.float64] = expit(slope * _logit(probabilities) + intercept)
    return calibrated


def bin_reliability(
    labels: ArrayLike, probabilities: ArrayLike, *, bins: int, by: Binning
) -> pd.DataFrame:
    """Return each bin's mean probability, share of ones and number of labels.

    `labels` are zeros and ones, both (n,). Columns `predicted`, `observed` and `labels`; bins in
    ascending order, each with its upper edge, empty ones left out, as scikit-learn's
    `calibration_curve` has them. Equal probabilities fall into one bin, so those by mass may
    differ in size.
    """
    truth, given = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    edges = np.linspace(0, 1, bins + 1)
    if by == "mass":
        edges = np.percentile(given, 100 * edges)
    places = np.searchsorted(edges[1:-1], given)
    sizes = np.bincount(places, minlength=bins)
    filled = sizes > 0
    sums = {
        name: np.bincount(places, weights=values, minlength=bins)[filled]
        for name, values in (("predicted", given), ("observed", truth))
    }
    counts = sizes[filled]
    return pd.DataFrame(
        {name: total / counts for name, total in sums.items()} | {"labels": counts}
    )


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, *, bins: int, by: Binning
) -> float:
    """Return the mean distance of predicted and observed over the bins, weighted by their labels.

    For one finding, bins as in `bin_reliability`; from 0 to 1 (Naeini et al. 2015; Guo et al. 2017).
    """
    table = bin_reliability(labels, probabilities, bins=bins, by=by)
    distances = (table["predicted"] - table["observed"]).abs()
    return float(np.average(distances, weights=table["labels"]))


def _logit(probabilities: ArrayLike) -> NDArray[np.float64]:
    clipped = np.clip(np.asarray(probabilities, np.float64), CLIP, 1 - CLIP)
    logits: NDArray[np.float64] = logit(clipped)
    return logits
