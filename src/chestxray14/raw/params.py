"""The datasets that params.yaml names: where raw data comes from."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import FileName, Limits, Pixels, Record, Seed, Sha256, Share
from chestxray14.raw.reading import Reading


class ExpertFile(Record):
    """A file of radiologists' readings on disk, pinned by content."""

    path: FileName
    sha256: Sha256


class AllFindings(Record):
    """Google's labels of 810 test images by three radiologists, and all five readers'."""

    labels: ExpertFile
    readers: ExpertFile


class FourFindings(Record):
    """Google's labels of 4,376 images in one file or two, and the readers' if one has them."""

    labels: Annotated[list[ExpertFile], Field(min_length=1)]
    readers: ExpertFile | None


class ChestXDet(Record):
    """Deepwise's boxes and outlines: their training and test files."""

    outlines: Annotated[list[ExpertFile], Field(min_length=1)]


class Experts(Record):
    """What radiologists say of a dataset's images; null where a set is not here."""

    all_findings: AllFindings | None
    four_findings: FourFindings | None
    chestx_det: ChestXDet | None


class _Packed(Record):
    packed_px: Pixels
    max_rejected: Annotated[float, Field(ge=0, le=1)]
    limits: Limits
    experts: Experts | None = None


class _Dataset(_Packed):
    protocol: None = None


class _NIH(_Dataset):
    """A dataset in NIH's form, with the name of its label file."""

    labels: Annotated[str, Field(pattern=r"^[^/]+\.csv$")]

    @property
    def reading(self) -> Any:
        """What decides how its labels are read."""
        return self.labels


class Phantom(_NIH):
    """A drawn cohort: what `phantom.draw_cohort` needs to know."""

    source: Literal["phantom"]
    patients: Annotated[int, Field(ge=10, le=99_999)]
    follow_ups: Annotated[float, Field(ge=0, le=20)]
    image_px: Annotated[int, Field(ge=64, le=1024)]
    prevalence: dict[str, Share]
    faintest: Annotated[float, Field(ge=0, le=1)]
    label_noise: Annotated[float, Field(ge=0, lt=0.5)]
    seed: Seed

    @model_validator(mode="after")
    def _every_finding(self) -> "Phantom":
        if set(self.prevalence) != set(FINDINGS):
            odd = sorted(set(self.prevalence) ^ set(FINDINGS))
            raise ValueError(f"prevalence must name the 14 findings; missing or unknown: {odd}")
        return self

    @property
    def drawing(self) -> dict[str, Any]:
        """What decides the pictures and their labels."""
        return self.model_dump(exclude={"source", *_NIH.model_fields})


class KaggleDataset(_NIH):
    """A dataset on Kaggle, pinned to a version: `owner/name/version`."""

    source: Literal["kaggle"]
    slug: Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+/\d+$")]


Archives = Annotated[list[Annotated[int, Field(ge=1, le=12)]], Field(min_length=1)] | None
"""Those of NIH's twelve archives that are used, by number, null for all: the rows that the label
file has of the others are left out."""


class Folder(_NIH):
    """A tree (or zip) in the Kaggle layout that is already on disk, or NIH's archives."""

    source: Literal["folder"]
    path: FileName
    archives: Archives


class NihBox(_NIH):
    """NIH's own archives; `tables` is a folder with its label file, lists and boxes."""

    source: Literal["nih_box"]
    tables: FileName
    archives: Archives
    delete: bool


class ChestMnistDataset(_Packed):
    """ChestMNIST with images of `side` pixels: all, or so many drawn by `seed`."""

    source: Literal["chestmnist"]
    side: Literal[64, 128, 224]
    images: Annotated[int, Field(ge=100)] | None
    seed: Seed
    labels: None
    protocol: Literal["given"]

    @property
    def reading(self) -> Any:
        """What decides how its labels are read: they are in the file."""
        return None

    @model_validator(mode="after")
    def _never_enlarged(self) -> "ChestMnistDataset":
        if self.packed_px > self.side:
            raise ValueError(
                f"packed_px is {self.packed_px}, expected at most side, which is {self.side}"
            )
        return self


class Table(_Dataset, Reading):
    """Anybody's images, a folder or a zip, and a table of what they show."""

    source: Literal["table"]
    images: FileName

    @property
    def reading(self) -> Any:
        """What decides how its table is read, wherever that lies."""
        how = self.model_dump(mode="json", include=set(Reading.model_fields) - {"table", "join"})
        return how | {"parts": list(self.parts), "by": self.join.by if self.join else None}


AnyDataset = Phantom | KaggleDataset | Folder | NihBox | ChestMnistDataset | Table

Dataset = Annotated[AnyDataset, Field(discriminator="source")]

DATASET = TypeAdapter[AnyDataset](Dataset)
"""Reads one block of `datasets`."""
