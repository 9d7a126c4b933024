"""Fit one recipe and keep its best epoch on the validation part.

    python src/stages/train.py densenet121_step
    torchrun --nproc-per-node=8 src/stages/train.py densenet121_step

The second form, or compute.processes in params.yaml, trains in several processes, one a GPU; a
batch is divided among them.

Reads   data/packed/<dataset>/{images.npy,index.csv}, data/splits/<dataset>/<split>.csv
        params.yaml: recipes.<recipe>, datasets.<dataset>.limits, compute
Writes  models/<recipe>/model.safetensors   weights, with all that prediction needs to know
        metrics/<recipe>/train.json
        plots/<recipe>/history.csv          losses, AUROC and learning rate by epoch, replaced
                                            after each
        logs/<recipe>.json                  what it cost here; no output, for it never repeats

A recipe that lists a finding which the dataset lacks is skipped: the reason stands in its outputs.
Killed at any point, the same command goes on after the last epoch that was saved and, on a CPU, ends
in the same bytes; compute.deterministic asks a GPU for them. The state is saved after the first epoch,
then as often as costs a twentieth of the time, in checkpoints/ (or $CHESTXRAY14_CHECKPOINTS), until
the run is finished.
"""

import json
import logging
import math
import time
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import torch

from chestxray14.base.draws import hash_file
from chestxray14.base.errors import InputError
from chestxray14.base.params import Limits, load_block
from chestxray14.base.scores import DIGITS
from chestxray14.base.stage import choose, run
from chestxray14.files.names import hash_names
from chestxray14.files.outputs import write_json, write_text
from chestxray14.files.packed import list_findings, read_index
from chestxray14.files.skipped import read_skipped, write_skipped
from chestxray14.model.batches import read_parts
from chestxray14.model.device import (
    choose_algorithms,
    choose_device,
    choose_precision,
    describe_processor,
)
from chestxray14.model.params import Compute
from chestxray14.model.recipe import Recipe, WholeRecipe, list_limited
from chestxray14.model.trained import write_model
from chestxray14.training import checkpoint, distributed
from chestxray14.training.checkpoint import hash_code
from chestxray14.training.fit import History, Trained, train

ROOMS = ("base", "files", "model", "training")
"""Whose code the trained bytes depend on: the same that dvc.yaml lists."""

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""What batch normalisation keeps beside its parameters."""

log = logging.getLogger("train")


def main() -> None:
    """Load, train, write; in several processes where params or torchrun say so."""
    name = choose(of="recipes", doc=__doc__)
    dataset = load_block("dataset", str)
    limits = load_block(f"datasets.{dataset}.limits", Limits)
    asked = load_block(f"recipes.{name}", WholeRecipe).trained
    recipe = asked.limited(limits)
    compute = load_block("compute", Compute)
    if compute.processes > 1 and not distributed.is_launched():
        distributed.launch(compute.processes)
        return
    device = choose_device(compute)
    choose_algorithms(compute, device)
    with distributed.join(device):
        if changed := list_limited(asked, recipe):
            log.info("limits of %s: %s", dataset, ", ".join(changed))
        _run(name, recipe, compute, dataset=dataset, device=device)


def _run(
    name: str, recipe: Recipe, compute: Compute, *, dataset: str, device: torch.device
) -> None:
    precision = choose_precision(compute, device)
    packed = Path(f"data/packed/{dataset}")
    split_file = Path(f"data/splits/{dataset}/{recipe.split}.csv")
    findings = list_findings(read_index(packed / "index.csv"))
    reason = read_skipped(split_file)
    try:
        recipe = recipe.for_dataset(findings)
    except InputError as error:
        reason = reason or str(error)
    if reason:
        if distributed.is_first():
            _skip(name, reason=reason)
        return
    parts = read_parts(packed, split_file, parts=("train", "val"), findings=recipe.findings)
    if (packed_px := parts["train"].images.shape[1]) < recipe.resize_px:
        log.warning(
            "images packed at %d pixels are enlarged to the %d that %s asks for",
            *(packed_px, recipe.resize_px, name),
        )
    where = {
        "device": device.type,
        "processor": describe_processor(device),
        "precision": precision,
        "threads": compute.threads,
        "processes": distributed.count(),
    }
    if compute.cut(recipe.batch) < recipe.batch:
        where["images_at_once"] = compute.images_at_once
    if device.type == "cuda":
        where["deterministic"] = compute.deterministic
        where["sync_batch_norm"] = compute.sync_batch_norm
    elif compute.sync_batch_norm and distributed.count() > 1:
        log.warning("compute.sync_batch_norm needs GPUs: each process normalises over its share")
    key = (
        recipe.model_dump_json(),
        json.dumps(where),
        torch.__version__,
        hash_code(Path(__file__), rooms=ROOMS),
        hash_file(packed / "index.csv"),
        hash_file(split_file),
    )
    with ExitStack() as held:
        # The others never look there.
        folder = Path()
        if distributed.is_first():
            folder = held.enter_context(checkpoint.lock_folder(*key))
        resumed = folder != Path() and any(folder.iterdir())
        # Of a recipe of which nothing is trained, epoch 0 is kept: the network as it started.
        first = min(1, recipe.epochs)
        history = Path(f"plots/{name}/history.csv")
        began, lengths = time.monotonic(), list[int]()

        def tell(rows: History) -> None:
            lengths.append(len(rows))
            _write_history(history, rows, first=first)

        trained = train(
            recipe,
            train=parts["train"],
            val=parts["val"],
            folder=folder,
            device=device,
            precision=precision,
            sync_batch_norm=bool(where.get("sync_batch_norm")),
            images_at_once=compute.images_at_once,
            tell=tell,
        )
        if not distributed.is_first():
            return
        model = Path(f"models/{name}/model.safetensors")
        best_epoch = trained.best_epoch + first
        write_model(model, trained.weights, recipe, best_epoch=best_epoch)
        metrics = _describe(trained, recipe) | {
            "best_epoch": best_epoch,
            "train_images": len(parts["train"]),
            "split_sha256": hash_names(parts["train"].names),
            "torch": torch.__version__,
            **where,
        }
        if precision == "fp16":
            metrics["skipped_steps"] = trained.skipped_steps
        write_json(Path(f"metrics/{name}/train.json"), metrics)
        write_json(
            Path(f"logs/{name}.json"),
            {
                "minutes": round((time.monotonic() - began) / 60, 2),
                # Where it went on, the epochs before that are no cost of this process.
                "epochs": len(lengths) - 1 if resumed else len(lengths),
                "train_images": len(parts["train"]),
                "parameters": sum(
                    weight.numel()
                    for key, weight in trained.weights.items()
                    if not key.endswith(STATISTICS)
                ),
                "device": device.type,
                "precision": precision,
                "processes": where["processes"],
            },
        )
        checkpoint.remove(folder)
    log.info("%s: epoch %d of %d", model, best_epoch, recipe.epochs)


def _skip(name: str, *, reason: str) -> None:
    """Leave the reason where a network would be: the other recipes go on."""
    outputs = (f"models/{name}/model.safetensors", f"metrics/{name}/train.json")
    write_skipped(reason, *map(Path, outputs), Path(f"plots/{name}/history.csv"))
    log.warning("%s is skipped: %s", name, reason)


def _describe(trained: Trained, recipe: Recipe) -> dict[str, object]:
    """Return what the best epoch reached, and what the recipe really used."""
    best = trained.history[trained.best_epoch]
    reached = {
        key: round(best[key], DIGITS)
        for key in ("val_loss", "val_auroc")
        if not math.isnan(best[key])
    }
    return reached | {
        "epochs_run": len(trained.history) if recipe.epochs else 0,
        "epochs": recipe.epochs,
        "input_px": recipe.input_px,
        "weights": recipe.start,
    }


def _write_history(path: Path, history: History, *, first: int) -> None:
    table = pd.DataFrame(history, columns=["train_loss", "val_loss", "val_auroc", "lr"])
    table.insert(0, "epoch", range(first, first + len(table)))
    write_text(
        path, table.to_csv(index=False, float_format=f"%.{DIGITS + 3}g", lineterminator="\n")
    )


if __name__ == "__main__":
    run(main)
