"""Sets of radiologists' readings as a command line names them: NAME=FILE."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.data import chestx_det
from chestxray14.data.experts import FORMATS, match_images, read_experts
from chestxray14.files.experts import ExpertSet
from chestxray14.files.foreign import read_foreign

MAPPING = Path("data/mappings/chestx_det_to_nih.csv")
"""NIH's names of ChestX-Det's images, kept with this project."""

SETS = (*FORMATS, chestx_det.NAME)


def read_expert_files(
    named: Sequence[str], readers: Sequence[str], *, known: pd.DataFrame
) -> list[ExpertSet]:
    """Return the sets of `NAME=FILE`, their images and patients held against those `known`.

    A set may be in several files, each named by itself. `readers` are files likewise, or one alone
    where there is one set. Raises `InputError` for names that are none, and as the parsers do.
    """
    files: dict[str, list[tuple[str, bytes]]] = {}
    for text in named:
        name, path = _split(text, option="--experts")
        files.setdefault(name, []).append((path, read_foreign(Path(path))))
    readings: dict[str, tuple[str, bytes]] = {}
    for text in readers:
        name, path = (
            (next(iter(files)), text)
            if len(files) == 1 and text.partition("=")[0] not in SETS
            else _split(text, option="--readers")
        )
        if name not in files or name == chestx_det.NAME or name in readings:
            raise InputError(
                f"--readers {text}: expected one file of the readers of each set, of "
                f"{', '.join(set(files) - {chestx_det.NAME}) or 'one given by --experts'}"
            )
        readings[name] = path, read_foreign(Path(path))
    return [
        match_images(
            read_outlines(content)[0]
            if name == chestx_det.NAME
            else read_experts(name, content, readings.get(name)),
            known,
        )
        for name, content in files.items()
    ]


def read_outlines(files: Sequence[tuple[str, bytes]]) -> tuple[ExpertSet, pd.DataFrame, int]:
    """Return what `chestx_det.read_outlines` does, by NIH's names as this project has them."""
    names = chestx_det.read_names(read_foreign(MAPPING), name=str(MAPPING))
    return chestx_det.read_outlines(files, names)


def _split(text: str, *, option: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if name not in SETS or not path:
        raise InputError(
            f"{option}: found {text!r}, expected NAME=FILE with one of the names {', '.join(SETS)}"
        )
    return name, path
