"""Time one epoch, prediction and evaluation at the scale of ChestX-ray14; take the peak memory.

    python benchmarks/end_to_end.py
    python benchmarks/end_to_end.py --device cuda --batch 256 --fraction 1 --output end_to_end.json

Packs 112,120 made-up images of 512 pixels (29.4 GB) into a temporary folder, $TMPDIR or /tmp, and
runs recipe `best` on them as `train`, `predict` (ten crops of test, validation and as many
training images as test ones) and `evaluate` do. Where disk, memory or --minutes are too little for
all, a fraction is run, and times are scaled to the whole. The time of a run of ten epochs is
EXTRAPOLATED from those of its parts.
"""

import argparse
import copy
import json
import os
import platform
import re
import resource
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import expit

from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import load_block
from chestxray14.files.packed import open_images
from chestxray14.files.predictions import Predicted, match
from chestxray14.model.backbones import build_network
from chestxray14.model.batches import Part, keep_on_device, sample_part, select_part
from chestxray14.model.device import choose_algorithms, choose_device, choose_precision
from chestxray14.model.params import Compute
from chestxray14.model.predicting import compile_on_gpu, predict
from chestxray14.model.recipe import WholeRecipe
from chestxray14.model.views import view
from chestxray14.scoring.params import Evaluate
from chestxray14.scoring.score import score
from chestxray14.training.epoch import Training, build_optimizer, build_scaler, train_one_epoch
from chestxray14.training.fit import assess
from chestxray14.training.losses import build_loss

IMAGES, PATIENTS, EPOCHS = 112_120, 30_805, 10
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}

WORK = 2.4
"""What all takes, in training steps of an image for each image: 0.7 trained on, 0.1 validated and
ten crops predicted of 0.5, where a prediction is about a third of a training step."""

SPARE = 0.8
"""The share of free disk and of memory that the packed images may take."""


@dataclass(frozen=True)
class Phase:
    """One part of the work: images seen, seconds it took, and whether a larger dataset takes more."""

    name: str
    images: int
    seconds: float
    scales: bool = True


def main() -> None:
    """Choose a fraction, make the images, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the CPU")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--px", type=int, default=224, help="side of what the network sees")
    parser.add_argument("--packed-px", type=int, default=512)
    parser.add_argument("--fraction", type=float, help="of the images; else what fits")
    parser.add_argument("--minutes", type=float, default=10.0, help="that a fraction may take")
    parser.add_argument("--output", type=Path, help="a JSON file for what is printed")
    arguments = parser.parse_args()
    asked = {"device": arguments.device, "threads": arguments.threads}
    compute = load_block("compute", Compute).model_copy(update=asked)
    device = choose_device(compute)
    choose_algorithms(compute, device)
    precision = choose_precision(compute, device)
    px, batch = arguments.px, arguments.batch
    recipe = load_block("recipes.best", WholeRecipe).model_copy(
        update={
            "weights": "random",
            "input_px": px,
            "resize_px": round(px * 256 / 224),
            "batch": batch,
            "epochs": EPOCHS,
        }
    )
    network = build_network(recipe).to(device)
    average = copy.deepcopy(network)
    compile_on_gpu([network, average], device)
    phases: list[Phase] = []

    @contextmanager
    def timed(name: str, *, images: int, scales: bool = True) -> Iterator[None]:
        began = time.perf_counter()
        with redirect_stdout(sys.stderr):
            yield
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        phases.append(Phase(name, images, time.perf_counter() - began, scales))
        print(f"{name:28} {images:8,} images {phases[-1].seconds:10.1f} s", flush=True)

    def look(part: Part) -> NDArray[np.float32]:
        return predict(
            *(average, part, lambda images: view(images, recipe, recipe.views)),
            batch=batch,
            device=device,
            precision=precision,
            what="predict",
        )

    hardware = describe_hardware(device)
    settings = f"{recipe.backbone}, {px} pixels from {arguments.packed_px}, batch {batch}, "
    settings += f"{precision}, {compute.threads} threads"
    print(hardware, settings, sep="\n")
    with TemporaryDirectory() as name, watch_memory() as anonymous:
        folder = Path(name)
        # Both sizes of batch that an epoch has.
        warm = make_parts(folder, images=3 * batch, px=arguments.packed_px)["train"]
        warm = sample_part(warm, at_most=2 * batch - 1, seed=0)
        training = Training(
            network=network,
            average=average,
            optimizer=build_optimizer(network, recipe),
            scaler=build_scaler(device, precision),
            recipe=recipe,
            loss=build_loss(recipe.loss, warm.labels),
            device=device,
            precision=precision,
        )
        with timed("warm-up, compilation", images=len(warm), scales=False):
            train_one_epoch(training, warm, epoch=0, val_losses=())
            assess(training, warm)
            look(warm)
        with timed("rate", images=len(warm), scales=False):
            train_one_epoch(training, warm, epoch=0, val_losses=())
        fraction = arguments.fraction
        if fraction is None:
            fraction, why = choose_fraction(
                len(warm) / phases.pop().seconds, minutes=arguments.minutes, px=arguments.packed_px
            )
            print(f"a fraction of {fraction:.4f} of the images is run, for {why}")
        images = max(round(IMAGES * fraction), 4 * batch)
        with timed("making the packed images", images=images, scales=False):
            parts = make_parts(folder, images=images, px=arguments.packed_px)
        with timed("images to the device", images=images):
            kept = {name: keep_on_device(parts[name], device) for name in ("train", "val")}
        with timed("training, one epoch", images=len(kept["train"])):
            train_one_epoch(training, kept["train"], epoch=1, val_losses=())
        with timed("validation, one epoch", images=len(kept["val"])):
            assess(training, kept["val"])
        # As `predict` does, which is another process and starts from the packed file.
        del kept
        parts["train"] = sample_part(parts["train"], at_most=len(parts["test"]), seed=0)
        with timed("prediction, ten crops", images=sum(map(len, parts.values()))):
            logits = {name: look(part) for name, part in parts.items()}
        index = make_index(images)
        predicted = {
            name: as_predicted(parts[name], expit(logits[name]).mean(axis=1), index)
            for name in parts
        }
        with timed("evaluation", images=len(parts["test"])):
            score(
                predicted["test"],
                val=predicted["val"],
                train=predicted["train"],
                params=load_block("evaluate", Evaluate),
                label_version="made up",
            )
    whole = extrapolate(phases, times=IMAGES / images)
    # Kilobytes on Linux, bytes on a Mac.
    unit = 1e9 if sys.platform == "darwin" else 1e6
    memory = {
        "host_resident_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
        "host_anonymous_gb": max(anonymous),
        "device_gb": (
            torch.cuda.max_memory_reserved(device) / 1e9 if device.type == "cuda" else 0.0
        ),
    }
    print(
        f"peak memory: host {memory['host_anonymous_gb']:.2f} GB of its own, "
        f"{memory['host_resident_gb']:.2f} GB with pages of the packed file; device "
        f"{memory['device_gb']:.2f} GB"
    )
    print(f"ran {images:,} of {IMAGES:,} images ({images / IMAGES:.4f})")
    print(f"{EPOCHS} epochs, prediction, evaluation of all: {whole / 3600:.2f} h, EXTRAPOLATED")
    if arguments.output:
        report = {
            "hardware": hardware,
            "settings": settings,
            "images": images,
            "phases": [asdict(phase) for phase in phases],
            "memory": memory,
            "hours_extrapolated": whole / 3600,
        }
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")


def choose_fraction(rate: float, *, minutes: float, px: int) -> tuple[float, str]:
    """Return the share of the images that disk, memory and time allow, and which of them rules.

    `rate` is images a second in training.
    """
    needed = IMAGES * px**2
    limits = {
        "the size of the disk": SPARE * shutil.disk_usage(gettempdir()).free / needed,
        "the size of the memory": SPARE * count_memory() / needed,
        f"{minutes:g} minutes": minutes * 60 * rate / WORK / IMAGES,
        "there is room for all": 1.0,
    }
    why = min(limits, key=lambda name: limits[name])
    return limits[why], why


def count_memory() -> int:
    """Return the bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def make_index(images: int) -> pd.DataFrame:
    """Return an index of made-up patients, with as many images each as in the dataset on average."""
    patients = np.arange(images) * PATIENTS // IMAGES
    labels = np.random.default_rng(0).random((images, len(FINDINGS))) < 0.05
    known = {
        "image": [f"{i:08d}_000.png" for i in range(images)],
        "row": np.arange(images),
        "patient": patients,
        "follow_up": 0,
        "age": 50.0,
        "sex": "F",
        "view": "PA",
    }
    return pd.concat(
        [pd.DataFrame(known), pd.DataFrame(labels.astype(np.uint8), columns=list(FINDINGS))],
        axis=1,
    )


def make_parts(folder: Path, *, images: int, px: int) -> dict[str, Part]:
    """Write packed noise; return its parts, mapped from the file."""
    path = folder / f"{images}.npy"
    noise = np.random.default_rng(0).integers(0, 256, (px, px), dtype=np.uint8)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(images, px, px))
    for i in range(images):
        np.bitwise_xor(noise, np.uint8(i % 256), out=array[i])
    del array
    index = make_index(images)
    drawn = np.random.default_rng(1).permutation(index["patient"].max() + 1)
    ends = np.cumsum([round(share * len(drawn)) for share in SHARES.values()])[:-1]
    places = np.searchsorted(ends, np.argsort(drawn), side="right")
    split = index.assign(part=np.array(list(SHARES))[places[index["patient"]]])
    return {
        part: select_part(open_images(path), index, split[["image", "part"]], part=part)
        for part in SHARES
    }


def as_predicted(part: Part, probabilities: NDArray[np.float32], index: pd.DataFrame) -> Predicted:
    """Return predictions beside what is known of their images."""
    table = pd.DataFrame(probabilities, index=part.names, columns=list(FINDINGS))
    return match(table, index, path=Path("made-up.csv"))


def extrapolate(phases: list[Phase], *, times: float) -> float:
    """Return the seconds of `EPOCHS` epochs with `times` the images."""
    seconds = {phase.name: phase.seconds * (times if phase.scales else 1) for phase in phases}
    once = sum(
        seconds[name]
        for name in (
            "warm-up, compilation", "images to the device", "prediction, ten crops", "evaluation",
        )
    )  # fmt: skip
    return once + EPOCHS * (seconds["training, one epoch"] + seconds["validation, one epoch"])


@contextmanager
def watch_memory() -> Iterator[list[float]]:
    """Give a list that ends up with the GB this process alone held, on Linux, now and then."""
    status = Path("/proc/self/status")
    held, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            if status.exists() and (found := re.search(r"RssAnon:\s*(\d+)", status.read_text())):
                held.append(int(found[1]) / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield held
    finally:
        done.set()
        watcher.join()


def describe_hardware(device: torch.device) -> str:
    """Return what the times were measured with."""
    model = platform.processor() or platform.machine()
    if (cpu := Path("/proc/cpuinfo")).exists():
        model = re.findall(r"model name\s*: (.+)", cpu.read_text())[0]
    gpu = f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""
    memory = f"{count_memory() / 2**30:.0f} GiB"
    return f"{gpu}{model}, {os.cpu_count()} cores, {memory}, torch {torch.__version__}"


if __name__ == "__main__":
    main()
