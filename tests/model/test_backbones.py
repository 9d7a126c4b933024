import hashlib
import urllib.error
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny_recipe
from torch import Tensor, nn
from torchvision.models import densenet121, resnet50

from chestxray14.base.errors import InputError
from chestxray14.model.backbones import IMAGENET, build_network

WHOLE = {"densenet121": densenet121, "resnet50": resnet50}
CLASSIFIER = {"densenet121": "classifier", "resnet50": "fc"}


def pinned(path: Path) -> dict[str, str]:
    return {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def trunk(network: nn.Module) -> dict[str, Tensor]:
    return network.trunk.state_dict()


@pytest.mark.parametrize("backbone", WHOLE)
def test_with_a_linear_head_it_computes_what_torchvisions_network_computes(backbone: str) -> None:
    network = build_network(tiny_recipe(backbone=backbone)).eval()
    torch.manual_seed(0)
    whole = WHOLE[backbone](num_classes=14).eval()
    state = dict(trunk(network))
    last = network.head[-1].state_dict()
    state |= {f"{CLASSIFIER[backbone]}.{name}": tensor for name, tensor in last.items()}
    whole.load_state_dict(state)
    images = torch.rand(2, 3, 64, 64)
    # The two walk memory in other orders, so their sums are rounded differently on some CPUs.
    torch.testing.assert_close(network(images), whole(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("head", ["linear", "fully_connected", "convolutional"])
@pytest.mark.parametrize("px", [32, 64, 128])
def test_every_head_gives_a_logit_a_finding_at_any_size(head: str, px: int) -> None:
    network = build_network(tiny_recipe(head=head, findings=["Mass", "Hernia", "Edema"]))
    assert network(torch.rand(2, 3, px, px)).shape == (2, 3)


def test_heads_have_the_layers_of_their_sources() -> None:
    fully = build_network(tiny_recipe(backbone="resnet50", head="fully_connected")).head
    shapes = [tuple(p.shape) for p in fully.parameters()]
    assert shapes == [(2048,), (2048,), (256, 2048), (256,), (256,), (256,), (14, 256), (14,)]
    convolutional = build_network(tiny_recipe(head="convolutional")).head
    shapes = [tuple(p.shape) for p in convolutional.parameters() if p.dim() > 1]
    assert shapes == [(256, 1024, 3, 3), (256, 256, 3, 3), (128, 256, 1, 1), (14, 128)]


def test_weights_depend_on_the_seed_alone_and_leave_torchs_stream_alone() -> None:
    torch.manual_seed(5)
    first = build_network(tiny_recipe(seed=1)).state_dict()
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == after
    again = build_network(tiny_recipe(seed=1)).state_dict()
    other = build_network(tiny_recipe(seed=2)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.3.weight"], other["head.3.weight"])


def cache(folder: Path, monkeypatch: pytest.MonkeyPatch, *, digits: int | None) -> Path:
    """Put a DenseNet into torch's cache, its hash in its name, and have that taken for ImageNet's."""
    monkeypatch.setenv("TORCH_HOME", str(folder))
    checkpoints = folder / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(densenet121().state_dict(), checkpoints / "w.pth")
    sha256 = hashlib.sha256((checkpoints / "w.pth").read_bytes()).hexdigest()
    name = "w.pth" if digits is None else f"w-{sha256[:digits]}.pth"
    monkeypatch.setitem(IMAGENET, "densenet121", f"https://example.org/{name}")
    return (checkpoints / "w.pth").rename(checkpoints / name)


@pytest.mark.parametrize("digits", [8, 64, None])
def test_imagenet_weights_are_loaded_into_the_trunk(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    digits: int | None,
) -> None:
    saved = torch.load(cache(tmp_path, monkeypatch, digits=digits))
    network = build_network(tiny_recipe(weights="imagenet"))
    for name, tensor in trunk(network).items():
        assert torch.equal(tensor, saved[name])
    assert network.head[-1].weight.shape[0] == 14
    assert ("no hash in its name" in caplog.text) == (digits is None)


CONTENTS = {
    "is empty": b"",
    "is a web page": b"\n<!DOCTYPE html>",
    "has 9 bytes": b"truncated",
}


@pytest.mark.parametrize("found", [*CONTENTS, "other numbers"])
@pytest.mark.parametrize("digits", [8, 64])
def test_what_a_cached_files_name_does_not_promise_is_refused(
    found: str, digits: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = cache(tmp_path, monkeypatch, digits=digits)
    promised = file.stem.removeprefix("w-")
    if found in CONTENTS:
        file.write_bytes(CONTENTS[found])
    else:
        torch.save(densenet121().state_dict(), file)
        found = f"has {file.stat().st_size:,} bytes"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:digits]
    with pytest.raises(InputError) as caught:
        build_network(tiny_recipe(weights="imagenet"))
    line = str(caught.value)
    assert line.startswith(f"{file} {found}")
    assert all(
        part in line for part in (promised, digest, "limits.weights", IMAGENET["densenet121"])
    )
    assert "\n" not in line


def test_a_failed_download_says_where_to_put_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    for backbone, file in (("densenet121", "densenet121-a639ec97"), ("resnet50", "resnet50-0676")):
        with pytest.raises(InputError, match=rf"{file}.*\.pth to .*limits\.weights"):
            build_network(tiny_recipe(backbone=backbone, weights="imagenet"))


def test_a_download_is_kept_in_torchs_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = cache(tmp_path / "there", monkeypatch, digits=8)
    monkeypatch.setitem(IMAGENET, "densenet121", file.as_uri())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "here"))
    build_network(tiny_recipe(weights="imagenet"))
    [kept] = (tmp_path / "here").rglob("*.pth")
    assert kept.read_bytes() == file.read_bytes()


def test_chexnets_usual_copy_is_loaded(tmp_path: Path) -> None:
    # Saved in parallel by a class of its own, by torchvision's first names, without counters.
    saved = densenet121().state_dict()
    old = {
        f"module.densenet121.{name}".replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): t
        for name, t in saved.items()
        if not name.endswith("num_batches_tracked")
    }
    assert sum(".norm.1." in name for name in old) == 58 * 4
    torch.save({"epoch": 7, "state_dict": old, "optimizer": {}}, tmp_path / "m.pth.tar")
    network = build_network(tiny_recipe(weights=pinned(tmp_path / "m.pth.tar")))
    for name, tensor in trunk(network).items():
        assert torch.equal(tensor, saved[name])


def test_of_densenet_the_features_alone_suffice(tmp_path: Path) -> None:
    saved = densenet121().features.state_dict()
    torch.save({f"cnn.0.{name}": tensor for name, tensor in saved.items()}, tmp_path / "w.pt")
    network = build_network(tiny_recipe(weights=pinned(tmp_path / "w.pt")))
    assert all(
        torch.equal(t, saved[n.removeprefix("features.")]) for n, t in trunk(network).items()
    )


def test_of_our_own_file_the_trunk_is_loaded_and_the_head_starts_afresh(tmp_path: Path) -> None:
    # A head of other findings may have the very same shape.
    source = build_network(tiny_recipe("chexnet", seed=7)).state_dict()
    save_file({name: t.contiguous() for name, t in source.items()}, tmp_path / "m.safetensors")
    recipe = tiny_recipe("densenet121_last_block", weights=pinned(tmp_path / "m.safetensors"))
    loaded = build_network(recipe).state_dict()
    for name, tensor in loaded.items():
        assert torch.equal(tensor, source[name]) == name.startswith("trunk.")


def test_a_file_of_another_network_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(resnet50().state_dict(), path)
    message = r"w\.safetensors does not fit the network: conv0\.weight is missing"
    with pytest.raises(InputError, match=message):
        build_network(tiny_recipe(weights=pinned(path)))


LAST = {"densenet121": "trunk.features.denseblock4.", "resnet50": "trunk.layer4."}


@pytest.mark.parametrize("backbone", WHOLE)
@pytest.mark.parametrize("trainable", ["head", "last_block", "none"])
def test_nothing_before_the_first_trainable_part_has_a_graph(
    backbone: str, trainable: str
) -> None:
    epochs = 0 if trainable == "none" else 1
    network = build_network(tiny_recipe(backbone=backbone, trainable=trainable, epochs=epochs))
    with_graph: list[str] = []

    def note(name: str, module: nn.Module) -> None:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            if output.requires_grad:
                with_graph.append(name)

        module.register_forward_hook(hook)

    for name, module in network.named_modules():
        if not list(module.children()):
            note(name, module)
    network(torch.rand(2, 3, 32, 32))
    trainable_names = {name for name, p in network.named_parameters() if p.requires_grad}
    if trainable == "none":
        assert not with_graph
        assert not trainable_names
        return
    first = "head." if trainable == "head" else LAST[backbone]
    assert with_graph[0].startswith(first)
    expected = {
        name
        for name, _ in network.named_parameters()
        if name.startswith((first, "head."))
        or (trainable == "last_block" and name.startswith("trunk.features.norm5."))
    }
    assert trainable_names == expected


@pytest.mark.parametrize("head", ["linear", "fully_connected", "convolutional"])
def test_half_precision_ties_no_more_images_than_full_precision(head: str) -> None:
    network = build_network(tiny_recipe(head=head)).eval()
    features = torch.randn(300, 1024, 1, 1, generator=torch.Generator().manual_seed(0))
    images = 1 + 0.02 * features  # alike, as radiographs are
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = network.get_submodule("head")(images)
    assert logits.dtype == torch.float32
    probabilities = logits.sigmoid()
    distinct = [len(column.unique()) for column in probabilities.T]
    # What bf16 leaves of such logits: 8 bits of each.
    rounded = [len(column.unique()) for column in probabilities.to(torch.bfloat16).T]
    assert min(distinct) > 250 > max(rounded)
