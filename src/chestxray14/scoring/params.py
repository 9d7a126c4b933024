"""The block `evaluate` of params.yaml."""

from typing import Annotated

from pydantic import Field

from chestxray14.base.params import Record, Seed, Share


class Evaluate(Record):
    """How predictions are scored."""

    draws: Annotated[int, Field(ge=2, le=100_000)]
    seed: Seed
    bins: Annotated[int, Field(ge=2, le=1000)]
    sensitivity: Share
