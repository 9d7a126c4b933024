"""Example radiographs beside what a network predicts for them, drawn by lot."""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chestxray14.base.draws import generator
from chestxray14.data.images import pack
from chestxray14.files.packed import list_findings

LARGEST_PX = 256
"""Side in pixels above which a radiograph is reduced before it stands in a page."""

MOST_PREDICTIONS = 5


@dataclass(frozen=True)
class Example:
    """One radiograph, its labels, and the highest probabilities a network has for it.

    `picture` is a grey PNG of at most `LARGEST_PX` a side. `image` is the name that NIH gives the
    file; nothing else of the patient is kept. `truth` has the findings labelled, empty for No
    Finding, `predictions` at most `MOST_PREDICTIONS` findings, highest probability first.
    """

    image: str
    picture: bytes
    truth: tuple[str, ...]
    predictions: tuple[tuple[str, float], ...]


def choose_examples(labels: pd.DataFrame, *, count: int, seed: int) -> list[str]:
    """Return the names of `count` images drawn by `seed`, a quarter of them without any finding.

    The quarter is rounded down; where one kind has too few images, all of them are taken and no
    other kind fills up. `labels` is indexed by image name and has the findings as zeros and ones. The draw depends on the set of names and their labels, not on the order of rows; the
    names come in the order drawn.
    """
    shows = (labels[list(list_findings(labels))] == 1).any(axis=1)
    left = {True: count - count // 4, False: count // 4}
    chosen = []
    for name in generator("examples", seed).permutation(sorted(labels.index)).tolist():
        kind = bool(shows.loc[name])
        if left[kind]:
            left[kind] -= 1
            chosen.append(name)
    return chosen


def show_example(
    image: str, pixels: NDArray[np.uint8], *, labels: pd.DataFrame, probabilities: pd.DataFrame
) -> Example:
    """Return an image with its labels and predictions; the same input gives the same bytes.

    `pixels` is the (P, P) packed image, reduced with antialiasing where P is above `LARGEST_PX`.
    `labels` and `probabilities` are indexed by image name and have findings as columns, all
    and those that the network predicts. Equal probabilities stand in the order of the labels.

    The name that NIH gives the image is kept, so that it can be looked up; age, sex and the like
    are not, and the PNG carries pixels alone.
    """
    picture = io.BytesIO()
    small = pack(Image.fromarray(pixels), px=min(len(pixels), LARGEST_PX))
    Image.fromarray(small).save(picture, format="PNG", optimize=True)
    labelled = list_findings(labels)
    findings = [finding for finding in labelled if finding in probabilities]
    predicted = zip(
        findings, probabilities.loc[[image], findings].to_numpy()[0].tolist(), strict=True
    )
    return Example(
        image=image,
        picture=picture.getvalue(),
        truth=tuple(finding for finding in labelled if labels.at[image, finding] == 1),
        predictions=tuple(sorted(predicted, key=lambda each: -each[1])[:MOST_PREDICTIONS]),
    )
