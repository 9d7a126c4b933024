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

from pydantic import ValidationError
from scipy.special import expit

from chestxray14.augmentation import view
from chestxray14.backbones import build_network
from chestxray14.batches import read_parts, sample_part
from chestxray14.checkpoint import read_tensors
from chestxray14.engine import predict
from chestxray14.errors import InputError
from chestxray14.params import load_params
from chestxray14.predictions import write_predictions
from chestxray14.recipes import Recipe
from chestxray14.reproducibility import choose_device, choose_precision
from chestxray14.stage import choose, run

log = logging.getLogger("predict")


def main() -> None:
    """Load the model as it was trained, predict, write."""
    params = load_params()
    name, _ = choose(params.recipes, of="recipes", doc=__doc__)
    device = choose_device(params.compute)
    precision = choose_precision(params.compute, device)

    model = Path(f"models/{name}/model.safetensors")
    if not model.exists():
        raise InputError(f"{model} not found; run the train stage")
    tensors, record = read_tensors(model)
    try:
        recipe = Recipe.model_validate(record["recipe"])
        network = build_network(recipe.model_copy(update={"weights": "random"}))
        network.load_state_dict(tensors)
    except (ValidationError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{model} is of another version ({reason}); train it again") from None
    network.to(device)

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
