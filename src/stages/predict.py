"""Write the probabilities of one trained recipe, and coarse heatmaps of the images people look at.

Of the training images as many as the test part has are predicted too: what a network says of
images it learned is one of the numbers that are mistaken for its score. Where the recipe has
several test-time views, an image's probabilities are their mean. Heatmaps are of the test images
with a radiologist's box, the most confident mistakes and a few drawn by seed: no later stage runs
the network.

    python src/stages/predict.py densenet121_step

Reads   models/<recipe>/model.safetensors
        data/packed/<dataset>/{images.npy,index.csv,boxes.csv}, data/splits/<dataset>/<split>.csv
        params.yaml: dataset, datasets.<dataset>.limits, compute, recipes.<recipe>.views,
        localize.{method,cells}
Writes  predictions/<recipe>/{train,val,test}.csv
        predictions/<recipe>/views.json             what the network saw of each image, and what
                                                    they look like on the whole
        predictions/<recipe>/heatmaps.safetensors
"""

import logging
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy.special import expit
from torch import nn

from chestxray14.base.params import Limits, Views, load_block
from chestxray14.base.stage import choose, run
from chestxray14.files.heatmaps import Heatmaps, write_heatmaps
from chestxray14.files.likeness import find_look
from chestxray14.files.outputs import read_table, write_json
from chestxray14.files.predictions import write_predictions
from chestxray14.model.batches import Part, read_parts, sample_part, take_images
from chestxray14.model.device import choose_algorithms, choose_device, choose_precision
from chestxray14.model.maps import (
    choose_mapped,
    choose_method,
    choose_stride,
    describe_maps,
    draw_maps,
)
from chestxray14.model.params import Compute, MapMethod
from chestxray14.model.predicting import compile_on_gpu, predict
from chestxray14.model.recipe import Recipe, limit_views
from chestxray14.model.trained import read_model
from chestxray14.model.views import view

LOOKED_AT = 1000
"""How many training images, at most, the mean look is of."""

log = logging.getLogger("predict")


def main() -> None:
    """Load the model as it was trained, predict, draw maps, write."""
    name = choose(of="recipes", doc=__doc__)
    dataset = load_block("dataset", str)
    limits = load_block(f"datasets.{dataset}.limits", Limits)
    views = limit_views(load_block(f"recipes.{name}.views", TypeAdapter[Views](Views)), limits)
    compute = load_block("compute", Compute)
    device = choose_device(compute)
    choose_algorithms(compute, device)
    precision = choose_precision(compute, device)

    network, recipe = read_model(Path(f"models/{name}/model.safetensors"))
    network.to(device)
    compile_on_gpu([network], device)

    packed = Path(f"data/packed/{dataset}")
    parts = read_parts(
        packed,
        Path(f"data/splits/{dataset}/{recipe.split}.csv"),
        parts=("train", "val", "test"),
        findings=recipe.findings,
    )
    parts["train"] = sample_part(parts["train"], at_most=len(parts["test"]), seed=recipe.seed)
    output = Path(f"predictions/{name}")
    probabilities = {}
    for part_name, part in parts.items():
        logits = predict(
            network,
            part,
            lambda images: view(images, recipe, views),
            batch=compute.cut(recipe.batch),
            device=device,
            precision=precision,
            what=f"predict {part_name}",
        )
        probabilities[part_name] = expit(logits).mean(axis=1)
        write_predictions(
            output / f"{part_name}.csv",
            part.names,
            probabilities[part_name],
            findings=recipe.findings,
        )
    images, rows = parts["train"].images, parts["train"].rows
    look = find_look(np.asarray(images[row]) for row in rows[:: math.ceil(len(rows) / LOOKED_AT)])
    write_json(output / "views.json", {"views": views, "look": look})

    boxes = read_table(packed / "boxes.csv", by="prepare", columns=("image", "finding"))
    boxed = boxes.loc[boxes["finding"].isin(recipe.findings), "image"]
    chosen = choose_mapped(
        probabilities["test"],
        parts["test"].labels.numpy(),
        boxed=np.isin(parts["test"].names, boxed.tolist()),
        seed=recipe.seed,
    )
    heatmaps = _draw(
        *(network, take_images(parts["test"], chosen), recipe, views),
        device=device,
        precision=precision,
        batch=compute.cut(recipe.batch),
    )
    write_heatmaps(output / "heatmaps.safetensors", heatmaps)
    log.info(
        "%s: train.csv, val.csv, test.csv and heatmaps of %d images", output, len(heatmaps.images)
    )


def _draw(
    network: nn.Module,
    part: Part,
    recipe: Recipe,
    views: Views,
    *,
    device: torch.device,
    precision: str,
    batch: int,
) -> Heatmaps:
    """Return the maps of all findings in the images of a part."""
    asked = load_block("localize.method", TypeAdapter[MapMethod](MapMethod))
    stride = choose_stride(recipe.input_px, cells=load_block("localize.cells", int))
    method = choose_method(recipe, stride) if asked == "auto" else asked
    maps = draw_maps(
        *(network, part, recipe),
        views=views,
        findings=recipe.findings,
        method=method,
        stride=stride,
        device=device,
        precision=precision,
        batch=batch,
        what="heatmaps",
    )
    stacked: NDArray[np.float32] = np.stack(list(maps))
    geometry = describe_maps(recipe, views=views, method=method, stride=stride)
    return Heatmaps(tuple(part.names), recipe.findings, geometry, stacked)


if __name__ == "__main__":
    run(main)
