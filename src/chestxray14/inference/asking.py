"""A trained model asked about many files, a batch at a time, so that memory does not grow with them."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from chestxray14.base.errors import InputError
from chestxray14.base.params import load_block
from chestxray14.files.likeness import Shown, is_like
from chestxray14.files.outputs import write_bytes
from chestxray14.files.records import read_record
from chestxray14.inference.radiographs import show_path
from chestxray14.inference.single_image import (
    Answer,
    caption,
    judge,
    map_images,
    name_findings,
    name_pictures,
    predict_images,
    read_evaluation,
    read_files,
)
from chestxray14.localization.overlays import draw_overlay, encode
from chestxray14.model.device import choose_device, choose_precision
from chestxray14.model.params import Compute
from chestxray14.model.recipe import Recipe
from chestxray14.model.trained import read_model
from chestxray14.raw.params import DATASET, Phantom
from chestxray14.scoring.evaluation import Evaluation

log = logging.getLogger("chestxray14")


@dataclass(frozen=True)
class Model:
    """A trained network with what must be known to ask it."""

    name: str
    network: nn.Module
    recipe: Recipe
    shown: Shown
    evaluation: Evaluation | None
    packed_px: int
    drawn: bool


@dataclass(frozen=True)
class Told:
    """What is said of a file: answers and the heatmaps written, by finding, or why there are none.

    `doubt` says why the answers may mean nothing, and is empty for what looks like a chest.
    """

    file: Path
    answers: list[Answer]
    heatmaps: dict[str, str]
    doubt: str = ""
    reason: str = ""


def read(name: str) -> Model:
    """Return the model of a recipe and what the stages behind its training wrote.

    Raises `InputError` where that is absent or of another dataset than params.yaml's.
    """
    active = load_block("dataset", str)
    dataset = load_block(f"datasets.{active}", DATASET)
    network, recipe = read_model(Path(f"models/{name}/model.safetensors"))
    detail = Path(f"evaluations/{name}/detail.json")
    evaluation = read_evaluation(detail)
    drawn = active_drawn = isinstance(dataset, Phantom)
    if evaluation is None:
        log.warning("%s not found: nothing is calibrated, and there is no threshold", detail)
    else:
        drawn = evaluation.label_version == "phantom"
    if drawn != active_drawn:
        raise InputError(
            f"params.yaml: dataset is {active}, expected the one that {name} was trained on "
            f"({'drawn' if drawn else 'real'} images), whose packed_px its images need"
        )
    shown = read_record(Path(f"predictions/{name}/views.json"), Shown, by="predict")
    return Model(name, network, recipe, shown, evaluation, dataset.packed_px, drawn)


def ask(
    model: Model, files: Sequence[Path], *, mapped: tuple[str, ...], output: Path
) -> Iterator[Told]:
    """Yield what is told of each file, those of a batch that are no radiographs first.

    Heatmaps of the findings `mapped` are written to the folder `output`.
    """
    recipe, compute = model.recipe, load_block("compute", Compute)
    device = choose_device(compute)
    precision = choose_precision(compute, device)
    network = model.network.to(device)
    views, each = model.shown.views, list(dict.fromkeys(files))
    names = dict(zip(each, name_pictures(each), strict=True))
    parts = dict(zip(recipe.findings, name_findings(recipe.findings), strict=True))
    for first in range(0, len(files), recipe.batch):
        good, pixels, failed = read_files(files[first : first + recipe.batch], px=model.packed_px)
        for file, reason in failed:
            yield Told(file, [], {}, reason=reason)
        if not good:
            continue
        raw = predict_images(
            *(network, pixels, recipe), views=views, device=device, precision=precision
        )
        maps: Iterable[Iterable[NDArray[np.float32]]] = [()] * len(good)
        if mapped:
            maps = map_images(
                *(network, pixels, recipe), views=views, findings=mapped, device=device
            )
        for file, grey, row, heatmaps in zip(good, pixels, raw, maps, strict=True):
            answers = judge(row, recipe, model.evaluation)
            asked = [answer for answer in answers if answer.finding in mapped]
            written = {}
            for answer, heatmap in zip(asked, heatmaps, strict=True):
                path = output / f"{names[file]}_{parts[answer.finding]}.png"
                captions = caption(answer, recipe=model.name, drawn=model.drawn)
                picture = draw_overlay(grey, heatmap, captions=captions)
                write_bytes(path, encode(picture, kind="PNG"))
                written[answer.finding] = str(path)
            yield Told(file, answers, written, doubt=_doubt(model, file, grey))


def _doubt(model: Model, file: Path, grey: NDArray[np.uint8]) -> str:
    if model.shown.look is None or is_like(grey, model.shown.look):
        return ""
    return (
        f"{show_path(file)} does not look like the upright chests that {model.name} was trained "
        "on; its answers may mean nothing"
    )
