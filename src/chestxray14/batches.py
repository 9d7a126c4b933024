"""Batches of packed radiographs with their findings, on the device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.outputs import read_table
from chestxray14.packed import open_images, read_index
from chestxray14.reproducibility import generator


@dataclass(frozen=True)
class Part:
    """One part of a split: the images of `rows`, their names and findings.

    `images` is the whole packed array (N, P, P); `rows` (n,) points into it; `labels` is
    (n, findings) float32, zeros and ones.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    names: list[str]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.rows)


def select_part(
    images: NDArray[np.uint8],
    index: pd.DataFrame,
    split: pd.DataFrame,
    *,
    part: str,
    findings: Sequence[str] = FINDINGS,
) -> Part:
    """Return the images that a split assigns to `part`, in the order of the index.

    Raises `InputError` when the split was made for another index.
    """
    names = set(split.loc[split["part"] == part, "image"])
    chosen = index[index["image"].isin(names)]
    if len(chosen) != len(names):
        raise InputError(
            f"the split names {len(names) - len(chosen):,} images that the packed data lacks; "
            "run the split stage again"
        )
    return Part(
        images=images,
        rows=chosen["row"].to_numpy(np.int64),
        names=chosen["image"].tolist(),
        labels=torch.from_numpy(chosen[list(findings)].to_numpy(np.float32, copy=True)),
    )


def read_parts(
    packed: Path,
    split_file: Path,
    *,
    parts: Sequence[str],
    findings: Sequence[str] = FINDINGS,
) -> dict[str, Part]:
    """Return parts of a split of the packed dataset in a folder, by name.

    Raises `InputError` when a file is absent or damaged, or the split is of another index.
    """
    images, index = open_images(packed / "images.npy"), read_index(packed / "index.csv")
    split = read_table(split_file, by="split", columns=("image", "part"))
    return {
        part: select_part(images, index, split, part=part, findings=findings) for part in parts
    }


def sample_part(part: Part, *, at_most: int, seed: int) -> Part:
    """Return at most so many images of a part, drawn by the seed, in their order."""
    drawn = generator(seed).permutation(len(part))[:at_most]
    chosen = np.sort(drawn)
    return replace(
        part,
        rows=part.rows[chosen],
        names=[part.names[i] for i in chosen],
        labels=part.labels[torch.from_numpy(chosen)],
    )


def count_steps(part: Part, *, batch: int) -> int:
    """Return the number of batches of about `batch` images that hold every image once.

    Never so many that a batch is left with a single image, which batch normalisation cannot take.
    """
    return max(1, min(-(-len(part) // batch), len(part) // 2))


def shuffled_batches(
    part: Part, *, batch: int, seed: int, epoch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield every image once in an order that depends on (seed, epoch) alone.

    Each item is images (B, P, P) uint8 and labels (B, findings) float32, batches as even as can be.
    """
    order = generator(seed, epoch).permutation(len(part))
    for chosen in np.array_split(order, count_steps(part, batch=batch)):
        yield _load(part, chosen, device=device)


def ordered_batches(
    part: Part, *, batch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield every image once, in order; items as in `shuffled_batches`."""
    for chosen in np.array_split(np.arange(len(part)), count_steps(part, batch=batch)):
        yield _load(part, chosen, device=device)


def _load(part: Part, chosen: NDArray[np.int64], *, device: torch.device) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(part.images[part.rows[chosen]])
    labels = part.labels[torch.from_numpy(chosen)]
    if device.type == "cuda":
        images, labels = images.pin_memory(), labels.pin_memory()
    return images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
