"""Time training and prediction beside the bare network and beside a loop over PNG files.

    python benchmarks/throughput.py
    python benchmarks/throughput.py --device cuda --batch 256 --output throughput.json

Prints images a second of

    (a) the bare network: a step (or a forward pass) on random tensors that lie on the device
    (b) ours: recipe `best` on packed images, drawn here into a temporary folder
    (c) PNG files of 1024 pixels: PIL, Resize, RandomResizedCrop, ToTensor, Normalize in a
        DataLoader with a worker a core; fp32, torch's default memory format, Adam

(a) and (b) share network, batch, precision, channels-last memory, fused optimizer and, on a GPU,
torch.compile. All take turns, round by round, so that a busy machine slows all of them; the PNG
files are in the page cache, and the workers of (c) have started. A rate is the median over rounds.
"""

import argparse
import copy
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from chestxray14.base.params import load_block
from chestxray14.model.backbones import build_network
from chestxray14.model.batches import Part, keep_on_device
from chestxray14.model.device import choose_algorithms, choose_device, choose_precision
from chestxray14.model.params import Compute
from chestxray14.model.predicting import autocast, compile_on_gpu, predict
from chestxray14.model.recipe import Recipe, WholeRecipe
from chestxray14.model.views import IMAGENET_MEAN, IMAGENET_STD, view
from chestxray14.phantom.cohort import draw_cohort
from chestxray14.raw.params import Phantom
from chestxray14.training.epoch import (
    Training,
    build_optimizer,
    build_scaler,
    set_train_mode,
    train_one_epoch,
)
from chestxray14.training.losses import build_loss

BARE, OURS, STREAMED, FILES = "(a) bare", "(b) ours", "(b) ours, streamed", "(c) PNG files"
PEAK = {"NVIDIA H100 80GB HBM3": 989e12, "NVIDIA H200": 989e12}
"""Dense bf16 operations a second by the GPU's name, of NVIDIA's data sheets (SXM)."""

OURS_OF_BARE = 0.95
OURS_OF_FILES = {"cpu": 2.0, "cuda": 3.0}
"""What is aimed at: with 2 cores and bf16 on a CPU, with 16 cores beside a GPU."""

PACKED = 1024
"""Images in the packed array; a round that takes more sees some of them again."""


@dataclass(frozen=True)
class Bench:
    """What is timed: our network and recipe, the packed part, the PNG files, and where it runs."""

    network: nn.Module
    recipe: WholeRecipe
    part: Part
    files: list[Path]
    device: torch.device
    precision: str


Action = Callable[[], int]
"""Does a round's work to its end and returns how many images it saw."""

Rates = dict[str, list[float]]
"""Images a second, round by round."""


def main() -> None:
    """Measure training, then prediction of one view and of ten."""
    arguments = parse_arguments()
    asked = {"device": arguments.device, "threads": arguments.threads}
    compute = load_block("compute", Compute).model_copy(update=asked)
    device = choose_device(compute)
    choose_algorithms(compute, device)
    precision = choose_precision(compute, device)
    recipe = load_block("recipes.best", WholeRecipe).model_copy(
        update={
            "backbone": arguments.backbone,
            "weights": "random",
            "input_px": arguments.px,
            "resize_px": round(arguments.px * 256 / 224),
            "batch": arguments.batch,
            "views": "centre",
        }
    )
    steps = arguments.steps or (4 if device.type == "cpu" else 48)
    settings = (
        f"{recipe.backbone}, {recipe.input_px} pixels, batch {recipe.batch}, {precision}, "
        f"{steps} batches a round, {arguments.rounds} rounds; packed at {arguments.packed_px} "
        f"pixels, PNG files of {arguments.png_px}"
    )
    hardware = describe_hardware(device, compute)
    print(hardware, settings, sep="\n")

    network = build_network(recipe).to(device)
    flops = count_flops(network, recipe)
    compile_on_gpu([network], device)
    results: dict[str, Rates] = {}
    with TemporaryDirectory() as folder:
        images = steps * recipe.batch
        cohort = load_block("datasets.phantom", Phantom)
        few = cohort.model_copy(update={"patients": 10, "image_px": arguments.png_px})
        with redirect_stdout(sys.stderr):
            draw_cohort(few, Path(folder) / "raw", workers=1)
        bench = Bench(
            network=network,
            recipe=recipe,
            part=make_part(Path(folder), recipe, images=images, px=arguments.packed_px),
            files=sorted((Path(folder) / "raw").rglob("*.png")),
            device=device,
            precision=precision,
        )
        # Ten crops are ten times the work for each image.
        fewer = shorten(bench.part, max(1, steps // 3) * recipe.batch)
        ten = replace(bench, recipe=recipe.model_copy(update={"views": "ten_crop"}), part=fewer)
        for what, list_actions, timed in (
            ("training", list_trainings, bench),
            ("prediction", list_predictions, bench),
            ("prediction, ten crops", list_predictions, ten),
        ):
            results[what] = take_turns(list_actions(timed), rounds=arguments.rounds, device=device)
            print_table(what, results[what], device)

    for what, each in flops.items():
        rate = median(results[what][OURS]) * each
        peak = PEAK.get(describe_processor(device)) if precision == "bf16" else None
        share = f", {rate / peak:.1%} of the GPU's peak of {peak / 1e12:.0f}" if peak else ""
        print(f"{what}: {each / 1e9:.2f} GFLOP an image, {rate / 1e12:.3f} TFLOP/s{share}")
    if arguments.output:
        report = {
            "hardware": hardware,
            "settings": settings,
            "images_per_second": results,
            "ratios": {what: compare(rates) for what, rates in results.items()},
            "flop_per_image": flops,
        }
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")


def parse_arguments() -> argparse.Namespace:
    """Return what to measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the CPU")
    parser.add_argument("--backbone", choices=("densenet121", "resnet50"), default="densenet121")
    parser.add_argument("--px", type=int, default=224, help="side of what the network sees")
    parser.add_argument("--packed-px", type=int, default=512)
    parser.add_argument("--png-px", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, help="batches a round: 4 on a CPU, 48 on a GPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="a JSON file for every round's rates")
    return parser.parse_args()


def take_turns(actions: Mapping[str, Action], *, rounds: int, device: torch.device) -> Rates:
    """Return images a second of each action, round by round, after one round for warming up."""
    rates: Rates = {name: [] for name in actions}
    for turn in range(rounds + 1):
        for name, action in actions.items():
            began = time.perf_counter()
            with redirect_stdout(sys.stderr):
                images = action()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                rates[name].append(images / (time.perf_counter() - began))
    return rates


def list_trainings(bench: Bench) -> dict[str, Action]:
    """Return what is timed of training."""
    network, recipe, device = bench.network, bench.recipe, bench.device
    optimizer = build_optimizer(network, recipe)
    loss = build_loss(recipe.loss, bench.part.labels.to(device))
    training = Training(
        network=network,
        average=copy.deepcopy(network),
        optimizer=optimizer,
        scaler=build_scaler(device, bench.precision),
        recipe=recipe,
        loss=loss,
        device=device,
        precision=bench.precision,
    )
    inputs, labels = draw_tensors(recipe, device), bench.part.labels[: recipe.batch].to(device)
    epochs = count()
    crop = transforms.RandomResizedCrop(recipe.input_px, antialias=True)
    loader = load_files(bench, transforms.Compose([crop, TO_TENSOR]))
    theirs = build_their_network(bench).train()
    adam = torch.optim.Adam(theirs.parameters())

    def bare() -> int:
        set_train_mode(network)
        for _ in range(len(bench.part) // recipe.batch):
            with autocast(device, bench.precision):
                logits = network(inputs)
            loss(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return len(bench.part)

    def ours(part: Part) -> int:
        epoch = next(epochs) % recipe.epochs
        train_one_epoch(training, part, epoch=epoch, val_losses=())
        return len(part)

    def files() -> int:
        total = 0.0
        for images, labels in loader:
            adam.zero_grad()
            value = loss(theirs(images.to(device)), labels.to(device))
            value.backward()  # type: ignore[no-untyped-call]
            adam.step()
            total += value.item()
        return len(bench.part)

    return {BARE: bare, **ours_on(bench, ours), FILES: files}


def list_predictions(bench: Bench) -> dict[str, Action]:
    """Return what is timed of prediction with the recipe's views."""
    network, recipe, device = bench.network, bench.recipe, bench.device
    inputs = draw_tensors(recipe, device)
    ten = recipe.views == "ten_crop"
    crop = [transforms.TenCrop(recipe.input_px), transforms.Lambda(stack_crops)]
    loader = load_files(
        bench,
        transforms.Compose(crop if ten else [transforms.CenterCrop(recipe.input_px), TO_TENSOR]),
    )
    theirs = build_their_network(bench).eval()

    @torch.inference_mode()
    def bare() -> int:
        network.eval()
        for _ in range(len(bench.part) // recipe.batch * (10 if ten else 1)):
            with autocast(device, bench.precision):
                network(inputs)
        return len(bench.part)

    def ours(part: Part) -> int:
        predict(
            *(network, part, lambda images: view(images, recipe, recipe.views)),
            batch=recipe.batch,
            device=device,
            precision=bench.precision,
            what="predict",
        )
        return len(part)

    @torch.inference_mode()
    def files() -> int:
        for images, _ in loader:
            theirs(images.to(device).flatten(0, -4)).cpu()
        return len(bench.part)

    return {BARE: bare, **ours_on(bench, ours), FILES: files}


def ours_on(bench: Bench, ours: Callable[[Part], int]) -> dict[str, Action]:
    """Return our loop; if a GPU keeps the images, also as it is where they do not fit."""
    kept = keep_on_device(bench.part, bench.device)
    actions: dict[str, Action] = {OURS: lambda: ours(kept)}
    return actions if kept is bench.part else actions | {STREAMED: lambda: ours(bench.part)}


class Radiographs(Dataset[tuple[Tensor, Tensor]]):
    """PNG files by number, decoded when asked for; the files repeat where labels are more."""

    def __init__(self, paths: list[Path], labels: Tensor, change: transforms.Compose) -> None:
        self.paths, self.labels, self.change = paths, labels, change

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        """Return what a network sees of an image, and its findings."""
        with Image.open(self.paths[i % len(self.paths)]) as image:
            return self.change(image.convert("RGB")), self.labels[i]


TO_TENSOR = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
)


def stack_crops(crops: tuple[Image.Image, ...]) -> Tensor:
    """Return ten crops as one tensor (10, 3, px, px)."""
    return torch.stack([TO_TENSOR(crop) for crop in crops])


def load_files(bench: Bench, crop: transforms.Compose) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return a loader of as many PNG files as the part has images."""
    change = transforms.Compose([transforms.Resize(bench.recipe.resize_px), crop])
    return DataLoader(
        Radiographs(bench.files, bench.part.labels, change),
        batch_size=bench.recipe.batch,
        shuffle=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
        pin_memory=bench.device.type == "cuda",
    )


def build_their_network(bench: Bench) -> nn.Module:
    """Return the same network in torch's default memory format."""
    network = build_network(bench.recipe).to(bench.device)
    return network.to(memory_format=torch.contiguous_format)


def make_part(folder: Path, recipe: Recipe, *, images: int, px: int) -> Part:
    """Return packed noise, mapped from a file as the pipeline's is."""
    rng = np.random.default_rng(0)
    path = folder / "images.npy"
    shape = (min(images, PACKED), px, px)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for row in array:
        row[:] = rng.integers(0, 256, (px, px), dtype=np.uint8)
    labels = rng.random((images, len(recipe.findings))) < 0.05
    return Part(
        images=cast("NDArray[np.uint8]", np.load(path, mmap_mode="r")),
        rows=np.arange(images) % len(array),
        names=[str(i) for i in range(images)],
        labels=torch.from_numpy(labels).float(),
    )


def shorten(part: Part, images: int) -> Part:
    """Return the first images of a part."""
    kept = slice(images)
    return replace(part, rows=part.rows[kept], names=part.names[kept], labels=part.labels[kept])


def draw_tensors(recipe: Recipe, device: torch.device) -> Tensor:
    """Return a batch of random input on the device."""
    inputs = torch.randn(recipe.batch, 3, recipe.input_px, recipe.input_px)
    return inputs.to(device, memory_format=torch.channels_last)


def count_flops(network: nn.Module, recipe: Recipe) -> dict[str, float]:
    """Return the floating-point operations that an image takes in training and in prediction."""
    shape = copy.deepcopy(network).cpu()
    inputs = torch.zeros(2, 3, recipe.input_px, recipe.input_px)
    with FlopCounterMode(display=False) as training:
        shape(inputs).sum().backward()
    with FlopCounterMode(display=False) as prediction, torch.no_grad():
        shape(inputs)
    counters = {"training": training, "prediction": prediction}
    return {what: counter.get_total_flops() / 2 for what, counter in counters.items()}


def compare(rates: Rates) -> dict[str, float]:
    """Return ours as a share of the bare network's rate and as a multiple of the files'."""
    ours = median(rates[OURS])
    return {"b/a": ours / median(rates[BARE]), "b/c": ours / median(rates[FILES])}


def print_table(what: str, rates: Rates, device: torch.device) -> None:
    """Print medians, lowest and highest rates, and the two ratios beside what is aimed at."""
    print(f"\n{what:24} images/s   lowest  highest", flush=True)
    for name in rates:
        low, middle, high = min(rates[name]), median(rates[name]), max(rates[name])
        print(f"{name:24} {middle:8.2f} {low:8.2f} {high:8.2f}")
    targets = {"b/a": OURS_OF_BARE, "b/c": OURS_OF_FILES[device.type]}
    for name, ratio in compare(rates).items():
        reached = "reached" if ratio >= targets[name] else "MISSED"
        print(f"{name:24} {ratio:8.3f} (target {targets[name]:g}: {reached})")


def describe_processor(device: torch.device) -> str:
    """Return the name of the GPU or CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    if (cpu := Path("/proc/cpuinfo")).exists():
        model = re.findall(r"model name\s*: (.+)", cpu.read_text())[0]
    return model


def describe_hardware(device: torch.device, compute: Compute) -> str:
    """Return what the rates were measured with."""
    deterministic = ""
    if device.type == "cuda":
        deterministic = f"compute.deterministic {str(compute.deterministic).lower()}, "
    return (
        f"{describe_processor(device)}, {os.cpu_count()} cores, {compute.threads} threads, "
        f"{deterministic}torch {torch.__version__}, torchvision {torchvision.__version__}"
    )


if __name__ == "__main__":
    main()
