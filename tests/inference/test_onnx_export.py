import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from fake_run import make_evaluation
from tiny import tiny_recipe, unsettled
from torch import nn

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.base.notices import NOTICE
from chestxray14.inference import onnx_export
from chestxray14.inference.onnx_export import OPSET, describe, export_onnx
from chestxray14.inference.single_image import DRAWN_NOTICE
from chestxray14.model.recipe import Recipe, Views
from chestxray14.model.views import normalize, view_centre

PX = 48


def export(network: nn.Module, recipe: Recipe, *, views: Views = "flip") -> bytes:
    return export_onnx(
        *(network, recipe),
        views=views,
        name="mine",
        packed_px=PX,
        evaluation=None,
        drawn=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "head"),
    [("densenet121", "linear"), ("resnet50", "fully_connected"), ("resnet50", "convolutional")],
)
def test_onnxruntime_gives_pytorchs_probabilities_for_any_number_of_images(
    backbone: str, head: str
) -> None:
    recipe = tiny_recipe(backbone=backbone, head=head, resize_px=37, findings=["Mass", "Edema"])
    network = unsettled(recipe)
    content = export(network, recipe)
    session = onnxruntime.InferenceSession(content)
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("image", "tensor(uint8)", ["batch", PX, PX])
    ]
    assert [(o.name, o.type) for o in session.get_outputs()] == [("probability", "tensor(float)")]
    for count in (1, 3):
        images = np.random.default_rng(count).integers(0, 256, (count, PX, PX), dtype=np.uint8)
        with torch.no_grad():
            seen = view_centre(torch.from_numpy(images), recipe)
            expected = network(normalize(seen)).sigmoid().numpy()
        (found,) = session.run(None, {"image": images})
        assert found.shape == (count, 2)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert np.ptp(expected) > 1e-3
    _check_file(content)


def _check_file(content: bytes) -> None:
    """Check that a file is valid and knows nothing of the machine that wrote it."""
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    for trace in (b"stack_trace", b"site-packages", str(Path.cwd()).encode()):
        assert trace not in content


class Pooled(nn.Module):
    """A network that is exported in no time."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(inputs.mean(dim=(2, 3)))
        return logits


@pytest.mark.parametrize(("resize_px", "px"), [(32, 32), (37, 32), (48, 48), (64, 48)])
def test_reduction_and_cut_are_those_of_the_centre_view(resize_px: int, px: int) -> None:
    recipe = tiny_recipe(input_px=px, resize_px=resize_px, findings=["Mass", "Edema"])
    whole = onnx_export.FromGrey(nn.Flatten(), recipe, packed_px=PX)
    images = torch.randint(0, 256, (2, PX, PX), dtype=torch.uint8)
    expected = normalize(view_centre(images, recipe)).flatten(1).sigmoid()
    torch.testing.assert_close(whole(images), expected, atol=1e-5, rtol=0)


def test_the_metadata_travel_in_the_file_and_export_repeats_its_bytes() -> None:
    recipe = tiny_recipe(findings=["Mass", "Edema"])
    torch.manual_seed(0)
    network = Pooled()
    content = export(network, recipe)
    model = onnx.load_from_string(content)
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found == describe(
        recipe, views="flip", name="mine", packed_px=PX, evaluation=None, drawn=False
    )
    assert export(network, recipe) == content


def test_the_metadata_say_all_that_a_user_must_know() -> None:
    recipe = tiny_recipe("best", findings=["Mass", "Edema"])
    evaluation = make_evaluation(dict.fromkeys(FINDINGS, 0.75), sha256="ab" * 32)
    told = describe(
        recipe, views="ten_crop", name="mine", packed_px=PX, evaluation=evaluation, drawn=True
    )
    assert told["recipe"] == "mine"
    assert json.loads(told["findings"]) == ["Mass", "Edema"]
    assert (told["input_px"], told["value_range"]) == ("48", "[0, 255]")
    assert json.loads(told["thresholds"]) == {"Mass": 0.125, "Edema": 0.125}
    fit = {"slope": 0.9, "intercept": -0.5}
    assert json.loads(told["platt"]) == {"Mass": fit, "Edema": fit}
    assert "ten_crop" in told["fitted_on"]
    assert told["notice"] == f"{NOTICE} {DRAWN_NOTICE}"
    assert "NIH Clinical Center" in told["credit"]
    bare = describe(
        recipe, views="ten_crop", name="mine", packed_px=PX, evaluation=None, drawn=False
    )
    assert (bare["thresholds"], bare["platt"], bare["notice"]) == ("{}", "{}", NOTICE)


def test_a_file_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network, recipe = Pooled(), tiny_recipe(findings=["Mass", "Edema"])
    describe_it = onnx.helper.set_model_props

    def turn(model: onnx.ModelProto, props: dict[str, str]) -> None:
        describe_it(model, props)
        network.last.bias.data += 1

    monkeypatch.setattr(onnx.helper, "set_model_props", turn)
    with pytest.raises(InputError, match=r"mine as ONNX differs from PyTorch by 0\.\d+, expected"):
        export(network, recipe)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_without_its_packages_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package} .* pip install -e '\.\[onnx\]'"):
        export(Pooled(), tiny_recipe(findings=["Mass", "Edema"]))
