"""A training as a whole: selection, early stopping, averages, going on after a kill."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import CPU, RECIPES, tiny_part, tiny_recipe
from torch import nn

from chestxray14.base.errors import InputError
from chestxray14.files.tensors import read_tensors
from chestxray14.model.backbones import build_network
from chestxray14.model.batches import Part
from chestxray14.model.predicting import predict
from chestxray14.model.recipe import Recipe
from chestxray14.model.views import reduce, view_centre
from chestxray14.training import checkpoint, epoch
from chestxray14.training import fit as training
from chestxray14.training.epoch import Training
from chestxray14.training.fit import Trained, is_finished, train


def fit(
    recipe: Recipe, folder: Path, *, val: Part | None = None, precision: str = "fp32", **more: Any
) -> Trained:
    part = tiny_part(12, recipe=recipe)
    parts = {"train": part, "val": val or part}
    return train(recipe, **parts, folder=folder, device=CPU, precision=precision, **more)


SGD = {
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
    "loss": {"name": "focal", "gamma": 2.0, "alpha": 0.25},
    "selection": "val_auroc",
}


@pytest.mark.parametrize(
    ("name", "changes", "precision"),
    [
        ("best", {}, "fp32"),
        ("custom_densenet121", {}, "fp32"),
        ("resnet50_frozen", SGD, "fp32"),
        ("resnet50_frozen", {}, "fp16"),
    ],
)
def test_a_training_cut_after_any_epoch_ends_in_the_same_bits(
    name: str,
    changes: dict[str, object],
    precision: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # `best` keeps averaged weights, `custom_densenet121` a schedule that looks back, SGD momentum.
    recipe = tiny_recipe(name, **{"epochs": 3, "early_stopping": None, **changes})
    if precision == "fp16":
        # So large a first scale that steps are skipped: the next epochs depend on what it became.
        monkeypatch.setattr(training, "build_scaler", scale_too_far)
    whole = fit(recipe, tmp_path / "whole", precision=precision)
    assert (whole.skipped_steps > 0) == (precision == "fp16")
    save = checkpoint.save

    def save_and_die(*arguments: object, **named: object) -> None:
        save(*arguments, **named)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    for _ in range(recipe.epochs - 1):
        with pytest.raises(KeyboardInterrupt):
            fit(recipe, tmp_path / "cut", precision=precision)
    cut = fit(recipe, tmp_path / "cut", precision=precision)
    assert cut.history == whole.history
    assert (cut.best_epoch, cut.skipped_steps) == (whole.best_epoch, whole.skipped_steps)
    assert all(torch.equal(cut.weights[key], whole.weights[key]) for key in whole.weights)


def scale_too_far(device: torch.device, precision: str) -> torch.amp.GradScaler:
    return torch.amp.GradScaler(device.type, init_scale=2.0**40)


def test_whoever_watches_is_told_the_whole_history_after_every_epoch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    recipe, told = tiny_recipe("resnet50_frozen", epochs=2), list[int]()

    def watch(history: list[dict[str, float]]) -> None:
        told.append(len(history))
        if len(told) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(recipe, tmp_path, tell=watch)
    # The epoch that was told is kept; going on tells it again.
    assert fit(recipe, tmp_path, tell=watch).history
    assert told == [1, 1, 2]
    last = caplog.messages[-1]
    parts = r"epoch 2 of 2: loss [\d.]+, .*AUROC [\d.]+, rate 0\.0001, [\d,.]+ images a second, 0:00:00 left"
    assert re.match(parts, last)


def test_saving_takes_no_more_of_the_time_than_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, saved = 0.0, list[int]()

    def train_a_second(*_: object, **__: object) -> tuple[float, int]:
        nonlocal clock
        clock += 1
        return 0.5, 0

    def save(_: Path, progress: checkpoint.Progress, *__: object, **___: object) -> None:
        nonlocal clock
        clock += 0.08
        saved.append(len(progress.history))

    monkeypatch.setattr(training.time, "monotonic", lambda: clock)
    monkeypatch.setattr(training, "train_one_epoch", train_a_second)
    monkeypatch.setattr(checkpoint, "save", save)
    make_up(monkeypatch, [(0.5, 0.5)] * 8)
    fit(tiny_recipe("resnet50_frozen", epochs=8, early_stopping=None), tmp_path)
    # 0.08 s of saving are a twentieth of 1.6 s.
    assert saved == [1, 3, 5, 7]


def test_a_network_of_which_nothing_is_trained_is_looked_at_once(tmp_path: Path) -> None:
    recipe = tiny_recipe("chexnet_untrained")
    trained = fit(recipe, tmp_path)
    assert len(trained.history) == 1
    start = build_network(recipe).state_dict()
    assert all(torch.equal(start[name], trained.weights[name]) for name in start)
    # Seen as validation sees it, the training part costs what the same images cost there.
    assert trained.history[0]["train_loss"] == pytest.approx(trained.history[0]["val_loss"])


def make_up(monkeypatch: pytest.MonkeyPatch, scores: list[tuple[float, float]]) -> None:
    """Make the epochs of a training score as given: validation loss, AUROC."""
    told = iter(scores)
    monkeypatch.setattr(training, "assess", lambda *_: next(told))


SCORES = [(0.9, 0.5), (0.7, 0.6), (0.8, 0.8), (0.75, 0.7), (0.74, 0.75)]


@pytest.mark.parametrize(
    ("selection", "patience", "best", "epochs"),
    [
        ("val_loss", None, 1, 5),
        ("val_auroc", None, 2, 5),
        ("val_loss", 2, 1, 4),
        ("val_auroc", 1, 2, 4),
    ],
)
def test_the_best_epoch_is_kept_and_waiting_ends_the_training(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    selection: str,
    patience: int | None,
    best: int,
    epochs: int,
) -> None:
    make_up(monkeypatch, SCORES)
    recipe = tiny_recipe(epochs=5, selection=selection, early_stopping=patience)
    trained = fit(recipe, tmp_path)
    assert (trained.best_epoch, len(trained.history)) == (best, epochs)


@pytest.mark.parametrize("selection", ["val_loss", "val_auroc"])
def test_of_equally_good_epochs_the_first_is_kept(
    selection: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_up(monkeypatch, [(0.8, 0.5), (0.7, 0.6), (0.7, 0.6)])
    recipe = tiny_recipe("resnet50_frozen", epochs=3, selection=selection)
    assert fit(recipe, tmp_path).best_epoch == 1


def test_what_is_validated_is_the_average_that_is_kept(tmp_path: Path) -> None:
    recipe = tiny_recipe(ema=0.9, epochs=2, loss={"name": "bce"})
    trained = fit(recipe, tmp_path)
    part = tiny_part(12, recipe=recipe)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    inputs = (reduce(torch.from_numpy(part.images), px=32) - mean) / std
    tensors, _ = read_tensors(tmp_path / "last.safetensors")
    costs = {}
    for kept in ("average", "network"):
        network = build_network(recipe).eval()
        network.load_state_dict(
            {name: torch.from_numpy(tensors[f"{kept}.{name}"]) for name in network.state_dict()}
        )
        with torch.no_grad():
            logits = network(inputs)
        costs[kept] = F.binary_cross_entropy_with_logits(logits, part.labels).item()
    averaged = [name.removeprefix("best.") for name in tensors if name.startswith("best.")]
    assert all(np.array_equal(tensors[f"best.{n}"], tensors[f"average.{n}"]) for n in averaged)
    assert averaged
    assert trained.history[0]["val_loss"] == pytest.approx(costs["average"], rel=1e-5)
    assert costs["network"] != pytest.approx(costs["average"], rel=1e-3)


def test_the_kept_weights_are_those_of_the_best_epoch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_up(monkeypatch, SCORES)
    kept = fit(tiny_recipe(epochs=3), tmp_path / "long")
    make_up(monkeypatch, SCORES)
    short = fit(tiny_recipe(epochs=2), tmp_path / "short")
    assert kept.best_epoch == short.best_epoch == 1
    assert all(torch.equal(kept.weights[key], short.weights[key]) for key in kept.weights)


def test_a_training_that_was_stopped_early_stays_stopped(tmp_path: Path) -> None:
    recipe = tiny_recipe(epochs=9, early_stopping=2)
    progress = checkpoint.Progress(history=[{}] * 3, best_epoch=0, best_score=0.5)
    assert is_finished(recipe, progress)
    assert not is_finished(recipe, checkpoint.Progress(history=[{}] * 2, best_epoch=0))
    assert not is_finished(recipe, checkpoint.Progress())


def one_sided(part: Part, *, present: tuple[int, ...], absent: tuple[int, ...]) -> Part:
    """Return a part that has some findings, by column, in every image and others in none."""
    labels = part.labels.clone()
    labels[:, list(present)], labels[:, list(absent)] = 1.0, 0.0
    return replace(part, labels=labels)


EVERY = tuple(range(14))


def test_findings_of_one_class_are_named_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training, "build_network", lambda _: pytest.fail("already training"))
    recipe, part = tiny_recipe(), tiny_part(12)
    run = {"folder": tmp_path, "device": CPU, "precision": "fp32"}
    with pytest.raises(pytest.fail.Exception, match="already training"):
        train(
            recipe,
            train=one_sided(part, present=(0,), absent=(2, 13)),
            val=one_sided(part, present=(), absent=(1,)),
            **run,  # type: ignore[arg-type]
        )
    assert [record.getMessage() for record in caplog.records] == [
        "the training part has no image with Effusion or Hernia: nothing to learn there",
        "the training part has no image without Atelectasis: nothing to learn there",
        "the validation part has no image with Cardiomegaly: no AUROC there",
    ]


def test_where_no_finding_can_be_learned_or_ranked_training_does_not_begin(tmp_path: Path) -> None:
    part = tiny_part(12)
    none = one_sided(part, present=(), absent=EVERY)
    run = {"folder": tmp_path, "device": CPU, "precision": "fp32"}
    with pytest.raises(InputError, match="both present and absent in the training part"):
        train(tiny_recipe(), train=none, val=part, **run)  # type: ignore[arg-type]
    recipe = tiny_recipe(selection="val_auroc")
    with pytest.raises(InputError, match="selection is val_auroc, but no finding is both"):
        train(recipe, train=part, val=none, **run)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spoiled", ["training", "validation"])
def test_a_loss_that_is_not_finite_leaves_the_last_whole_epoch(
    spoiled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(epochs=3)
    whole = fit(recipe, tmp_path / "whole")
    one_epoch, judge = training.train_one_epoch, training.assess

    def spoil(
        state: Training, part: Part, *, epoch: int, val_losses: list[float]
    ) -> tuple[float, int]:
        if epoch == 1 and spoiled == "training":
            nn.init.constant_(state.network.get_submodule("head")[-1].bias, float("nan"))
        return one_epoch(state, part, epoch=epoch, val_losses=val_losses)

    judged = []

    def misjudge(state: Training, part: Part) -> tuple[float, float]:
        judged.append(judge(state, part))
        return (float("inf"), 0.5) if len(judged) == 2 else judged[-1]

    with monkeypatch.context() as patch:
        patch.setattr(training, "train_one_epoch", spoil)
        if spoiled == "validation":
            patch.setattr(training, "assess", misjudge)
        with pytest.raises(InputError, match=r"loss is (nan|inf).*epoch 2.*learning rate 0\.001"):
            fit(recipe, tmp_path / "bad")
    _, record = read_tensors(tmp_path / "bad" / "last.safetensors")
    assert len(record["progress"]["history"]) == 1
    again = fit(recipe, tmp_path / "bad")
    assert again.history == whole.history
    assert all(torch.equal(again.weights[key], whole.weights[key]) for key in whole.weights)


@pytest.mark.parametrize("name", RECIPES)
def test_the_validation_part_is_never_augmented(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    augment = epoch.augment

    def note(images: torch.Tensor, *rest: object, **named: object) -> torch.Tensor:
        seen.append(images)
        return augment(images, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(epoch, "augment", note)
    recipe = tiny_recipe(name, epochs=0 if name == "chexnet_untrained" else 1)
    validation = tiny_part(6, recipe=recipe)
    marked = Part(validation.images * 0 + 7, validation.rows, validation.names, validation.labels)
    fit(recipe.model_copy(update={"selection": "val_loss"}), tmp_path, val=marked)
    # Nothing is trained of the first; nothing is drawn for the others, whose features are kept.
    plainly = name == "chexnet_untrained" or name.startswith("resnet50_frozen")
    assert len(seen) == (0 if plainly else 3)
    assert not any((images == 7).all(dim=(1, 2)).any() for images in seen)


def test_class_weights_come_from_the_training_part_alone(tmp_path: Path) -> None:
    recipe = tiny_recipe("resnet50_frozen", epochs=1)
    part = tiny_part(12, recipe=recipe)
    labels = torch.zeros_like(part.labels)
    labels[:3] = 1
    rare = Part(part.images, part.rows, part.names, labels)
    trained = fit(recipe, tmp_path, val=rare)
    network = build_network(recipe)
    network.load_state_dict(trained.weights)
    logits = predict(
        *(network, rare, lambda images: (view_centre(images, recipe),)),
        batch=12,
        device=CPU,
        precision="fp32",
        what="test",
    )[:, 0]
    share = part.labels.mean(dim=0).clamp(1 / 12, 11 / 12).numpy()
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    by_hand = np.where(labels > 0, -np.log(p) / (2 * share), -np.log(1 - p) / (2 - 2 * share))
    assert trained.history[0]["val_loss"] == pytest.approx(by_hand.mean(), rel=1e-4)


def test_a_checkpoint_holds_the_average_beside_the_weights(tmp_path: Path) -> None:
    fit(tiny_recipe("best", epochs=2, selection="val_loss"), tmp_path)
    tensors, _ = read_tensors(tmp_path / "last.safetensors")
    average, network, best = (
        tensors[f"{part}.head.3.weight"] for part in ("average", "network", "best")
    )
    assert not np.array_equal(average, network)
    assert np.array_equal(best, average)


def test_of_a_frozen_front_a_checkpoint_holds_nothing_and_the_weights_hold_all(
    tmp_path: Path,
) -> None:
    recipe = tiny_recipe("resnet50_frozen", epochs=2)
    trained = fit(recipe, tmp_path)
    tensors, _ = read_tensors(tmp_path / "last.safetensors")
    assert {name.split(".")[1] for name in tensors if name.startswith("network.")} == {"head"}
    start = build_network(recipe).state_dict()
    assert list(trained.weights) == list(start)
    for name, tensor in start.items():
        if name.startswith("trunk."):
            assert torch.equal(trained.weights[name], tensor)
    assert not torch.equal(trained.weights["head.7.weight"], start["head.7.weight"])


def test_a_validation_that_diverged_ends_in_one_line(tmp_path: Path) -> None:
    recipe = tiny_recipe(epochs=1, trainable="all")

    class Diverging(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            logits = super().forward(input)
            return logits if self.training else logits * torch.nan

    def build(*_: object) -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Diverging(3, 14))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "build_network", build)
        with pytest.raises(InputError, match=r"^the validation loss is nan after epoch 1 at"):
            fit(recipe, tmp_path)
