"""Write the probabilities of one trained recipe for the validation and test images.

Of the training images as many as the test part has are predicted too: what a network says of
images it learned is one of the numbers that are mistaken for its score. Where the recipe has
several test-time views, an image's probabilities are their mean.

    python src/stages/predict.py densenet121_step

Reads   models/<recipe>/model.safetensors
        data/packed/<dataset>/{images.npy,index.csv}, data/splits/<dataset>/<split>.csv
        params.yaml: dataset, compute
Writes  predictions/<recipe>/{train,val,test}.csv
"""

import logging
from pathlib import Path

from scipy.special import expit

from chestxray14.augmentation import view
from chestxray14.batches import read_parts, sample_part
from chestxray14.engine import compile_on_gpu, predict
from chestxray14.params import load_params
from chestxray14.predictions import write_predictions
from chestxray14.reproducibility import choose_algorithms, choose_device, choose_precision
from chestxray14.stage import choose, run
from chestxray14.trained_models import read_model

log = logging.getLogger("predict")


def main() -> None:
    """Load the model as it was trained, predict, write."""
    params = load_params()
    name, _ = choose(params.recipes, of="recipes", doc=__doc__)
    device = choose_device(params.compute)
    choose_algorithms(params.compute, device)
    precision = choose_precision(params.compute, device)

    network, recipe = read_model(Path(f"models/{name}/model.safetensors"))
    network.to(device)
    compile_on_gpu([network], device)

    parts = read_parts(
        Path(f"data/packed/{params.dataset}"),
        Path(f"data/splits/{params.dataset}/{recipe.split}.csv"),
        parts=("train", "val", "test"),
        findings=recipe.findings,
    )
    parts["train"] = sample_part(parts["train"], at_most=len(parts["test"]), seed=recipe.seed)
    output = Path(f"predictions/{name}")
    for part_name, part in parts.items():
        logits = predict(
            network,
            part,
            lambda images: view(images, recipe),
            batch=recipe.batch,
            device=device,
            precision=precision,
            what=f"predict {part_name}",
        )
        write_predictions(
            output / f"{part_name}.csv",
            part.names,
            expit(logits).mean(axis=1),
            findings=recipe.findings,
        )
    log.info("%s: train.csv, val.csv and test.csv", output)


if __name__ == "__main__":
    run(main)
