"""One of the processes that test_distributed.py starts: train as one, leave what came of it."""

import io
import json
import logging
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from tiny import CPU, plain, tiny_part, tiny_recipe

from chestxray14.model.recipe import Recipe
from chestxray14.training import distributed
from chestxray14.training.fit import Trained, train

# Of the head alone, so that no statistics differ; with everything that is drawn for an image.
RECIPE = tiny_recipe(
    "chexnet_head",
    epochs=2,
    ema=0.9,
    resize_px=36,
    augmentation=plain(
        rotation=20.0, horizontal_flip=0.5, brightness=0.3, contrast=0.3, gamma=0.3
    ),
)
EVERY_LAYER = tiny_recipe("best", epochs=1)


def fit(recipe: Recipe, folder: Path, *, unknown: bool = False) -> Trained:
    """Train on batches of 4, 3, 3 and 3 images, of which two processes cannot have halves.

    With `unknown` labels, of which some images have many and others none.
    """
    images = 16 if recipe is EVERY_LAYER else 13
    part, val = tiny_part(images, recipe=recipe), tiny_part(9, recipe=recipe)
    if unknown:
        part.labels[::3, ::2] = torch.nan
        val.labels[1::4] = torch.nan
    return train(recipe, train=part, val=val, folder=folder, device=CPU, precision="fp32")


def main() -> None:
    """Train whole, and on from the first epoch; each process leaves what came of it."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    told = io.StringIO()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=told)
    with distributed.join(CPU):
        rank = dist.get_rank()
        # The second process has a folder of its own, as on another machine.
        own = folder if rank == 0 else folder / "elsewhere"
        results = {
            "whole": fit(RECIPE, own / "a"),
            # The state after the first of two epochs still lies there.
            "resumed": fit(RECIPE, own / "a"),
            "every_layer": fit(EVERY_LAYER, own / "c"),
            "unknown": fit(RECIPE, own / "d", unknown=True),
        }
        for name, trained in results.items():
            history = folder / f"{name}.{rank}.json"
            history.write_text(json.dumps([trained.best_epoch, trained.history]))
            torch.save(trained.weights, folder / f"{name}.{rank}.pt")
        if rank == 0:
            (folder / "told.txt").write_text(told.getvalue())


if __name__ == "__main__":
    main()
