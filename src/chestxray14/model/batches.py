"""Batches of packed radiographs with their findings, on the device."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from chestxray14.base.draws import generator
from chestxray14.base.errors import InputError
from chestxray14.files.outputs import read_table
from chestxray14.files.packed import list_findings, open_images, read_index

log = logging.getLogger(__name__)

T = TypeVar("T")
Chosen = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """One part of a split: the images of `rows`, their names and findings.

    `images` is the whole packed array (N, P, P), or a tensor: uint8 pixels that lie on the
    device, or features (N, ...) that a frozen network made of them. `rows` (n,) points into it;
    `labels` is (n, findings) float32, zeros and ones.
    """

    images: NDArray[np.uint8] | Tensor
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
    findings: Sequence[str] = (),
) -> Part:
    """Return the images that a split assigns to `part`, in the order of the index.

    Their labels are of `findings`, of all where none is named. Raises `InputError` when the split was made for another index, or the index for other images.
    """
    names = set(split.loc[split["part"] == part, "image"])
    chosen = index[index["image"].isin(names)]
    if len(chosen) != len(names):
        raise InputError(
            f"the split names {len(names) - len(chosen):,} images that the packed data lacks; "
            "run the split stage again"
        )
    rows = chosen["row"].to_numpy(np.int64)
    if (strange := rows[(rows < 0) | (rows >= len(images))]).size:
        raise InputError(
            f"the index names row {strange[0]:,} of {len(images):,} packed images; "
            "run the prepare stage again"
        )
    return Part(
        images=images,
        rows=rows,
        names=chosen["image"].tolist(),
        labels=torch.from_numpy(
            chosen[list(findings or list_findings(index))].to_numpy(np.float32, copy=True)
        ),
    )


def read_parts(
    packed: Path,
    split_file: Path,
    *,
    parts: Sequence[str],
    findings: Sequence[str] = (),
) -> dict[str, Part]:
    """Return parts of a split of the packed dataset in a folder, by name.

    Raises `InputError` when a file is absent or damaged, the split is of another index, or the
    dataset lacks a finding.
    """
    images, index = open_images(packed / "images.npy"), read_index(packed / "index.csv")
    if lacking := [name for name in findings if name not in list_findings(index)]:
        raise InputError(
            f"{packed / 'index.csv'} lacks the findings {', '.join(lacking)}; run the train stage "
            "again"
        )
    split = read_table(split_file, by="split", columns=("image", "part"))
    return {
        part: select_part(images, index, split, part=part, findings=findings) for part in parts
    }


def sample_part(part: Part, *, at_most: int, seed: int) -> Part:
    """Return at most so many images of a part, drawn by the seed, in their order."""
    drawn = generator("sample", seed).permutation(len(part))[:at_most]
    return take_images(part, np.sort(drawn))


def take_images(part: Part, chosen: Chosen) -> Part:
    """Return the images of a part at the places `chosen`."""
    return replace(
        part,
        rows=part.rows[chosen],
        names=[part.names[i] for i in chosen],
        labels=_pick(part.labels, chosen),
    )


def count_steps(part: Part, *, batch: int) -> int:
    """Return the number of batches of about `batch` images that hold every image once.

    Never so many that a batch is left with a single image, which batch normalisation cannot take.
    """
    return max(1, min(-(-len(part) // batch), len(part) // 2))


def batch_sizes(part: Part, *, batch: int) -> list[int]:
    """Return how many images each batch has: as even as can be."""
    steps = count_steps(part, batch=batch)
    return [len(chosen) for chosen in np.array_split(np.arange(len(part)), steps)]


def shuffled_batches(
    part: Part,
    *,
    batch: int,
    seed: int,
    epoch: int,
    device: torch.device,
    share: Callable[[int], slice] = slice,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield every image once in an order that depends on (seed, epoch) alone.

    Each item is images (B, P, P) uint8 and labels (B, findings) float32 of one batch, or of the
    `share` of it that this process takes.
    """
    order = generator("order", seed, epoch).permutation(len(part))
    batches = np.array_split(order, count_steps(part, batch=batch))
    return _load(part, [chosen[share(len(chosen))] for chosen in batches], device=device)


def ordered_batches(
    part: Part, *, batch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield every image once, in order; items as in `shuffled_batches`."""
    order = np.arange(len(part))
    return _load(part, np.array_split(order, count_steps(part, batch=batch)), device=device)


def read_ahead(load: Callable[[Chosen], T], batches: Sequence[Chosen]) -> Iterator[T]:
    """Yield what `load` returns of each batch, loading the next one while one is in use."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = reader.submit(load, batches[0])
        for chosen in batches[1:]:
            ready, ahead = ahead.result(), reader.submit(load, chosen)
            yield ready
        yield ahead.result()


def _load(
    part: Part, batches: Sequence[Chosen], *, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    on_device = isinstance(part.images, Tensor) and part.images.device.type == device.type
    if device.type == "cuda" and not on_device:
        yield from _stream(part, batches, device=device)
        return
    for chosen in batches:
        images, labels = _gather(part, chosen)
        yield images.to(device), labels.to(device)


def _stream(
    part: Part, batches: Sequence[Chosen], *, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Copy each batch from pinned memory, on a stream beside the one that computes."""
    beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def copy(chosen: Chosen) -> tuple[Tensor, Tensor, torch.Event]:
        images, labels = _pin(part.images, part.rows[chosen]), _pin(part.labels, chosen)
        # The stream says on which GPU, too: a new thread begins on the first one.
        with torch.cuda.stream(beside):
            return (
                images.to(device, non_blocking=True),
                labels.to(device, non_blocking=True),
                beside.record_event(),
            )

    for images, labels, copied in read_ahead(copy, batches):
        computing = torch.cuda.current_stream(device)
        computing.wait_event(copied)
        for tensor in (images, labels):
            # Its memory must not go to the next copy before this stream has used it.
            tensor.record_stream(computing)
        yield images, labels


def _pin(source: NDArray[np.uint8] | Tensor, rows: Chosen) -> Tensor:
    """Return rows of what lies in the host's memory, pinned."""
    if isinstance(source, Tensor):
        return _pick(source, rows).pin_memory()
    pinned = torch.empty((len(rows), *source.shape[1:]), dtype=torch.uint8, pin_memory=True)
    # A pixel moves once; with mode "raise" numpy would put an array of its own in between.
    np.take(source, rows, axis=0, out=pinned.numpy(), mode="clip")
    return pinned


def _gather(part: Part, chosen: Chosen) -> tuple[Tensor, Tensor]:
    """Return images and labels, each on the device where the part has it."""
    rows = part.rows[chosen]
    if isinstance(part.images, Tensor):
        images = _pick(part.images, rows)
    else:
        images = torch.from_numpy(part.images[rows])
    return images, _pick(part.labels, chosen)


def _pick(tensor: Tensor, rows: Chosen) -> Tensor:
    return tensor[torch.from_numpy(rows).to(tensor.device, non_blocking=True)]


LEFT_TO_NETWORK = 0.5
"""The share of a GPU's memory that images never take: weights, moments and activations need it."""


_CHUNK = 512


def keep_on_device(part: Part, device: torch.device) -> Part:
    """Return a part whose pixels and labels lie on the GPU where they fit, else as it is.

    They fit when they are free now, and `LEFT_TO_NETWORK` of the memory stays so. What does not
    fit is streamed batch by batch; on a CPU the part already lies where it is used.
    """
    if device.type != "cuda":
        return part
    # What torch keeps for later counts as taken.
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    if not fits(part, free=free, total=total):
        log.info(
            "%s images (%.1f GB) are streamed: %.1f of the GPU's %.1f GB are free",
            *(f"{len(part):,}", len(part) * part.images[:1].nbytes / 1e9, free / 1e9, total / 1e9),
        )
        return part
    return copy_to(part, device)


def fits(part: Part, *, free: int, total: int) -> bool:
    """Say whether a part's images leave enough of a GPU's memory, in bytes."""
    return free - len(part) * part.images[:1].nbytes >= LEFT_TO_NETWORK * total


def copy_to(part: Part, device: torch.device) -> Part:
    """Return a part whose images, those of its rows alone, and labels lie on the device."""
    whole = part.images
    dtype = whole.dtype if isinstance(whole, Tensor) else torch.uint8
    images = torch.empty((len(part), *whole.shape[1:]), dtype=dtype, device=device)
    for start in range(0, len(part), _CHUNK):
        chunk = whole[part.rows[start : start + _CHUNK]]
        images[start : start + _CHUNK] = torch.as_tensor(chunk)
    return replace(part, images=images, rows=np.arange(len(part)), labels=part.labels.to(device))
