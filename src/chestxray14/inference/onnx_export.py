"""A trained network as an ONNX file that needs no knowledge of this project."""

import json
import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from chestxray14.base.errors import InputError
from chestxray14.base.notices import NOTICE
from chestxray14.base.params import Views
from chestxray14.inference.single_image import DRAWN_NOTICE
from chestxray14.model.recipe import Recipe
from chestxray14.model.views import normalize, view_centre
from chestxray14.scoring.evaluation import Evaluation

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
"""The oldest that torch's exporter writes without a conversion."""

TOLERANCE = 1e-4
"""How far the file's probabilities may be from PyTorch's."""

GREY, WHITE = 100, 200
"""Levels by which the reduction of an image is learned."""

CREDIT = (
    "Code: MIT licence. ChestX-ray14 is public data, courtesy of the NIH Clinical Center; cite "
    "Wang et al., ChestX-ray8, CVPR 2017, arXiv:1705.02315."
)


class FromGrey(nn.Module):
    """A network with all its preprocessing: uint8 grey (B, P, P) -> probabilities (B, findings).

    It sees the centre of the image, as `views.view_centre` cuts it. Reduction and cut are one product
    with a matrix from each side, which every ONNX runtime knows.
    """

    reduction: Tensor

    def __init__(self, network: nn.Module, recipe: Recipe, *, packed_px: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("reduction", _reduction(recipe, packed_px=packed_px))

    def forward(self, image: Tensor) -> Tensor:
        """Return probabilities (B, findings)."""
        grey = (self.reduction @ (image.float() / 255) @ self.reduction.T).clamp(0, 1)
        logits: Tensor = self.network(normalize(grey[:, None]))
        return logits.sigmoid()


def _reduction(recipe: Recipe, *, packed_px: int) -> Tensor:
    """Return the rows (input_px, packed_px) by which both sides are reduced and cut."""
    # The view is linear in grey levels: what a brighter line adds. Grey keeps it from being cut off.
    image = torch.full((1, packed_px, packed_px), GREY, dtype=torch.uint8)
    columns = []
    for line in range(packed_px):
        image[:, line] = WHITE
        columns.append(view_centre(image, recipe)[0, 0, :, recipe.input_px // 2])
        image[:, line] = GREY
    return (255 * torch.stack(columns, dim=1) - GREY) / (WHITE - GREY)


def export_onnx(
    network: nn.Module,
    recipe: Recipe,
    *,
    views: Views,
    name: str,
    packed_px: int,
    evaluation: Evaluation | None,
    drawn: bool,
) -> bytes:
    """Return a network as an ONNX file, checked against PyTorch.

    Input `image`: uint8 (batch, packed_px, packed_px), grey; output `probability`: float32 (batch,
    findings), raw. What else a user must know is in the file's metadata (see `describe`). Raises
    `InputError` when the packages it needs are absent, or the file computes something else.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"the package {error.name} is not installed; pip install -e '.[onnx]'"
        ) from None
    whole = FromGrey(network, recipe, packed_px=packed_px).cpu().float().eval()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, packed_px, packed_px), dtype=np.uint8)
    program = _trace(whole, torch.from_numpy(images))
    model = program.model_proto
    _forget_sources(model)
    onnx.helper.set_model_props(
        model,
        describe(
            recipe,
            views=views,
            name=name,
            packed_px=packed_px,
            evaluation=evaluation,
            drawn=drawn,
        ),
    )
    content: bytes = model.SerializeToString()

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": images})
    with torch.no_grad():
        expected = whole(torch.from_numpy(images)).numpy()
    if not (gap := float(abs(found - expected).max())) <= TOLERANCE:
        raise InputError(
            f"{name} as ONNX differs from PyTorch by {gap:g}, expected at most {TOLERANCE:g}; try "
            "other versions of torch and onnxscript"
        )
    return content


def _trace(whole: nn.Module, images: Tensor) -> torch.onnx.ONNXProgram:
    for noisy in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            whole,
            (images,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["image"],
            output_names=["probability"],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return program


def _forget_sources(model: "ModelProto") -> None:
    """Drop what the exporter notes of files on this machine."""
    graph = model.graph
    for entry in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        del entry.metadata_props[:]
    for tensor in graph.initializer:
        del tensor.metadata_props[:]


def describe(
    recipe: Recipe,
    *,
    views: Views,
    name: str,
    packed_px: int,
    evaluation: Evaluation | None,
    drawn: bool,
) -> dict[str, str]:
    """Return the metadata of the ONNX file; lists and mappings are JSON.

    `thresholds` (Youden's) and `platt` are by finding, empty where nothing was evaluated. Both were
    fitted on the mean over the test-time `views`; the file sees the centre alone.
    """
    points = evaluation.operating_points if evaluation else {}
    scores = evaluation.findings if evaluation else {}
    fits = {
        finding: scores[finding].calibrated for finding in recipe.findings if finding in scores
    }
    return {
        "recipe": name,
        "findings": json.dumps(recipe.findings),
        "input": f"image: uint8 (batch, {packed_px}, {packed_px}), grey, 0 black to 255 white",
        "input_px": str(packed_px),
        "value_range": "[0, 255]",
        "preprocessing": (
            "One 8-bit grey channel, bright where X-rays were stopped. What is not square is centred "
            f"on a black square. Reduce it to {packed_px} x {packed_px} pixels, bilinear with "
            "antialiasing (Pillow's resize with BILINEAR). The file itself reduces that to "
            f"{recipe.resize_px}, cuts the central {recipe.input_px} x {recipe.input_px} and "
            "normalises with ImageNet's mean and standard deviation."
        ),
        "output": "probability: float32 (batch, findings), after the sigmoid, not calibrated",
        "views": views,
        "thresholds": json.dumps(
            {
                finding: threshold
                for finding, threshold in points["youden"].thresholds.items()
                if finding in recipe.findings
            }
            if "youden" in points
            else {}
        ),
        "thresholds_rule": "present from the threshold on; Youden's, of the raw probability",
        "platt": json.dumps(
            {
                finding: {"slope": fit.slope, "intercept": fit.intercept}
                for finding, fit in fits.items()
                if fit
            }
        ),
        "platt_rule": "calibrated = sigmoid(slope * logit(probability) + intercept)",
        "fitted_on": (
            "thresholds and platt were fitted on the validation part, on the mean over the recipe's "
            f"views ({views}); this file sees the centre alone"
        ),
        "notice": f"{NOTICE} {DRAWN_NOTICE}" if drawn else NOTICE,
        "credit": CREDIT,
    }
