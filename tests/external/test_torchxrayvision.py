import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch
import torchxrayvision
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import densenet121

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.external.torchxrayvision import (
    load_external,
    match_findings,
    predict_external,
    prepare,
)
from chestxray14.model.batches import Part
from chestxray14.model.recipe import WeightsFile

CHEX = "densenet121-res224-chex"
OUTPUTS = (
    *("Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema"),
    *("Fibrosis", "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass"),
    *("Hernia", "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum"),
)


@pytest.fixture(scope="module")
def xrv() -> Any:
    return torchxrayvision


@pytest.fixture(scope="module")
def network(xrv: Any) -> nn.Module:
    """Return the package's own network with random weights whose logits are small."""
    torch.manual_seed(0)
    made: Any = xrv.models.DenseNet(weights=None).eval()
    with torch.no_grad():
        made.classifier.weight.normal_(std=1e-5)
        made.classifier.bias.normal_()
    assert isinstance(made, nn.Module)
    return made


def grey(images: int = 3, px: int = 40) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (images, px, px), dtype=np.uint8)


def pinned(weights: str | Path) -> str | WeightsFile:
    """Return published weights by name, a file by its path and content."""
    if isinstance(weights, str):
        return weights
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    return WeightsFile(path=str(weights), sha256=sha256)


def predicted(weights: str | Path) -> NDArray[np.float32]:
    images = grey()
    part = Part(images, np.arange(3), ["a.png", "b.png", "c.png"], torch.zeros(3, len(FINDINGS)))
    loaded = load_external(pinned(weights), name="x")
    return predict_external(loaded, part, batch=2, device=torch.device("cpu"), what="test")


def by_the_package(xrv: Any, network: nn.Module) -> Tensor:
    """Return what the package's network says of images that the package prepared."""
    inputs = torch.from_numpy(np.stack([xrv.datasets.normalize(g, 255)[None] for g in grey()]))
    with torch.inference_mode():
        answer: Tensor = network(xrv.utils.fix_resolution(inputs, 224, network))
    return answer


def refusal(weights: str | Path) -> str:
    with pytest.raises(InputError) as caught:
        load_external(pinned(weights), name="x")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(st.permutations(OUTPUTS), st.sets(st.sampled_from(OUTPUTS)))
def test_findings_are_matched_by_name_and_untrained_outputs_skipped(
    order: list[str], untrained: set[str]
) -> None:
    outputs = ["" if name in untrained else name for name in order]
    columns = match_findings(outputs, FINDINGS)
    assert all(outputs[column] == finding for finding, column in columns.items())
    assert list(columns) == [finding for finding in FINDINGS if finding not in untrained]


def test_grey_becomes_minus_to_plus_1024_and_is_reduced_as_pillow_reduces() -> None:
    ends = torch.tensor([[[0, 255], [51, 204]]], dtype=torch.uint8)
    by_hand = torch.tensor([[[[-1024, 1024], [-614.4, 614.4]]]])
    torch.testing.assert_close(prepare(ends, px=2), by_hand)

    image = grey(1)
    by_pillow = Image.fromarray(image[0].astype(np.float32)).resize(
        (16, 16), Image.Resampling.BILINEAR
    )
    np.testing.assert_allclose(
        prepare(torch.from_numpy(image), px=16)[0, 0],
        np.asarray(by_pillow) / 127.5 * 1024 - 1024,
        atol=1e-2,
    )


def test_an_absent_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torchxrayvision", None)
    assert refusal(CHEX) == (
        "external.x: the package torchxrayvision is not installed; pip install -e '.[external]'"
    )


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_a_local_file_answers_as_the_packages_own_network(
    xrv: Any, network: nn.Module, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(network.state_dict(), file)
    loaded = load_external(pinned(file), name="x")
    assert loaded.outputs == OUTPUTS == tuple(xrv.datasets.default_pathologies)
    assert not loaded.network.training
    expected = by_the_package(xrv, network).sigmoid()
    assert expected.std() > 0.1
    np.testing.assert_allclose(predicted(file), expected, atol=1e-6)


def test_operating_points_in_a_local_file_calibrate_and_tell_untrained_outputs(
    xrv: Any, network: nn.Module, tmp_path: Path
) -> None:
    points = torch.linspace(0.1, 0.9, 18)
    points[OUTPUTS.index("Mass")] = float("nan")
    file = tmp_path / "weights.safetensors"
    save_file({**network.state_dict(), "op_threshs": points}, file)
    assert load_external(pinned(file), name="x").outputs == tuple(
        name if name != "Mass" else "" for name in OUTPUTS
    )
    raw = by_the_package(xrv, network).sigmoid().numpy()
    below = raw / points.numpy() / 2
    above = 1 - (1 - raw) / (1 - points.numpy()) / 2
    by_hand = np.where(raw < points.numpy(), below, above)
    by_hand[:, OUTPUTS.index("Mass")] = 0.5
    np.testing.assert_allclose(predicted(file), by_hand, atol=1e-6)


def test_published_weights_that_lie_in_the_packages_folder_answer_as_the_package(
    xrv: Any,
    network: nn.Module,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = Path(xrv.utils.get_cache_dir())
    folder.mkdir(parents=True)
    torch.save(network, folder / Path(xrv.models.model_urls[CHEX]["weights_url"]).name)

    loaded = load_external(CHEX, name="x")
    assert "no hash in its name" in caplog.text
    assert loaded.outputs == tuple(xrv.models.model_urls[CHEX]["labels"])
    assert set(FINDINGS) - set(match_findings(loaded.outputs, FINDINGS)) == {
        *("Infiltration", "Emphysema", "Fibrosis", "Pleural_Thickening", "Nodule", "Mass"),
        "Hernia",
    }
    expected = by_the_package(xrv, xrv.models.get_model(CHEX))
    np.testing.assert_allclose(predicted(CHEX), expected, atol=1e-6)


def test_weights_that_cannot_be_downloaded_are_named_with_their_address_and_place(
    xrv: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(requests, "get", fail)
    monkeypatch.setenv("HOME", str(tmp_path))
    line = refusal(CHEX)
    assert line.startswith(
        f"external.x.weights: {CHEX} cannot be loaded (no network); bring https"
    )
    assert xrv.models.model_urls[CHEX]["weights_url"] in line
    assert line.endswith(f"{tmp_path}/.torchxrayvision/models_data/")


def test_an_unknown_name_lists_the_known_ones(xrv: Any) -> None:
    line = refusal("all")
    assert line.startswith(
        "external.x.weights: found 'all', expected a file or one of densenet121"
    )
    assert CHEX in line
    assert "resnet50-res512-all" in line


def test_weights_of_another_network_are_refused(
    xrv: Any, network: nn.Module, tmp_path: Path
) -> None:
    save_file(densenet121().state_dict(), tmp_path / "three_channels.safetensors")
    save_file(
        {**network.state_dict(), "op_threshs": torch.ones(3)}, tmp_path / "points.safetensors"
    )
    for name in ("three_channels.safetensors", "points.safetensors"):
        assert f"{name} is not of TorchXRayVision's DenseNet (" in refusal(tmp_path / name)


def test_an_output_that_is_no_probability_names_image_and_finding(
    xrv: Any, network: nn.Module, tmp_path: Path
) -> None:
    state = network.state_dict()
    bias = state["classifier.bias"].clone()
    bias[OUTPUTS.index("Mass")] = float("nan")
    save_file({**state, "classifier.bias": bias}, tmp_path / "broken.safetensors")
    with pytest.raises(
        InputError, match=r"test, a\.png: the network gives nan for Mass, expected"
    ):
        predicted(tmp_path / "broken.safetensors")
