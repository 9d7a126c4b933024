"""Radiographs to look at: a network's most confident mistakes, some at random, boxes hit and missed."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chestxray14.base.draws import generator
from chestxray14.base.errors import InputError
from chestxray14.base.findings import NO_FINDING
from chestxray14.files.heatmaps import Heatmaps, read_heatmaps
from chestxray14.files.packed import list_findings, open_images, read_index
from chestxray14.files.predictions import Predicted, match, read_predictions
from chestxray14.localization.cases import CELLS, lay_out_images
from chestxray14.localization.overlays import draw_overlay
from chestxray14.report.results import Run

SIDE = 208
"""Pixels a side of a picture: some fifty have to fit into one page."""

RANDOM = 8
"""Images drawn by lot."""

UNKNOWN = "unknown"
"""Stands for labels of which none is there and some are not known."""

Kind = Literal["false alarm", "missed", "at random", "box hit", "box missed"]


@dataclass(frozen=True)
class Picture:
    """One JPEG with what is said of it; `finding` is empty for an image drawn by lot.

    `truth` are the labelled findings, `predicted` the finding's probability, or the three highest.
    """

    kind: Kind
    finding: str
    image: str
    content: bytes
    truth: tuple[str, ...] = ()
    predicted: tuple[tuple[str, float], ...] = ()
    note: str = ""


def read_test(root: Path, run: Run, *, dataset: str) -> Predicted:
    """Return a network's probabilities of the test part, with what is known of its images."""
    path = root / f"predictions/{run.name}/test.csv"
    index = read_index(root / f"data/packed/{dataset}/index.csv")
    table, _ = read_predictions(path, findings=list_findings(index))
    return match(table, index, path=path)


def read_gallery(
    root: Path, run: Run, test: Predicted, *, dataset: str, seed: int
) -> list[Picture]:
    """Return the pictures of one network, by finding, those drawn by lot last."""
    images = open_images(root / f"data/packed/{dataset}/images.npy")
    maps = None
    if run.recipe:
        maps = read_heatmaps(root / f"predictions/{run.name}/heatmaps.safetensors")
    show = partial(_show, test=test, images=images, maps=maps)
    mistakes = choose_mistakes(test, thresholds=run.evaluation.youden)
    drawn = choose_at_random(test, count=RANDOM, seed=seed)
    return [
        *(show(*mistake) for mistake in mistakes),
        *_read_boxes(root, run),
        *(show("at random", "", place) for place in drawn),
    ]


def choose_mistakes(
    test: Predicted, *, thresholds: Mapping[str, float]
) -> Iterator[tuple[Kind, str, int]]:
    """Yield of each finding the highest image called without it, and the lowest not called with it.

    Each with its place among the images; called is what is not below the finding's threshold, 0.5
    where it has none. A finding of one class has no mistake.
    """
    for finding in test.findings:
        labels, scores = test.labels([finding])[:, 0], test.scores([finding])[:, 0]
        called = scores >= thresholds.get(finding, 0.5)
        present, absent = labels == 1, labels == 0
        if not (present.any() and absent.any()):
            continue
        if (wrong := absent & called).any():
            yield "false alarm", finding, int(np.argmax(np.where(wrong, scores, -1)))
        if (wrong := present & ~called).any():
            yield "missed", finding, int(np.argmin(np.where(wrong, scores, 2)))


def choose_at_random(test: Predicted, *, count: int, seed: int) -> list[int]:
    """Return the places of some images, drawn by `seed` from their names in whatever order."""
    names = test.known["image"].to_list()
    drawn = generator("examples", seed).permutation(sorted(names))[:count]
    return [names.index(name) for name in drawn]


def _show(
    kind: Kind,
    finding: str,
    place: int,
    *,
    test: Predicted,
    images: NDArray[np.uint8],
    maps: Heatmaps | None,
) -> Picture:
    known: pd.Series = test.known.iloc[place]
    scores = {name: float(test.probabilities[name].iloc[place]) for name in test.findings}
    highest = tuple(sorted(scores.items(), key=lambda each: -each[1])[:3])
    pixels = images[known["row"]]
    heatmap = np.full((CELLS, CELLS), np.nan, dtype=np.float32)
    if maps and finding and known["image"] in maps.images:
        heatmap = lay_out_images(maps, [known["image"]], findings=[finding])[0, 0]
    return Picture(
        kind=kind,
        finding=finding,
        image=known["image"],
        content=_shrink(draw_overlay(pixels, heatmap, captions=())),
        truth=_read_labels(known[list(test.labelled)]),
        predicted=((finding, scores[finding]),) if finding else highest,
    )


def _read_labels(labels: pd.Series) -> tuple[str, ...]:
    """Return the findings that are labelled, or that there are none, or none is known."""
    none = UNKNOWN if labels.isna().any() else NO_FINDING
    return tuple(str(name) for name in labels.index[labels == 1]) or (none,)


def _read_boxes(root: Path, run: Run) -> Iterator[Picture]:
    """Yield the first hit and the first miss of each finding whose boxes count."""
    seen = set()
    for shown in run.localization.shown if run.localization else ():
        if (shown.finding, shown.hit) in seen:
            continue
        seen.add((shown.finding, shown.hit))
        path = root / f"localizations/{run.name}/overlays/{shown.file}"
        try:
            picture = Image.open(path, formats=("JPEG",)).convert("RGB")
        except MemoryError:
            raise
        except Exception as error:
            reason = (isinstance(error, OSError) and error.strerror) or "no readable JPEG"
            raise InputError(f"{path}: {reason}; the localize stage writes it") from None
        side = min(picture.size)
        yield Picture(
            kind="box hit" if shown.hit else "box missed",
            finding=shown.finding,
            image=shown.image,
            # What is below the radiograph is said beside it in the page.
            content=_shrink(picture.crop((0, 0, side, side))),
            predicted=((shown.finding, shown.probability),),
            note=f"IoBB {shown.iobb:.2f}",
        )


def _shrink(picture: Image.Image) -> bytes:
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=75, optimize=True)
    return content.getvalue()
