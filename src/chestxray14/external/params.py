"""The block `external` of params.yaml."""

from typing import Annotated

from pydantic import Field, Tag

from chestxray14.base.params import Record
from chestxray14.model.recipe import NAME_OR_FILE, WeightsFile, name_weights


class External(Record):
    """A pretrained network of TorchXRayVision, scored on the test images of a split."""

    split: str
    weights: Annotated[
        Annotated[str, Tag("named")] | Annotated[WeightsFile, Tag("file")],
        NAME_OR_FILE,
    ]
    batch: Annotated[int, Field(ge=2)]

    @property
    def start(self) -> str:
        """The published weights' name, or a file's name and hash."""
        return name_weights(self.weights)
