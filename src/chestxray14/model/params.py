"""The block `compute` of params.yaml, and what of `localize` the network's maps depend on."""

from typing import Annotated, Literal

from pydantic import Field

from chestxray14.base.params import Record


class Compute(Record):
    """Where training and prediction run."""

    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: Annotated[int, Field(ge=1, le=1024)]
    precision: Literal["auto", "bf16", "fp16", "fp32"]
    processes: Annotated[int, Field(ge=1, le=1024)]
    sync_batch_norm: bool
    deterministic: bool
    images_at_once: Annotated[int, Field(ge=2)] | None

    def cut(self, batch: int) -> int:
        """Return how many images of a batch the device holds at once."""
        return min(batch, self.images_at_once or batch)


MapMethod = Literal["auto", "cam", "grad_cam", "grad_cam_plus_plus"]


class Maps(Record):
    """How a network's heatmaps are drawn."""

    method: MapMethod
    cells: Annotated[int, Field(ge=1)]
