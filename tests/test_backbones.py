import urllib.error
from pathlib import Path

import pytest
import torch
from torchvision.models import densenet121

from chestxray14.backbones import build_network
from chestxray14.errors import InputError


def test_the_network_is_densenet121_with_14_logits() -> None:
    network = build_network(weights="random", seed=0)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 14)
    reference = densenet121(num_classes=14)
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == {
        name: tensor.shape for name, tensor in reference.state_dict().items()
    }


def test_weights_depend_on_the_seed_alone_and_leave_torchs_stream_alone() -> None:
    torch.manual_seed(5)
    first = build_network(weights="random", seed=1).state_dict()
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == after
    again = build_network(weights="random", seed=1).state_dict()
    other = build_network(weights="random", seed=2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_imagenet_weights_are_loaded_into_the_trunk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The download is looked for in torch's cache first, as on a machine that has it.
    source = densenet121()
    saved = source.state_dict()
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *_, **__: dict(saved)
    )
    network = build_network(weights="imagenet", seed=0).state_dict()
    trunk = [name for name in saved if not name.startswith("classifier")]
    assert all(torch.equal(network[name], saved[name]) for name in trunk)
    assert network["classifier.weight"].shape == (14, 1024)


def test_a_failed_download_says_where_to_put_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(InputError, match=r"densenet121-a639ec97\.pth to .*limits\.weights"):
        build_network(weights="imagenet", seed=0)
