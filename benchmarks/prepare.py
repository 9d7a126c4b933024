"""Time the packing of `prepare` beside one core's decoding, and take its peak memory.

    python benchmarks/prepare.py
    python benchmarks/prepare.py --images 500 8000 --output prepare.json

Radiographs of 1024 pixels are drawn into a temporary folder, linked under as
many names as there are to be images, and put into a zip as Kaggle's. Each size is packed from the
folder and from the zip by a process of its own, all in turns, and one core's decoding and resizing
is timed before and after each, so that a machine whose speed changes slows both. What is aimed at:
0.9 of (images a second of one core) x (cores), and memory that does not grow with the number of
images. Rates and shares are medians over rounds.
"""

import argparse
import json
import os
import platform
import re
import resource
import sys
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

import numpy as np
import PIL

from chestxray14.base.params import load_block
from chestxray14.data.images import decode, pack
from chestxray14.data.packing import load_images, pack_images
from chestxray14.phantom.cohort import draw_cohort
from chestxray14.raw.archive import open_archive
from chestxray14.raw.params import Phantom

OF_CORES, GROWTH = 0.9, 1.1
"""The least share of all cores' rate, and the most that memory may grow, that are aimed at."""


@dataclass(frozen=True)
class Packed:
    """One packing: images a second, their share of the cores, and peak memory in MB."""

    source: str
    images: int
    rate: float
    share: float
    memory: float


def main() -> None:
    """Draw, time one core and packing in turns, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, nargs=2, default=(500, 2000), metavar="N")
    parser.add_argument("--png-px", type=int, default=1024)
    parser.add_argument("--packed-px", type=int, default=512)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="threads that pack")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="to time one core, and all, beside each packing"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="a JSON file for what is printed")
    arguments = parser.parse_args()
    workers, px, seconds = arguments.workers, arguments.packed_px, arguments.seconds

    single: list[float] = []
    every: list[float] = []
    packed: list[Packed] = []
    with TemporaryDirectory() as name, redirect_stdout(sys.stderr):
        folder = Path(name)
        files = draw(folder / "drawn", px=arguments.png_px)
        sources = [
            (images, source)
            for images in sorted(arguments.images)
            for source in list_sources(folder / str(images), files, images=images)
        ]
        single.append(time_decoding(files, px=px, workers=1, seconds=seconds))
        for images, source in sources * arguments.rounds:
            every.append(time_decoding(files, px=px, workers=workers, seconds=seconds))
            rate, memory = pack_alone(source, images=images, px=px, workers=workers)
            single.append(time_decoding(files, px=px, workers=1, seconds=seconds))
            kind = "zip" if source.suffix else "folder"
            share = rate / (mean(single[-2:]) * workers)
            packed.append(Packed(kind, images, rate=rate, share=share, memory=memory))
        size = sum(file.stat().st_size for file in files) / len(files)

    one = median(single)
    hardware = describe_hardware()
    print(hardware)
    print(f"{arguments.png_px} pixels, {size / 1e3:.0f} kB a file, packed at {px} pixels")
    print(f"one core {one:.1f} images/s ({min(single):.1f} to {max(single):.1f}), times {workers}")
    print(
        f"all of them decoding from memory {median(every):.1f} images/s, "
        f"{median(every) / (one * workers):.3f} of that, about the most that any way of packing "
        "could reach"
    )
    print("\nsource  images  images/s  of the cores  lowest to highest  memory MB")
    few, many = sorted(arguments.images)
    for kind in ("folder", "zip"):
        peaks = {}
        for images in (few, many):
            rows = [row for row in packed if (row.source, row.images) == (kind, images)]
            shares = [row.share for row in rows]
            share, spread = median(shares), f"{min(shares):.3f} to {max(shares):.3f}"
            peaks[images] = max(row.memory for row in rows)
            print(
                f"{kind:7} {images:6,} {median(row.rate for row in rows):9.1f} {share:13.3f} "
                f"{spread:>18} {peaks[images]:10.0f}"
            )
        print(f"{kind}: {share:.3f} of the cores, {judge(share >= OF_CORES)} ({OF_CORES})")
        growth = peaks[many] / peaks[few]
        print(
            f"{kind}: memory grows {growth:.3f} times for {many / few:g} times the images, "
            f"{judge(growth <= GROWTH)} (at most {GROWTH})"
        )
    if arguments.output:
        report = {"hardware": hardware, "cores": workers, "one_core": single}
        report |= {"all_cores": every, "packed": [asdict(row) for row in packed]}
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")


def draw(folder: Path, *, px: int) -> list[Path]:
    """Draw a few radiographs and return their files."""
    cohort = load_block("datasets.phantom", Phantom)
    draw_cohort(cohort.model_copy(update={"patients": 10, "image_px": px}), folder, workers=1)
    return sorted(folder.rglob("*.png"))


def list_sources(folder: Path, files: list[Path], *, images: int) -> list[Path]:
    """Return a folder and a zip of so many images, the files repeated under other names."""
    inside = folder / "raw" / "images_001" / "images"
    inside.mkdir(parents=True)
    path = folder / "raw.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for i, file in enumerate(islice(cycle(files), images)):
            link = inside / f"{i:08d}_000.png"
            link.hardlink_to(file)
            archive.write(link, f"images_001/images/{link.name}")
    # What is still on its way to the disk would be waited for by the packing.
    os.sync()
    return [folder / "raw", path]


def time_decoding(files: list[Path], *, px: int, workers: int, seconds: float) -> float:
    """Return how many images a second so many threads decode and resize from memory."""
    contents = [file.read_bytes() for file in files]

    def work(number: int) -> int:
        images = 0
        while time.perf_counter() - began < seconds:
            pack(decode(contents[(number + images) % len(contents)], name="drawn"), px=px)
            images += 1
        return images

    with ThreadPoolExecutor(workers) as pool:
        began = time.perf_counter()
        images = sum(pool.map(work, range(workers)))
        return images / (time.perf_counter() - began)


def pack_alone(source: Path, *, images: int, px: int, workers: int) -> tuple[float, float]:
    """Pack in a new process, whose memory is nobody else's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(pack_all, source, images=images, px=px, workers=workers).result()


def pack_all(source: Path, *, images: int, px: int, workers: int) -> tuple[float, float]:
    """Pack every image of a source as `prepare` does; return images a second and peak MB."""
    names = [f"{i:08d}_000.png" for i in range(images)]
    output = source.with_name("images.npy")
    began = time.perf_counter()
    loaded = load_images(open_archive(source), names)
    told = list(pack_images(loaded, names, path=output, px=px, workers=workers))
    seconds = time.perf_counter() - began
    assert not any(each.reason for each in told), told
    output.unlink()
    # Kilobytes on Linux, bytes on a Mac.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return images / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def judge(reached: bool) -> str:
    """Say whether a target is reached."""
    return "target reached" if reached else "target MISSED"


def describe_hardware() -> str:
    """Return what the rates were measured with."""
    model = platform.processor() or platform.machine()
    if (cpu := Path("/proc/cpuinfo")).exists():
        model = re.findall(r"model name\s*: (.+)", cpu.read_text())[0]
    return f"{model}, {os.cpu_count()} cores, Pillow {PIL.__version__}, numpy {np.__version__}"


if __name__ == "__main__":
    main()
