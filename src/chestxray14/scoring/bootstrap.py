"""How much a score would vary with other patients: the bootstrap over patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from chestxray14.base.draws import generator
from chestxray14.scoring.evaluation import Difference, Estimate

Problem = tuple[csr_array, csr_array]
"""What one AUROC sums over, see `_prepare`."""

CHUNK = 32
"""Draws at a time: their counts stay in the processor's cache, also of 22,433 images."""

FEWEST_PATIENTS = 10
"""Patients below which nothing is drawn: every draw of one patient is that patient again."""

FEWEST_OF_A_CLASS = 2
"""Patients with an image of each class below which nothing is drawn, for the same reason."""


@dataclass(frozen=True)
class Resamples:
    """Bootstrap draws of patients, image by image.

    `patients` (n,) is the patient of each image, `counts` (n, draws) how often each image occurs in
    each draw.
    """

    patients: NDArray[np.intp]
    counts: NDArray[np.uint8]

    def restrict(self, rows: NDArray[np.generic]) -> "Resamples":
        """Return the same draws of some images, given by place or as a mask."""
        return Resamples(self.patients[rows], self.counts[rows])

    def count_patients(self, rows: NDArray[np.bool_]) -> int:
        """Return how many patients have one of the images of a mask (n,)."""
        return len(np.unique(self.patients[rows]))

    def suffice(self, *classes: NDArray[np.bool_]) -> bool:
        """Return whether there are enough patients, in all and in each mask (n,), for an interval."""
        return len(np.unique(self.patients)) >= FEWEST_PATIENTS and all(
            self.count_patients(rows) >= FEWEST_OF_A_CLASS for rows in classes
        )


def draw_patients(patients: ArrayLike, *, draws: int, seed: int) -> Resamples:
    """Return the draws of the (n,) patients of n images.

    A draw takes as many patients as there are, with replacement, and all images of each: the
    images of a patient are alike, and drawn one by one they would make intervals too narrow
    (the cluster bootstrap, Field & Welsh 2007). It depends on the seed and on the set of patients,
    not on the order of the rows, so that networks scored on the same images share their draws.
    """
    distinct, places = np.unique(patients, return_inverse=True)
    size = len(distinct)
    rng = generator("bootstrap", seed)
    # A patient drawn more than 255 times would overflow: the odds are below 1 to 10^500.
    counts = np.empty((size, draws), dtype=np.uint8)
    for draw in range(draws):
        counts[:, draw] = np.bincount(rng.integers(size, size=size), minlength=size)
    return Resamples(places, counts[places])


def bootstrap_auroc(
    labels: ArrayLike, scores: ArrayLike, resamples: Resamples
) -> NDArray[np.float64]:
    """Return the AUROC of every draw, (draws,), NaN where it has one class only.

    `labels` are zeros and ones, anything else where unknown, and `scores` grow with the finding,
    both (n,), or (n, k) for the AUROC of all k findings pooled. A pair of equal scores counts half. All draws are NaN for fewer
    than `FEWEST_PATIENTS` patients, or fewer than `FEWEST_OF_A_CLASS` with either class.
    """
    truth, given = np.asarray(labels), np.asarray(scores)
    classes = [(truth == value).reshape(len(truth), -1).any(axis=1) for value in (1, 0)]
    if not resamples.suffice(*classes):
        return np.full(resamples.counts.shape[1], np.nan)
    return _draw([_prepare(truth, given)], resamples.counts)[:, 0]


def bootstrap_findings(
    labels: ArrayLike, scores: ArrayLike, resamples: Resamples
) -> NDArray[np.float64]:
    """Return the AUROC of each of k findings in every draw, (draws, k), as `bootstrap_auroc`.

    `labels` and `scores` are (n, k).
    """
    truth, given = np.asarray(labels), np.asarray(scores)
    auroc = np.full((resamples.counts.shape[1], truth.shape[1]), np.nan)
    present, absent = truth == 1, truth == 0
    known = [i for i in range(truth.shape[1]) if resamples.suffice(present[:, i], absent[:, i])]
    auroc[:, known] = _draw([_prepare(truth[:, i], given[:, i]) for i in known], resamples.counts)
    return auroc


def bootstrap_sensitivity(
    labels: ArrayLike, calls: ArrayLike, resamples: Resamples
) -> NDArray[np.float64]:
    """Return the share of the images with the finding that are called, in every draw, (draws,).

    `labels` and `calls` are zeros and ones, (n,). NaN where a draw has no image with the finding,
    and in all draws for too few patients, as `bootstrap_auroc`.
    """
    present = np.asarray(labels) == 1
    if not resamples.suffice(present):
        return np.full(resamples.counts.shape[1], np.nan)
    counts = resamples.counts[present]
    called = counts[np.asarray(calls)[present] == 1].sum(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        shares: NDArray[np.float64] = called / counts.sum(axis=0, dtype=np.float64)
    return shares


def interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the 95 % percentile interval over the draws that have a value.

    The 2.5th and 97.5th percentile (Efron & Tibshirani 1993, chapter 13). Draws without one of the
    two classes have none and are left out, so that it holds for patients who show both. None where
    more than half of the draws are left out.
    """
    finite = values[np.isfinite(values)]
    if not len(finite) or len(finite) < len(values) / 2:
        return None
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


def estimate(value: float, draws: NDArray[np.float64]) -> Estimate:
    """Return a score with the interval of its draws, without bounds where `interval` has none."""
    low, high = interval(draws) or (None, None)
    return Estimate(value=value, low=low, high=high)


def estimate_difference(value: float, draws: NDArray[np.float64]) -> Difference:
    """Return a paired difference with the interval and the p of its draws.

    `draws` has one network's score less another's, both in the same draw of patients. Without
    bounds and p where `interval` has none.
    """
    bounds = interval(draws)
    if bounds is None:
        return Difference(value=value)
    return Difference(value=value, low=bounds[0], high=bounds[1], p=p_value(draws))


def p_value(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p of paired differences, one a draw, that NaN is left out of.

    Twice the smaller share of the draws on either side of 0, which is the level at which the
    percentile interval just reaches 0 (Efron & Tibshirani 1993), at most 1. One is added to both
    counts, so that B draws never claim less than 2 / (B + 1) (Davison & Hinkley 1997, chapter 4).
    Paired means that both networks were scored with the same counts.
    """
    finite = differences[np.isfinite(differences)]
    fewer = min(np.count_nonzero(finite <= 0), np.count_nonzero(finite >= 0))
    return min(1.0, 2 * (fewer + 1) / (len(finite) + 1))


def _prepare(labels: NDArray[np.generic], scores: NDArray[np.generic]) -> Problem:
    """Return which images to sum for each of the m distinct scores of positives, ascending.

    Times the counts, the first matrix (m, n) gives the positives with each score. The second
    (m + 1, n) has half of a negative in the first row whose score is not below its own, the other
    half in the first above: summed from the top, all below each score and half of those that tie.
    """
    present, missing = labels == 1, labels == 0
    images = np.indices(labels.shape)[0]
    distinct, ties = np.unique(scores[present], return_inverse=True)
    absent = scores[missing]
    halves = np.concatenate(
        [np.searchsorted(distinct, absent, side) for side in ("left", "right")]
    )
    shape = len(distinct), len(labels)
    positives = csr_array((np.ones(len(ties)), (ties, images[present])), shape=shape)
    negatives = csr_array(
        (np.full(len(halves), 0.5), (halves, np.tile(images[missing], 2))),
        shape=(shape[0] + 1, shape[1]),
    )
    return positives, negatives


def _draw(problems: Sequence[Problem], counts: NDArray[np.uint8]) -> NDArray[np.float64]:
    auroc = np.empty((counts.shape[1], len(problems)))
    for start in range(0, counts.shape[1], CHUNK):
        chunk = slice(start, start + CHUNK)
        weights = counts[:, chunk].astype(np.float64)
        for column, (positives, negatives) in enumerate(problems):
            present = positives @ weights
            below = np.cumsum(negatives @ weights, axis=0)
            right = (present * below[:-1]).sum(axis=0)
            with np.errstate(invalid="ignore"):
                auroc[chunk, column] = right / (present.sum(axis=0) * below[-1])
    return auroc
