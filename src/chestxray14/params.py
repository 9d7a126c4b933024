"""Typed view of params.yaml: every key, its type and its range."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, Tag, ValidationError, model_validator

from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.recipes import (
    NAME_OR_FILE,
    Limits,
    Pixels,
    Recipe,
    Record,
    Seed,
    Sha256,
    Share,
    WeightsFile,
    name_weights,
)

PARAMS_FILE = Path("params.yaml")


class _Dataset(Record):
    labels: Annotated[str, Field(pattern=r"^[^/]+\.csv$")]
    packed_px: Pixels
    max_rejected: Annotated[float, Field(ge=0, le=1)]
    limits: Limits


class Phantom(_Dataset):
    """A drawn cohort: what `phantom.draw_cohort` needs to know."""

    source: Literal["phantom"]
    patients: Annotated[int, Field(ge=10, le=99_999)]
    follow_ups: Annotated[float, Field(ge=0, le=20)]
    image_px: Annotated[int, Field(ge=64, le=1024)]
    prevalence: dict[str, Share]
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
        return self.model_dump(exclude={"source", "labels", *_Dataset.model_fields})


class KaggleDataset(_Dataset):
    """A dataset on Kaggle, pinned to a version: `owner/name/version`."""

    source: Literal["kaggle"]
    slug: Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+/\d+$")]


FileName = Annotated[str, Field(pattern=r"^[^\x00]+$")]
"""A path; a NUL, which YAML can write, is no part of one."""


class Folder(_Dataset):
    """A tree (or zip) in the Kaggle layout that is already on disk."""

    source: Literal["folder"]
    path: FileName


Dataset = Annotated[Phantom | KaggleDataset | Folder, Field(discriminator="source")]


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


Split = Annotated[RandomSplit | OfficialSplit | ListSplit, Field(discriminator="kind")]


class Compute(Record):
    """Where training and prediction run."""

    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: Annotated[int, Field(ge=1, le=1024)]
    precision: Literal["auto", "bf16", "fp32"]
    processes: Annotated[int, Field(ge=1, le=1024)]
    sync_batch_norm: bool
    deterministic: bool


class Evaluate(Record):
    """How predictions are scored."""

    draws: Annotated[int, Field(ge=2, le=100_000)]
    seed: Seed
    bins: Annotated[int, Field(ge=2, le=1000)]
    sensitivity: Share
    at_least: Annotated[int, Field(ge=1)]


class Localize(Record):
    """How heatmaps are drawn and which are shown."""

    method: Literal["auto", "cam", "grad_cam", "grad_cam_plus_plus"]
    cells: Annotated[int, Field(ge=1)]
    shown: Annotated[int, Field(ge=0)]


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


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class Params(Record):
    """The whole of params.yaml."""

    dataset: str
    datasets: dict[Name, Dataset]
    splits: dict[Name, Split]
    compute: Compute
    evaluate: Evaluate
    localize: Localize
    recipes: Annotated[dict[Name, Recipe], Field(min_length=1)]
    external: dict[Name, External]

    @model_validator(mode="after")
    def _names_exist(self) -> "Params":
        if self.dataset not in self.datasets:
            raise ValueError(
                f"dataset: {self.dataset!r} is not one of datasets: {sorted(self.datasets)}"
            )
        if twice := sorted(set(self.recipes) & set(self.external)):
            raise ValueError(f"external.{twice[0]}: a recipe has this name already")
        for block, entries in (("recipes", self.recipes), ("external", self.external)):
            for name, entry in entries.items():
                if entry.split not in self.splits:
                    raise ValueError(
                        f"{block}.{name}.split: {entry.split!r} is not one of splits: "
                        f"{sorted(self.splits)}"
                    )
        return self

    @property
    def active(self) -> Phantom | KaggleDataset | Folder:
        """The dataset everything runs on."""
        return self.datasets[self.dataset]


class _Loader(yaml.SafeLoader):
    """PyYAML as strict as DVC: floats of YAML 1.2 (`1e-4`, `5e-05`) and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping, or refuse a key that occurs twice."""
        keys = [key.value for key, _ in node.value]
        for i, (key, _) in enumerate(node.value):
            if key.value in keys[:i]:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value} occurs twice", problem_mark=key.start_mark
                )
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file as DVC reads it.

    Raises `InputError` naming the file and line when it cannot be read.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise InputError(f"{path} not found; run from the root of the project") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{where}: {reason}") from None
    except ValueError as error:  # a date that is none
        raise InputError(f"{path}: {error}") from None
    except (AttributeError, LookupError):  # what PyYAML meets in `!!int ""` and `!!timestamp x`
        raise InputError(f"{path}: a value is not what its `!!` tag says") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply") from None


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Return params.yaml, checked.

    Raises `InputError` naming the first wrong key, the value found and what was expected.
    """
    content = read_yaml(path)
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {_first_problem(error, content)}") from None


def _first_problem(error: ValidationError, content: Any) -> str:
    """Say in one line which key is wrong and how."""
    # A misspelt key is both unknown and missing; the unknown one is what the user wrote.
    problem = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    key = ".".join(_walk(problem["loc"], content, missing=problem["type"] == "missing"))
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}"
    if problem["type"] == "missing":
        return f"missing key {key}"
    message = problem["msg"].removeprefix("Value error, ")
    if not key or problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key}: found {problem['input']!r:.200}; {message[0].lower()}{message[1:]}"


def _walk(place: tuple[int | str, ...], content: Any, *, missing: bool) -> list[str]:
    """Return the keys that lead to a place in the file: pydantic also names a union's member."""
    keys = []
    for i, part in enumerate(place):
        there = part in content if isinstance(content, dict) else isinstance(part, int)
        if there:
            content = content[part]
        if there or (missing and i == len(place) - 1):
            keys.append(str(part))
    return keys
