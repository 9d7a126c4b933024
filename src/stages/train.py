"""Fit one recipe and keep the epoch with the lowest validation loss.

    python src/stages/train.py densenet121_step

Reads   data/packed/<dataset>/{images.npy,index.csv}, data/splits/<dataset>/<split>.csv
        params.yaml: recipes.<recipe>, datasets.<dataset>.limits, compute
Writes  models/<recipe>/model.safetensors   weights, with all that prediction needs to know
        metrics/<recipe>/train.json
        plots/<recipe>/history.csv          losses, AUROC and learning rate by epoch

Killed at any point, the same command goes on after the last whole epoch and ends in the same
bytes: the state lies in checkpoints/ (or $CHESTXRAY14_CHECKPOINTS) until the run is finished.
"""

import json
import logging
import math
from pathlib import Path

import pandas as pd
from scipy.special import expit

from chestxray14 import checkpoint
from chestxray14.backbones import build_network
from chestxray14.batches import select_part
from chestxray14.engine import build_optimizer, mean_loss, predict, train_one_epoch
from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.outputs import read_table, write_json, write_text
from chestxray14.packed import open_images, read_index
from chestxray14.params import load_params
from chestxray14.reproducibility import (
    choose_device,
    choose_precision,
    describe_arithmetic,
    hash_code,
    hash_file,
)
from chestxray14.schedules import learning_rate
from chestxray14.scores import DIGITS, auroc
from chestxray14.stage import choose, run

log = logging.getLogger("train")


def main() -> None:
    """Load, train epoch by epoch, keep the best."""
    params = load_params()
    name, recipe = choose(params.recipes, of="recipes", doc=__doc__)
    recipe = recipe.limited(params.active.limits)
    device = choose_device(params.compute)
    precision = choose_precision(params.compute, device)

    packed = Path(f"data/packed/{params.dataset}")
    split_file = Path(f"data/splits/{params.dataset}/{recipe.split}.csv")
    images, index = open_images(packed / "images.npy"), read_index(packed / "index.csv")
    split = read_table(split_file, by="split", columns=("image", "part"))
    train = select_part(images, index, split, part="train")
    val = select_part(images, index, split, part="val")

    network = build_network(weights=recipe.weights, seed=recipe.seed).to(device)
    optimizer = build_optimizer(network, recipe)
    threads = params.compute.threads
    compute = {"device": device.type, "precision": precision, "threads": threads}
    key = (
        recipe.model_dump_json(),
        json.dumps(compute),
        describe_arithmetic(device),
        hash_code(),
        hash_file(packed / "index.csv"),
        hash_file(split_file),
    )
    with checkpoint.lock_folder(*key) as folder:
        progress, best = checkpoint.load(folder, network=network, optimizer=optimizer)
        if progress.history:
            log.info("resumed after epoch %d", len(progress.history))
        for epoch in range(len(progress.history), recipe.epochs):
            rate = learning_rate(recipe, epoch=epoch)
            train_loss = train_one_epoch(
                network,
                train,
                optimizer,
                recipe,
                epoch=epoch,
                learning_rate=rate,
                device=device,
                precision=precision,
            )
            logits = predict(
                network,
                val,
                px=recipe.input_px,
                batch=recipe.batch,
                device=device,
                precision=precision,
                what="validate",
            )
            val_loss = mean_loss(logits, val.labels)
            if not math.isfinite(val_loss):
                raise InputError(
                    f"the validation loss is {val_loss} after epoch {epoch + 1} at learning rate "
                    f"{rate:g}; the epoch before is kept, try a lower optimizer.lr"
                )
            val_auroc = auroc(val.labels, expit(logits)).get("macro", float("nan"))
            progress.history.append(
                {
                    "train_loss": train_loss,
                    "val_loss": val_loss,
                    "val_auroc": val_auroc,
                    "lr": rate,
                }
            )
            log.info(
                "epoch %d of %d: loss %.4f, validation loss %.4f, AUROC %.4f, rate %g",
                *(epoch + 1, recipe.epochs, train_loss, val_loss, val_auroc, rate),
            )
            if val_loss < progress.best_score:
                progress.best_epoch, progress.best_score = epoch, val_loss
                best = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
            checkpoint.save(folder, progress, network=network, optimizer=optimizer, best=best)

        record = {
            "recipe": recipe.model_dump(),
            "findings": FINDINGS,
            "best_epoch": progress.best_epoch + 1,
        }
        model = Path(f"models/{name}/model.safetensors")
        checkpoint.write_tensors(model, best, record=record)
        _write_history(Path(f"plots/{name}/history.csv"), progress.history)
        metrics = {
            "best_epoch": progress.best_epoch + 1,
            "epochs_run": len(progress.history),
            "val_loss": round(progress.best_score, DIGITS),
            "input_px": recipe.input_px,
            "weights": recipe.weights,
            "epochs": recipe.epochs,
            "train_images": len(train),
            **compute,
        }
        write_json(Path(f"metrics/{name}/train.json"), metrics)
        checkpoint.remove(folder)
    log.info("%s: epoch %d of %d", model, progress.best_epoch + 1, recipe.epochs)


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    table = pd.DataFrame(history, columns=["train_loss", "val_loss", "val_auroc", "lr"])
    table.insert(0, "epoch", range(1, len(table) + 1))
    write_text(
        path, table.to_csv(index=False, float_format=f"%.{DIGITS + 3}g", lineterminator="\n")
    )


if __name__ == "__main__":
    run(main)
