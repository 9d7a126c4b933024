"""The key `localize.shown` of params.yaml; what `predict` reads of the block is in model/params."""

from typing import Annotated

from pydantic import Field

Shown = Annotated[int, Field(ge=0)]
"""Pictures of hits, and as many of misses, of each finding."""
