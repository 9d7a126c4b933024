"""What a trained network says of radiographs that belong to no dataset."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.special import expit
from torch import nn

from chestxray14.base.errors import InputError
from chestxray14.base.notices import NOTICE
from chestxray14.base.params import Views
from chestxray14.data.images import pack
from chestxray14.files.heatmaps import lay_out
from chestxray14.files.names import is_image
from chestxray14.inference.radiographs import ends_as_dicom, read_radiograph
from chestxray14.model.batches import Part
from chestxray14.model.maps import choose_method, choose_stride, describe_maps, draw_maps
from chestxray14.model.predicting import predict
from chestxray14.model.recipe import Recipe
from chestxray14.model.views import view
from chestxray14.scoring.calibration import apply_platt
from chestxray14.scoring.evaluation import Evaluation

DRAWN_NOTICE = (
    "The model was trained on drawn images: its answers about a real radiograph mean nothing."
)

_LONGEST_NAME = 100

_FEWEST_CELLS = 7
"""Cells a side that a heatmap needs to be worth a look: those of 224 pixels at stride 32."""


@dataclass(frozen=True)
class Answer:
    """What a network says of one finding in one radiograph.

    `raw` is the mean over the recipe's views, `calibrated` after Platt's correction, `threshold`
    Youden's, for `raw`. The last two come from the validation part and are None where there are
    none.
    """

    finding: str
    raw: float
    calibrated: float | None
    threshold: float | None

    @property
    def is_calibrated(self) -> bool:
        """Whether the validation part allowed a correction."""
        return self.calibrated is not None

    @property
    def probability(self) -> float:
        """The calibrated probability, or the raw one where there is none."""
        return self.raw if self.calibrated is None else self.calibrated

    @property
    def reached(self) -> bool | None:
        """Whether the finding is called present."""
        return None if self.threshold is None else self.raw >= self.threshold


def read_evaluation(path: Path) -> Evaluation | None:
    """Return what `evaluate` wrote of a network, None where it has not run."""
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise InputError(f"{path} is of another version; run the evaluate stage again") from None


def read_files(
    files: Sequence[Path], *, px: int
) -> tuple[list[Path], NDArray[np.uint8], list[tuple[Path, str]]]:
    """Return the files that are radiographs, their pixels (n, px, px), and why others are none."""
    good: list[Path] = []
    failed: list[tuple[Path, str]] = []
    pixels = np.empty((len(files), px, px), dtype=np.uint8)
    for file in files:
        try:
            pixels[len(good)] = pack(read_radiograph(file), px=px)
            good.append(file)
        except InputError as error:
            failed.append((file, str(error)))
    return good, pixels[: len(good)], failed


def predict_images(
    network: nn.Module,
    pixels: NDArray[np.uint8],
    recipe: Recipe,
    *,
    views: Views,
    device: torch.device,
    precision: str,
) -> NDArray[np.float32]:
    """Return the raw probabilities (n, findings) of packed images (n, P, P), n at least 1.

    They are those of the predict stage: the mean over the `views`.
    """
    logits = predict(
        network,
        _as_part(pixels, recipe),
        lambda images: view(images, recipe, views),
        batch=recipe.batch,
        device=device,
        precision=precision,
        what="predict",
    )
    probabilities: NDArray[np.float32] = expit(logits).mean(axis=1)
    return probabilities


def map_images(
    network: nn.Module,
    pixels: NDArray[np.uint8],
    recipe: Recipe,
    *,
    views: Views,
    findings: Sequence[str],
    device: torch.device,
) -> Iterator[NDArray[np.float32]]:
    """Yield the heatmaps (k, P, P) of k findings in packed images (n, P, P), in order.

    CAM where it is exact and fine enough, else Grad-CAM++ at the coarsest stride that gives a map
    seven cells a side, or the finest there is. In fp32: bf16 looks the same, and on a CPU a
    process's first bf16 pass takes ten seconds to get going.
    """
    stride = choose_stride(recipe.input_px, cells=_FEWEST_CELLS)
    method = choose_method(recipe, stride)
    geometry = describe_maps(recipe, views=views, method=method, stride=stride)
    for maps in draw_maps(
        network,
        _as_part(pixels, recipe),
        recipe,
        views=views,
        findings=findings,
        method=method,
        stride=stride,
        device=device,
        precision="fp32",
        what="heatmaps",
    ):
        yield lay_out(maps, geometry, cells=pixels.shape[1])


def judge(
    probabilities: NDArray[np.float32], recipe: Recipe, evaluation: Evaluation | None
) -> list[Answer]:
    """Return the answers for one radiograph, from its raw probabilities (findings,)."""
    scores = evaluation.findings if evaluation else {}
    thresholds = evaluation.youden if evaluation else {}
    answers = []
    for finding, given in zip(recipe.findings, probabilities, strict=True):
        # As prediction files hold it: thresholds were chosen among such numbers.
        raw = float(f"{given:.9g}")
        fit = scores[finding].calibrated if finding in scores else None
        calibrated = (
            float(apply_platt(raw, slope=fit.slope, intercept=fit.intercept)) if fit else None
        )
        answers.append(Answer(finding, raw, calibrated, thresholds.get(finding)))
    return answers


def tabulate_answers(answers: Sequence[Answer]) -> str:
    """Return a heading and a line a finding; a probability that is not calibrated has a *."""
    lines = [f"  {'finding':<20}{'probability':>11} {'raw':>8}{'threshold':>11}  reached"]
    for answer in answers:
        mark = " " if answer.is_calibrated else "*"
        threshold = "-" if answer.threshold is None else f"{answer.threshold:.4f}"
        reached = {True: "yes", False: "no", None: "-"}[answer.reached]
        lines.append(
            f"  {answer.finding:<20}{answer.probability:>11.4f}{mark}{answer.raw:>8.4f}"
            f"{threshold:>11}  {reached}"
        )
    return "\n".join(lines)


def as_record(answers: Sequence[Answer]) -> dict[str, dict[str, object]]:
    """Return the answers as JSON takes them, by finding."""
    return {
        answer.finding: {
            "probability": answer.probability,
            "calibrated": answer.is_calibrated,
            "raw": answer.raw,
            "threshold": answer.threshold,
            "reached": answer.reached,
        }
        for answer in answers
    }


def caption(answer: Answer, *, recipe: str, drawn: bool) -> tuple[str, str]:
    """Return the two lines below an overlay: the answer, and what it is not."""
    kind = f"calibrated ({answer.raw:.3f} raw)" if answer.is_calibrated else "raw"
    origin = f" {recipe} was trained on drawn images." if drawn else ""
    return (
        f"{answer.finding} {answer.probability:.3f} {kind}, {recipe}",
        f"{NOTICE}{origin}",
    )


def name_pictures(files: Sequence[Path]) -> list[str]:
    """Return a name for each file: its own without ending, numbered where several share it."""
    names: list[str] = []
    taken: set[str] = set()
    for file in files:
        # A DICOM file may be called 1.2.840.113619, which has no ending.
        known = is_image(file.name) or ends_as_dicom(file)
        own = (file.stem if known else file.name)[:_LONGEST_NAME]
        name, count = own, 1
        # Some file systems do not tell Mass from mass.
        while name.lower() in taken:
            count += 1
            name = f"{own}-{count}"
        taken.add(name.lower())
        names.append(name)
    return names


def _as_part(pixels: NDArray[np.uint8], recipe: Recipe) -> Part:
    count = len(pixels)
    return Part(
        images=pixels,
        rows=np.arange(count),
        names=[""] * count,
        labels=torch.zeros(count, len(recipe.findings)),
    )
