"""A training as a whole: selection, early stopping, averages, going on after a kill."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CPU, RECIPES, tiny_part, tiny_recipe

from chestxray14 import checkpoint, training
from chestxray14.augmentation import view_centre
from chestxray14.backbones import build_network
from chestxray14.batches import Part
from chestxray14.engine import predict
from chestxray14.errors import InputError
from chestxray14.recipes import Recipe
from chestxray14.training import Trained, is_finished, train


def fit(recipe: Recipe, folder: Path, *, val: Part | None = None) -> Trained:
    part = tiny_part(12, recipe=recipe)
    return train(recipe, train=part, val=val or part, folder=folder, device=CPU, precision="fp32")


SGD = {
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
    "loss": {"name": "focal", "gamma": 2.0, "alpha": 0.25},
    "selection": "val_auroc",
    "views": "flip",
}


@pytest.mark.parametrize(
    ("name", "changes"), [("best", {}), ("custom_densenet121", {}), ("resnet50_frozen", SGD)]
)
def test_a_training_cut_after_any_epoch_ends_in_the_same_bits(
    name: str, changes: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `best` keeps averaged weights, `custom_densenet121` a schedule that looks back, SGD momentum.
    recipe = tiny_recipe(name, **{"epochs": 3, "early_stopping": None, **changes})
    whole = fit(recipe, tmp_path / "whole")
    save = checkpoint.save

    def save_and_die(*arguments: object, **named: object) -> None:
        save(*arguments, **named)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            fit(recipe, tmp_path / "cut")
    cut = fit(recipe, tmp_path / "cut")
    assert cut.history == whole.history
    assert cut.best_epoch == whole.best_epoch
    assert all(torch.equal(cut.weights[key], whole.weights[key]) for key in whole.weights)


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
    monkeypatch.setattr(training, "assess", lambda *_, **__: next(told))


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


def test_what_cannot_be_ranked_cannot_select(tmp_path: Path) -> None:
    recipe = tiny_recipe(epochs=1, selection="val_auroc")
    part = tiny_part(12)
    one_class = Part(part.images, part.rows, part.names, torch.zeros_like(part.labels))
    with pytest.raises(InputError, match="selection is val_auroc, but no finding is both"):
        fit(recipe, tmp_path, val=one_class)


@pytest.mark.parametrize("name", RECIPES)
def test_the_validation_part_is_never_augmented(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    augment = training.train_one_epoch.__globals__["augment"]

    def note(images: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append(images)
        return augment(images, *rest)  # type: ignore[no-any-return]

    monkeypatch.setitem(training.train_one_epoch.__globals__, "augment", note)
    recipe = tiny_recipe(name, epochs=0 if name == "chexnet_untrained" else 1)
    validation = tiny_part(6, recipe=recipe)
    marked = Part(validation.images * 0 + 7, validation.rows, validation.names, validation.labels)
    fit(recipe.model_copy(update={"selection": "val_loss"}), tmp_path, val=marked)
    assert len(seen) == (0 if name == "chexnet_untrained" else 3)
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
    fit(tiny_recipe("best", epochs=1, selection="val_loss"), tmp_path)
    tensors, _ = checkpoint.read_tensors(tmp_path / "last.safetensors")
    assert not torch.equal(tensors["average.head.3.weight"], tensors["network.head.3.weight"])
    assert torch.equal(tensors["best.head.3.weight"], tensors["average.head.3.weight"])
