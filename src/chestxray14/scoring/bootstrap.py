"""How much a score would vary with other patients: the bootstrap over patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from chestxray14.base.draws import generator

Floats = NDArray[np.float64]
Problem = tuple[csr_array, csr_array, csr_array]
"""What one finding's scores sum over, see `_prepare`."""

CHUNK = 32
"""Draws at a time: their counts stay in the processor's cache, also of 22,433 images."""


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

    def count_rarer(self, labels: NDArray[np.generic]) -> int:
        """Return how many patients have an image of the rarer class, known labels (n,) alone."""
        return min(self.count_patients(labels == 1), self.count_patients(labels == 0))


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


def bootstrap_auroc(labels: ArrayLike, scores: ArrayLike, resamples: Resamples) -> Floats:
    """Return the AUROC of every draw, (draws,), NaN where it has one class only.

    `labels` are zeros and ones, anything else where unknown, and `scores` grow with the finding,
    both (n,). A pair of equal scores counts half.
    """
    return _draw([_prepare(np.asarray(labels), np.asarray(scores))], resamples.counts)[0][:, 0]


def bootstrap_findings(
    labels: ArrayLike, scores: ArrayLike, resamples: Resamples
) -> tuple[Floats, Floats]:
    """Return AUROC and average precision of each of k findings in every draw, both (draws, k).

    `labels` and `scores` are (n, k). NaN as of `bootstrap_auroc`, and where a draw has no positive.
    """
    truth, given = np.asarray(labels), np.asarray(scores)
    problems = [_prepare(truth[:, i], given[:, i]) for i in range(truth.shape[1])]
    return _draw(problems, resamples.counts)


def bootstrap_sums(numbers: ArrayLike, resamples: Resamples) -> Floats:
    """Return the sums over images of k numbers of each, (n, k), in every draw: (draws, k).

    What is a share of two sums (sensitivity, Brier score) has its draws from these.
    """
    summed = np.asarray(numbers, np.float64)
    sums = np.empty((resamples.counts.shape[1], summed.shape[1]))
    for start in range(0, len(sums), CHUNK):
        chunk = slice(start, start + CHUNK)
        sums[chunk] = resamples.counts[:, chunk].T.astype(np.float64) @ summed
    return sums


def _prepare(labels: NDArray[np.generic], scores: NDArray[np.generic]) -> Problem:
    """Return which images to sum for each of the m distinct scores of positives, ascending.

    Times the counts, the first matrix (m, n) gives the positives with each score. The others
    (m + 1, n) have each negative in the first row whose score is not below its own, and in the
    first above: summed from the top, all below each score with those that tie, and without.
    """
    present, missing = labels == 1, labels == 0
    images = np.arange(len(labels))
    distinct, ties = np.unique(scores[present], return_inverse=True)
    absent = scores[missing]
    shape = len(distinct), len(labels)
    positives = csr_array((np.ones(len(ties)), (ties, images[present])), shape=shape)
    tied, below = (
        csr_array(
            (np.ones(len(absent)), (np.searchsorted(distinct, absent, side), images[missing])),
            shape=(shape[0] + 1, shape[1]),
        )
        for side in ("left", "right")
    )
    return positives, tied, below


def _draw(problems: Sequence[Problem], counts: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Return AUROC and average precision (draws, problems)."""
    auroc, precision = np.empty((2, counts.shape[1], len(problems)))
    for start in range(0, counts.shape[1], CHUNK):
        chunk = slice(start, start + CHUNK)
        weights = counts[:, chunk].astype(np.float64)
        for column, (positives, tied, below) in enumerate(problems):
            present = positives @ weights
            # Of each score of a positive: the negatives up to it, and those below it.
            up_to = np.cumsum(tied @ weights, axis=0)
            under = np.cumsum(below @ weights, axis=0)
            hits = np.cumsum(present[::-1], axis=0)[::-1]
            total = present.sum(axis=0)
            right = (present * (up_to[:-1] + under[:-1])).sum(axis=0) / 2
            with np.errstate(invalid="ignore", divide="ignore"):
                called = hits + under[-1] - under[:-1]
                auroc[chunk, column] = right / (total * under[-1])
                steps = np.where(present > 0, present * hits / called, 0)
                precision[chunk, column] = steps.sum(axis=0) / total
    return auroc, precision
