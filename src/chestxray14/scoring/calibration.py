"""Whether a probability of 0.3 means 3 in 10: reliability, and Platt's correction."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from chestxray14.base.draws import generator
from chestxray14.scoring.evaluation import Bounded

CLIP = 1e-7
"""Probabilities are kept this far from 0 and 1, about where single precision reaches 1."""

FLOOR_DRAWS = 100
"""Sets of labels that the floor of the calibration error is a mean of."""

STEPS = 50
"""Newton steps after which a regression counts as without a finite solution."""


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


def fit_line(
    labels: ArrayLike, probabilities: ArrayLike, patients: ArrayLike
) -> tuple[Bounded, Bounded] | None:
    """Return calibration slope and intercept with their 95 % intervals (Van Calster et al. 2019).

    `labels` are zeros and ones, all (n,). The slope is that of a logistic regression of the labels
    on logit(p), below 1 where probabilities are too extreme; the intercept is what a regression
    with slope 1 adds, below 0 where they are too high. Variances are by whole patients (the
    sandwich, Liang & Zeger 1986). None where the regression has no finite solution.
    """
    truth, logits = np.asarray(labels, np.float64), _logit(probabilities)
    centre, spread = logits.mean(), logits.std()
    if spread < 1e-9:
        return None
    ones, scaled = np.ones_like(logits), (logits - centre) / spread
    places = np.unique(patients, return_inverse=True)[1]
    sloped = _regress(truth, [scaled, ones], np.zeros_like(logits), places)
    shifted = _regress(truth, [ones], logits, places)
    if sloped is None or shifted is None:
        return None
    return _bound(sloped[0] / spread, sloped[1] / spread), _bound(*shifted)


def bin_reliability(labels: ArrayLike, probabilities: ArrayLike, *, bins: int) -> pd.DataFrame:
    """Return each bin's mean probability, share of ones and number of labels.

    `labels` are zeros and ones, both (n,). Columns `predicted`, `observed` and `labels`; bins of
    equally many images in ascending order, empty ones left out, as scikit-learn's
    `calibration_curve` has them by quantile. Equal probabilities fall into one bin, so that bins
    may differ in size.
    """
    truth, given = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    places = _place(given, bins=bins)
    counts = np.bincount(places)
    return pd.DataFrame(
        {
            "predicted": np.bincount(places, weights=given) / counts,
            "observed": np.bincount(places, weights=truth) / counts,
            "labels": counts,
        }
    )


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, *, bins: int) -> float:
    """Return the mean distance of predicted and observed over the bins, weighted by their labels.

    For one finding, bins as in `bin_reliability`; from 0 to 1 (Naeini et al. 2015; Guo et al. 2017).
    """
    table = bin_reliability(labels, probabilities, bins=bins)
    distances = (table["predicted"] - table["observed"]).abs()
    return float(np.average(distances, weights=table["labels"]))


def calibration_floor(probabilities: ArrayLike, *, bins: int, seed: int) -> float:
    """Return the mean `expected_calibration_error` of labels drawn from the probabilities (n,).

    That is what perfect calibration has: the fewer images, the higher. Of `FLOOR_DRAWS` draws.
    """
    given = np.asarray(probabilities, np.float64)
    places = _place(given, bins=bins)
    order = np.argsort(places, kind="stable")
    starts = np.append(0, np.flatnonzero(np.diff(places[order])) + 1)
    rng, ordered = generator("calibration floor", seed), given[order]
    errors = [
        np.abs(np.add.reduceat((rng.random(len(given)) < ordered) - ordered, starts)).sum()
        for _ in range(FLOOR_DRAWS)
    ]
    return float(np.mean(errors) / len(given))


def _place(given: NDArray[np.float64], *, bins: int) -> NDArray[np.intp]:
    """Return the bin of each probability, numbered without gaps."""
    edges = np.percentile(given, np.linspace(0, 100, bins + 1))
    places: NDArray[np.intp] = np.unique(np.searchsorted(edges[1:-1], given), return_inverse=True)[
        1
    ]
    return places


def _regress(
    truth: NDArray[np.float64],
    columns: Sequence[NDArray[np.float64]],
    offset: NDArray[np.float64],
    patients: NDArray[np.intp],
) -> tuple[float, float] | None:
    """Return the first coefficient of a logistic regression and its standard error by patients."""
    design = np.column_stack(columns)
    line = np.zeros(design.shape[1])
    for _ in range(STEPS):
        chance = expit(design @ line + offset)
        bread = design.T @ (design * (chance * (1 - chance))[:, None])
        errors = design * (truth - chance)[:, None]
        if np.linalg.cond(bread) > 1e12:
            return None
        step = np.linalg.solve(bread, errors.sum(axis=0))
        line = line + step.clip(-2, 2)
        if np.abs(step).max() < 1e-9:
            break
    else:
        return None
    size = int(patients.max()) + 1
    sums = np.column_stack([np.bincount(patients, weights=error) for error in errors.T])
    inverse = np.linalg.inv(bread)
    variance = inverse @ (sums.T @ sums) @ inverse * size / max(size - 1, 1)
    return float(line[0]), float(np.sqrt(variance[0, 0]))


def _bound(value: float, error: float) -> Bounded:
    return Bounded(value=value, low=value - 1.96 * error, high=value + 1.96 * error)


def _logit(probabilities: ArrayLike) -> NDArray[np.float64]:
    clipped = np.clip(np.asarray(probabilities, np.float64), CLIP, 1 - CLIP)
    logits: NDArray[np.float64] = logit(clipped)
    return logits
