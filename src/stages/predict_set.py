"""Write the probabilities of trained recipes for all images of another dataset.

    python src/stages/predict_set.py chexpert

Reads   models/<recipe>/model.safetensors, predictions/<recipe>/views.json
        data/packed/<dataset>/{images.npy,index.csv} of both datasets
        params.yaml: dataset, compute, external_sets.<name>
Writes  external_sets/<name>/<recipe>.csv, with the findings that both datasets have

Images of the training dataset among the others are refused: a network may have learned them.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

from chestxray14.base.errors import InputError, name_some
from chestxray14.base.params import load_block
from chestxray14.base.stage import choose, run
from chestxray14.files.likeness import Shown
from chestxray14.files.packed import find_same_images, list_findings, open_images, read_index
from chestxray14.files.predictions import write_predictions
from chestxray14.files.records import read_record
from chestxray14.files.skipped import read_skipped, write_skipped
from chestxray14.model.batches import Part
from chestxray14.model.device import choose_algorithms, choose_device, choose_precision
from chestxray14.model.params import Compute, ExternalSet
from chestxray14.model.predicting import compile_on_gpu, predict
from chestxray14.model.trained import read_model
from chestxray14.model.views import view

log = logging.getLogger("predict_set")


def main() -> None:
    """Refuse what is no other dataset, predict with each recipe, write."""
    name = choose(of="external_sets", doc=__doc__)
    chosen = load_block(f"external_sets.{name}", ExternalSet)
    compute = load_block("compute", Compute)
    device = choose_device(compute)
    choose_algorithms(compute, device)

    own = Path(f"data/packed/{load_block('dataset', str)}")
    there = Path(f"data/packed/{chosen.dataset}")
    if same := find_same_images(own, there):
        raise InputError(
            f"{there} has {len(same):,} images of {own} too: {name_some(same)}; a network may have "
            "learned them"
        )
    index = read_index(there / "index.csv")
    part = Part(
        images=open_images(there / "images.npy"),
        rows=index["row"].to_numpy(np.int64),
        names=index["image"].tolist(),
        labels=torch.zeros(len(index), 0),
    )
    for recipe in chosen.recipes:
        _predict(
            recipe, part, list_findings(index), Path(f"external_sets/{name}"), compute=compute
        )


def _predict(
    name: str, part: Part, findings: tuple[str, ...], output: Path, *, compute: Compute
) -> None:
    """Write one recipe's probabilities of the findings that it shares with the dataset."""
    model, path = Path(f"models/{name}/model.safetensors"), output / f"{name}.csv"
    reason = read_skipped(model)
    if reason is None:
        network, recipe = read_model(model)
        shared = [finding for finding in recipe.findings if finding in findings]
        if not shared:
            reason = f"{output.name} has none of its findings: {', '.join(recipe.findings)}"
    if reason:
        write_skipped(reason, path)
        log.warning("%s is skipped: %s", name, reason)
        return
    views = read_record(Path(f"predictions/{name}/views.json"), Shown, by="predict").views
    device = choose_device(compute)
    compile_on_gpu([network.to(device)], device)
    logits = predict(
        network,
        part,
        lambda images: view(images, recipe, views),
        batch=compute.cut(recipe.batch),
        device=device,
        precision=choose_precision(compute, device),
        what=f"predict {output.name}",
    )
    columns = [recipe.findings.index(finding) for finding in shared]
    probabilities = expit(logits).mean(axis=1)[:, columns]
    write_predictions(path, part.names, probabilities, findings=shared)
    log.info("%s: %d findings of %s images", path, len(shared), f"{len(part):,}")


if __name__ == "__main__":
    run(main)
