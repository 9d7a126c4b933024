"""The protocols that params.yaml names: who trains, validates and tests."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from chestxray14.base.params import FileName, Record, Seed, Sha256, Share


class AtMost(Record):
    """How many images a part keeps at most, by whole patients where the split is by patient."""

    train: Annotated[int, Field(ge=1)]
    val: Annotated[int, Field(ge=1)]
    test: Annotated[int, Field(ge=1)]


class RandomSplit(Record):
    """Shares of whole patients, or LEAKY of single images, drawn at random; the rest is test."""

    kind: Literal["patient", "image"]
    train: Share
    val: Share
    seed: Seed
    at_most: AtMost | None

    @model_validator(mode="after")
    def _leaves_a_test_part(self) -> "RandomSplit":
        if self.train + self.val >= 1:
            raise ValueError(
                f"train + val is {self.train + self.val:g}, expected less than 1 (the rest is test)"
            )
        return self


class OfficialSplit(Record):
    """NIH's own lists; `val` is the share of train_val patients kept for validation."""

    kind: Literal["official"]
    val: Share
    seed: Seed


class OwnSplit(Record):
    """The parts in which a dataset's own table comes."""

    kind: Literal["own"]


class Hashes(Record):
    """sha256 of each part: sorted names, one a line, each with a newline."""

    train: Sha256
    val: Sha256
    test: Sha256


class ListSplit(Record):
    """Somebody else's lists of image names, refused when their hash differs."""

    kind: Literal["lists"]
    train: FileName
    val: FileName
    test: FileName
    sha256: Hashes


Split = Annotated[RandomSplit | OfficialSplit | OwnSplit | ListSplit, Field(discriminator="kind")]

SPLIT = TypeAdapter[RandomSplit | OfficialSplit | OwnSplit | ListSplit](Split)
"""Reads one block of `splits`."""
