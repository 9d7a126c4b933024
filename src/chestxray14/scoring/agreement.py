"""What NIH's labels say and what radiologists see: agreement on the same images, without a network."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from chestxray14.files.experts import ExpertSet
from chestxray14.scoring.experts import COMPOSITES

COLUMNS = (
    *("set", "finding", "images", "radiologists", "nih", "both", "ppv", "sensitivity"),
    *("kappa_nih", "kappa_readers", "readers"),
)


def compare_labels(
    experts: ExpertSet, known: pd.DataFrame, *, findings: Sequence[str]
) -> pd.DataFrame:
    """Return a row for each finding of a set, columns `COLUMNS`.

    `known` has the image and NIH's labels of all `findings`, zeros and ones, of every image of the
    set. `radiologists`, `nih` and `both` count images; `ppv` is the share of NIH's that radiologists
    confirm, `sensitivity` the share of radiologists' that NIH has; kappas are Cohen's, of NIH with
    the radiologists' label and of readers with one another. `readers` has the (sensitivity,
    specificity) of each reader who did not make that label, by name. What is 0 / 0, and all that
    is NIH's for a finding that NIH does not have, is NaN.
    """
    labels = experts.labels.set_index("image")
    nih_labels = known.set_index("image").reindex(labels.index)
    rows = []
    for finding in experts.findings:
        seen = labels[finding].to_numpy() == 1
        parts = COMPOSITES.get(finding, (finding,))
        has_nih = set(parts) <= set(findings)
        nih = (nih_labels[list(parts)] == 1).any(axis=1).to_numpy() if has_nih else seen
        counts = {"nih": nih.sum(), "both": (nih & seen).sum()}
        shares = {
            "ppv": _share(counts["both"], counts["nih"]),
            "sensitivity": _share(counts["both"], seen.sum()),
            "kappa_nih": cohen_kappa(seen, nih),
        }
        told = counts | shares if has_nih else dict.fromkeys([*counts, *shares], np.nan)
        read = experts.readers.reindex(columns=["image", "reader", "reference", finding]).dropna()
        rows.append(
            {"set": experts.name, "finding": finding, "images": len(seen)}
            | {"radiologists": seen.sum(), "kappa_readers": _compare_readers(read)}
            | {"readers": _place_readers(read[read["reference"] == 0], labels[finding] == 1)}
            | told
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def cohen_kappa(first: ArrayLike, second: ArrayLike) -> float:
    """Return Cohen's kappa of two readings (n,), zeros and ones; NaN where chance alone agrees fully.

    Agreement above what chance gives two readers who call as often, over the most that it could be
    above it (Cohen 1960).
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    chance = one.mean() * other.mean() + (1 - one.mean()) * (1 - other.mean())
    return _share((one == other).mean() - chance, 1 - chance)


def _compare_readers(read: pd.DataFrame) -> float:
    """Return the mean kappa of all pairs of readers, each weighing by the images that both read."""
    if read["reader"].nunique() < 2:
        return np.nan
    finding = read.columns[-1]
    # A reader who read an image twice counts with the first reading.
    wide = read.drop_duplicates(["image", "reader"]).pivot(
        index="image", columns="reader", values=finding
    )
    kappas, images = [], []
    for pair in combinations(wide, 2):
        shared = wide[list(pair)].dropna().to_numpy()
        kappa = cohen_kappa(*shared.T) if len(shared) else np.nan
        if not np.isnan(kappa):
            kappas.append(kappa)
            images.append(len(shared))
    return float(np.average(kappas, weights=images)) if kappas else np.nan


def _place_readers(
    read: pd.DataFrame, present: "pd.Series[bool]"
) -> dict[str, tuple[float, float]]:
    """Return each reader's sensitivity and specificity by name."""
    places = {}
    for reader, own in read.groupby("reader"):
        called = own.iloc[:, -1].to_numpy() == 1
        shown: NDArray[np.bool_] = present.loc[own["image"]].to_numpy()
        rates = (
            _share((called & shown).sum(), shown.sum()),
            _share((~called & ~shown).sum(), (~shown).sum()),
        )
        places[str(reader)] = rates
    return places


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
