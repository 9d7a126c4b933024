"""The coarse maps that `predict` hands on, and what they say of a whole image.

A map lies on the network's own grid, one for each view of an image and each finding. All that is
needed to lay the views over the image again stands beside them, so nobody else runs the network.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from chestxray14.base.errors import InputError
from chestxray14.files.tensors import read_tensors, write_tensors


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Window(_Written):
    """The place of a view in the reduced image, mirrored first where `mirrored`; pixels."""

    left: int
    top: int
    mirrored: bool


class Geometry(_Written):
    """Where the cells of maps lie: every `stride` pixels of a view, the first centred on `first`.

    Views of `input_px` a side are cut at `windows` from an image reduced to `resize_px`. `method`
    says what drew the maps.
    """

    method: str
    stride: int
    first: float
    resize_px: int
    input_px: int
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Heatmaps:
    """Maps (images, views, findings, h, w) float32 of some test images."""

    images: tuple[str, ...]
    findings: tuple[str, ...]
    geometry: Geometry
    maps: NDArray[np.float32]


class _Header(_Written):
    images: tuple[str, ...]
    findings: tuple[str, ...]
    geometry: Geometry


def write_heatmaps(path: Path, heatmaps: Heatmaps) -> None:
    """Write maps and what they are of as one safetensors file."""
    record = _Header(
        images=heatmaps.images, findings=heatmaps.findings, geometry=heatmaps.geometry
    )
    write_tensors(path, {"maps": heatmaps.maps}, record=record.model_dump(mode="json"))


def read_heatmaps(path: Path) -> Heatmaps:
    """Return what `write_heatmaps` wrote.

    Raises `InputError` when the file is absent, damaged or of another version.
    """
    if not path.exists():
        raise InputError(f"{path} not found; run the predict stage")
    try:
        tensors, content = read_tensors(path)
        record = _Header.model_validate(content)
        maps: NDArray[Any] = tensors["maps"]
        expected = len(record.images), len(record.geometry.windows), len(record.findings)
        if maps.shape[:3] != expected or maps.ndim != 5:
            raise InputError(f"{path} holds maps of shape {maps.shape}, expected {expected}")
    except InputError as error:
        raise InputError(f"{error}; run the predict stage again") from None
    except (ValidationError, KeyError):
        raise InputError(f"{path} is of another version; run the predict stage again") from None
    return Heatmaps(record.images, record.findings, record.geometry, maps)


def lay_out(maps: NDArray[np.float32], geometry: Geometry, *, cells: int) -> NDArray[np.float32]:
    """Return an image's maps (views, findings, h, w) as one of the whole image a finding.

    (findings, cells, cells): the mean over the views that cover a place, NaN where none does;
    between centres of the network's cells linear, beyond the outermost constant.
    """
    total = np.zeros((maps.shape[1], cells, cells), dtype=np.float32)
    covers = np.zeros((cells, cells), dtype=np.float32)
    for one, window in zip(maps, geometry.windows, strict=True):
        rows = _interpolate(one.shape[1], window.top, geometry, cells=cells)
        columns = _interpolate(one.shape[2], window.left, geometry, cells=cells)
        if window.mirrored:
            columns = columns[::-1]
        total += rows @ one @ columns.T
        covers += np.outer(rows.sum(1), columns.sum(1))
    mean: NDArray[np.float32] = np.where(covers > 0, total / np.maximum(covers, 1), np.nan)
    return mean.astype(np.float32)


def _interpolate(count: int, start: int, geometry: Geometry, *, cells: int) -> NDArray[np.float32]:
    """Return what each of `count` cells of a view gives to each of the image, (cells, count)."""
    seen = (np.arange(cells, dtype=np.float32) + 0.5) * geometry.resize_px / cells - start
    inside = (seen >= 0) & (seen <= geometry.input_px)
    place = ((seen - geometry.first) / geometry.stride).clip(0, count - 1)
    weights = (1 - np.abs(place[:, None] - np.arange(count))).clip(min=0) * inside[:, None]
    return weights.astype(np.float32)
