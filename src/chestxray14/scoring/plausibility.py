"""Numbers that cannot be what their column says: what gives them away, beside the labels.

The faults looked for are those that leave no other trace: a score is printed, and it is wrong.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from chestxray14.base.errors import InputError
from chestxray14.base.findings import NO_FINDING
from chestxray14.files.predictions import Predicted

Floats = NDArray[np.float64]
Labels = NDArray[Any]

SIGMOID_TWICE = 0.5, 0.7311
"""What a sigmoid makes of probabilities: 1 / (1 + exp(-p)) for p from 0 to 1."""

Z = 3.0902
"""Standard deviations to the lower 99.9 % bound."""

FEWEST = 20
"""Patients below which two AUROCs are not told apart here."""

FEWEST_OF_A_CLASS = 2
"""Patients of each class that a finding's error takes."""

MARGIN = 0.05
"""By how much an AUROC must be on the wrong side for certain."""

MARGIN_ALONE = 0.15
"""The same where another finding is ranked better that has no column of its own.

Patients who are ill show several findings, and what is hard to see may rank them worse than edema.
"""


def refuse_labels(predicted: Predicted, *, name: str) -> None:
    """Raise `InputError` for a column of the file `name` that repeats its labels in every image."""
    for finding in predicted.columns:
        labels, scores = predicted.labels([finding]), predicted.scores([finding])
        if finding != NO_FINDING and ((scores == labels) | np.isnan(labels)).all():
            raise InputError(
                f"{name}: the column {finding} repeats the label {finding} in all "
                f"{len(predicted.known):,} images; expected predictions, found labels"
            )


def list_doubts(predicted: Predicted, *, listed: Sequence[str]) -> tuple[str, ...]:
    """Return a line for each reason to doubt that columns hold probabilities of their findings.

    `listed` are the images of the label file, in its order.
    """
    findings = [finding for finding in predicted.columns if finding != NO_FINDING]
    if not findings:
        return tuple(_doubt_values(predicted))
    sums = _sum_patients(predicted.known["patient"])
    place = pd.Index(listed).get_indexer(pd.Index(predicted.known["image"]))
    orders = {"label": np.argsort(place)}
    if (np.diff(place) < 0).any():
        orders["prediction"] = np.arange(len(place))
    return (
        *_doubt_values(predicted),
        *_doubt_order(predicted, findings, sums),
        *_doubt_rows(predicted, findings, sums, orders),
        *_doubt_names(predicted, findings, sums),
    )


def rank(labels: Labels, scores: Floats) -> tuple[Floats, Floats]:
    """Return the AUROC of scores (n,) for k findings, and what each image adds to its error.

    `labels` are zeros and ones of both classes, (n, k), NaN where unknown: such an image counts
    nowhere, and adds nothing. Summed over the images of a patient and
    squared, the second, (n, k), adds up to the variance of the AUROC (DeLong et al. 1988, for
    patients with several images Obuchowski 1997); sums of two AUROCs are subtracted before.
    """
    order = np.argsort(scores)
    ordered = scores[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-np.inf))
    bounds = np.append(first, len(scores))
    group = np.repeat(np.arange(len(first)), np.diff(bounds))
    shown, known = labels == 1, ~np.isnan(labels)

    def below(counted: NDArray[np.bool_]) -> Floats:
        """Return how many of the images counted score lower than each, equal scores as half."""
        summed = np.zeros((len(scores) + 1, labels.shape[1]))
        np.cumsum(counted[order], axis=0, out=summed[1:])
        halves: Floats = (summed[bounds[:-1]] + summed[bounds[1:]]) / 2
        return halves[group]

    positives = below(shown)
    # Without a second sum where all are known.
    every = ((bounds[:-1] + bounds[1:]) / 2)[group, None]
    negatives = (every if known.all() else below(known)) - positives
    present = shown.sum(axis=0)
    absent = known.sum(axis=0) - present
    share = np.empty(labels.shape)
    share[order] = np.where(shown[order], negatives / absent, 1 - positives / present)
    auroc: Floats = np.where(shown, share, 0).sum(axis=0) / present
    return auroc, np.where(known, (share - auroc) / np.where(shown, present, absent), 0)


def _doubt_values(predicted: Predicted) -> Iterator[str]:
    """Yield what the values say without the labels."""
    scores = predicted.scores(predicted.findings)
    ranges = dict(zip(predicted.findings, scores.T, strict=True))
    distinct = {finding: len(np.unique(values)) for finding, values in ranges.items()}
    if constant := [name for name in ranges if distinct[name] == 1 < len(scores)]:
        yield f"{', '.join(constant)}: one value for all images, which ranks nothing"
    if binary := [name for name in ranges if distinct[name] == 2 < len(scores)]:
        yield (
            f"{', '.join(binary)}: two distinct values alone, decisions rather than probabilities"
        )
    low, high = SIGMOID_TWICE
    if len(constant) < len(ranges) and low <= scores.min() and scores.max() <= high:
        yield f"all values are from {low} to {high}, as if a sigmoid was applied twice"


def _doubt_order(predicted: Predicted, findings: list[str], sums: csr_array) -> Iterator[str]:
    """Yield that values fall where they should grow: on the whole, or one column for certain."""
    labels, scores = predicted.labels(findings), predicted.scores(findings)
    auroc, error = _rank_own(labels, scores)
    if auroc.mean() < 0.5:
        yield f"mean AUROC {auroc.mean():.4f}, below 0.5: chance, or 1 - p instead of p"
        return
    sure = (_count_patients(sums, labels) >= FEWEST) & (
        auroc + Z * _deviate(sums, error) < 0.5 - MARGIN
    )
    for i in np.flatnonzero(sure):
        yield f"{findings[i]}: AUROC {auroc[i]:.4f}, below 0.5: 1 - p instead of p?"


def _doubt_rows(
    predicted: Predicted,
    findings: list[str],
    sums: csr_array,
    orders: dict[str, NDArray[np.intp]],
) -> Iterator[str]:
    """Yield whether all findings' values rank better one row up or down.

    `orders` sort the images as they stand in the file that each is named after.
    """
    labels, scores = predicted.labels(findings), predicted.scores(findings)
    kept = _count_patients(sums, labels) >= FEWEST_OF_A_CLASS
    if sums.shape[0] < FEWEST or not kept.any():
        return
    labels, scores = labels[:, kept], scores[:, kept]
    auroc, error = _rank_own(labels, scores)
    own, own_error = auroc.mean(), error.mean(axis=1, keepdims=True)
    steps = {"down": 1, "up": -1}
    for (file, order), (where, step) in product(orders.items(), steps.items()):
        there = np.empty_like(scores)
        there[order] = np.roll(scores[order], step, axis=0)
        auroc, error = _rank_own(labels, there)
        moved, moved_error = auroc.mean(), error.mean(axis=1, keepdims=True)
        better = moved - Z * _deviate(sums, moved_error - own_error)[0] > own + MARGIN
        if better and moved - Z * _deviate(sums, moved_error)[0] > 0.5:
            yield (
                f"moved {where} by one row of the {file} file the values rank better, mean AUROC "
                f"{moved:.4f} instead of {own:.4f}: do images and values belong together?"
            )


def _doubt_names(predicted: Predicted, findings: list[str], sums: csr_array) -> Iterator[str]:
    """Yield the findings whose column ranks another finding's labels better than its own.

    Findings go together, and a hard one's column may rank an easy one better; but then the easy
    one's own column does it best.
    """
    enough = _count_patients(sums, predicted.labels(predicted.labelled)) >= FEWEST
    known = [n for n, counted in zip(predicted.labelled, enough, strict=True) if counted]
    labels = predicted.labels(known)
    ranked = {
        name: (known.index(name), *rank(labels, predicted.scores([name])[:, 0]))
        for name in findings
        if name in known
    }
    best, margin = np.zeros(len(known)), np.full(len(known), MARGIN_ALONE)
    for own, auroc, error in ranked.values():
        if error[:, own].any():
            best[own], margin[own] = auroc[own], MARGIN
    for name, (own, auroc, error) in ranked.items():
        better = auroc - Z * _deviate(sums, error - error[:, [own]]) > auroc[own] + margin
        # A column upside down ranks most others better than its own.
        turned = auroc - Z * _deviate(sums, error + error[:, [own]]) > 1 - auroc[own] + margin
        wrong = better & turned & (auroc >= best)
        if wrong.any():
            other = int(np.argmax(np.where(wrong, auroc, -1)))
            yield (
                f"{name}: its values rank {known[other]} better, AUROC {auroc[other]:.4f} "
                f"instead of {auroc[own]:.4f}: are the columns under their own names?"
            )


def _rank_own(labels: Labels, scores: Floats) -> tuple[Floats, Floats]:
    """Return the AUROC of each column (n, k) for its own labels, and the errors (n, k)."""
    ranked = [rank(labels[:, [i]], scores[:, i]) for i in range(labels.shape[1])]
    auroc, error = zip(*ranked, strict=True)
    return np.concatenate(auroc), np.concatenate(error, axis=1)


def _sum_patients(patients: "pd.Series[int]") -> csr_array:
    """Return the matrix (patients, n) that sums images by patient."""
    places, distinct = pd.factorize(patients)
    shape = len(distinct), len(patients)
    return csr_array((np.ones(len(patients)), (places, np.arange(len(patients)))), shape=shape)


def _count_patients(sums: csr_array, labels: Labels) -> NDArray[np.int64]:
    """Return of each finding (n, k) the patients with an image of the rarer class, (k,)."""
    counts = [np.count_nonzero(sums @ classes, axis=0) for classes in (labels == 1, labels == 0)]
    fewest: NDArray[np.int64] = np.min(counts, axis=0)
    return fewest


def _deviate(sums: csr_array, error: Floats) -> Floats:
    """Return the standard deviation over patients from the errors of images (n, k)."""
    size = sums.shape[0]
    deviation: Floats = np.sqrt(((sums @ error) ** 2).sum(axis=0) * size / (size - 1))
    return deviation
