"""Prediction files: one row an image, one probability a finding."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chestxray14.base.errors import InputError, name_some
from chestxray14.base.findings import NO_FINDING, spell_finding
from chestxray14.files.cells import read_cells
from chestxray14.files.names import spell
from chestxray14.files.outputs import write_text
from chestxray14.files.packed import count_patients, list_findings

IMAGE_COLUMN = "Image Index"

AFFIXES = re.compile(
    "(pred|predict|predicted|prediction|predictions|preds|prob|probs|proba|probability|"
    "probabilities|score|scores|logit|logits|sigmoid|out|output|outputs|conf|confidence|est|"
    "estimate|model|p|hat|y|x|true|truth|label|labels|labeled|labelled|gt|ground|target|"
    "targets|actual|real|reference|ref|observed|expected|is|has|binary|bin|class|raw|value|[0-9])*"
)
"""What others write before or after a finding to tell labels from predictions, run together."""


@dataclass(frozen=True)
class Predicted:
    """Images with what is known of them and what a network says, in the same order.

    `known` has the columns of `labels.read_labels`, `probabilities` a column a finding. Where all
    that is labelled is predicted, both have No Finding too (see `match`).
    """

    known: pd.DataFrame
    probabilities: pd.DataFrame

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings that are predicted, in the order of the labels."""
        return tuple(name for name in self.labelled if name in self.probabilities)

    @property
    def labelled(self) -> tuple[str, ...]:
        """The findings that are labelled."""
        return list_findings(self.known)

    @property
    def patients(self) -> int:
        """How many patients are known."""
        return count_patients(self.known)

    @property
    def columns(self) -> tuple[str, ...]:
        """What is both present and absent, in that order, No Finding last."""
        return tuple(
            name
            for name in (*self.labelled, NO_FINDING)
            if name in self.probabilities and 0 < self.known[name].mean() < 1
        )

    def restrict(self, names: Collection[str]) -> "Predicted":
        """Return these images alone."""
        kept = self.known["image"].isin(names)
        return Predicted(
            self.known[kept].reset_index(drop=True),
            self.probabilities[kept].reset_index(drop=True),
        )

    def labels(self, columns: Sequence[str]) -> NDArray[Any]:
        """Return zeros and ones (n, columns): bytes, or floats with NaN where one is unknown."""
        labels = self.known[list(columns)].to_numpy(np.float64)
        return labels if np.isnan(labels).any() else labels.astype(np.uint8)

    def scores(self, columns: Sequence[str]) -> NDArray[np.float64]:
        """Return probabilities (n, columns)."""
        return self.probabilities[list(columns)].to_numpy(np.float64)


def write_predictions(
    path: Path,
    names: list[str],
    probabilities: NDArray[np.floating[Any]],
    *,
    findings: Sequence[str],
) -> None:
    """Write probabilities (n, findings) with nine digits: every float32 stays itself."""
    table = pd.DataFrame(probabilities, columns=list(findings))
    table.insert(0, IMAGE_COLUMN, names)
    write_text(path, table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def read_predictions(path: Path, *, findings: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the probabilities of a prediction file by image name, and the columns left out.

    Columns may come in any order and carry the prefix `prob_`; those that are none of `findings`
    are left out, and findings may be missing. Raises `InputError` naming file, column and row of what is
    no probability, of an image that occurs twice, and two columns that may both be of one finding.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} not found; expected a prediction file") from None
    header = content.partition(b"\n")[0]
    if b"," not in header and any(separator in header for separator in (b";", b"\t")):
        raise InputError(
            f"{path} row 1: found no comma; the separator of columns must be a comma, and the "
            "decimal sign a point"
        )
    table = read_cells(content, name=str(path))
    names = [_spell_column(column, findings) for column in table.columns]
    _refuse_twins(list(table.columns), findings=findings, path=path)
    if twice := [name for i, name in enumerate(names) if name in findings and name in names[:i]]:
        raise InputError(f"{path} has two columns for {twice[0]}; expected one")
    table.columns = pd.Index(names)
    if IMAGE_COLUMN not in table:
        raise InputError(f"{path} lacks the column {IMAGE_COLUMN!r}; found {names}")
    found = [finding for finding in findings if finding in names]
    if not found:
        raise InputError(f"{path} has no column named after a finding such as {findings[0]}")
    images = table[IMAGE_COLUMN].map(spell)
    for bad, what in ((images == "", "no image name"), (images.duplicated(), "a repeated image")):
        if bad.any():
            raise InputError(f"{path} row {int(np.argmax(bad)) + 2}: {what}")
    values = {finding: pd.to_numeric(table[finding], errors="coerce") for finding in found}
    for finding in found:
        bad = ~values[finding].between(0, 1)
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"{path} row {row + 2}, {finding}: found {table[finding].iloc[row]!r}, "
                "expected a probability from 0 to 1"
            )
    others = [name for name in names if name not in (IMAGE_COLUMN, *findings)]
    return pd.DataFrame(values).set_index(images), others


def _refuse_twins(columns: Sequence[str], *, findings: Sequence[str], path: Path) -> None:
    """Refuse a bare finding beside itself with an affix: which is predicted, nobody knows."""
    for finding in findings:
        others = {*findings} - {finding}
        named = [c for c in columns if c not in others and _is_named_after(c, finding)]
        bare = any(finding in (column, spell_finding(column)) for column in named)
        if bare and len(named) > 1:
            raise InputError(
                f"{path} has two columns for {finding}: {' and '.join(map(repr, named[:2]))}; "
                "expected its probabilities alone"
            )


def _spell_column(column: str, findings: Sequence[str]) -> str:
    """Return the finding, or No Finding, that a column is of, itself where it is of none."""
    bare = column.removeprefix("prob_")
    known = (*findings, NO_FINDING)
    return next((name for name in (bare, spell_finding(bare)) if name in known), column)


def _is_named_after(column: str, finding: str) -> bool:
    """Return whether a column's name is a finding with nothing but `AFFIXES` around it."""
    plain, stem = (re.sub(r"[\W_]+", "", name).lower() for name in (column, finding))
    before, found, after = plain.partition(stem)
    return bool(found and AFFIXES.fullmatch(before) and AFFIXES.fullmatch(after))


def match(probabilities: pd.DataFrame, known: pd.DataFrame, *, path: Path) -> Predicted:
    """Return predictions, by image name, beside what is known of their images.

    Where all labelled findings are predicted, No Finding is derived: an image has it where no finding is
    labelled, with one less the highest probability. Raises `InputError` naming the prediction file
    `path` and images of which nothing is known.
    """
    labelled = list_findings(known)
    known = known.set_index("image")
    if unknown := [name for name in probabilities.index if name not in known.index]:
        paths = any(separator in name for name in unknown for separator in "/\\")
        raise InputError(
            f"{path} names {len(unknown):,} images without a label: {name_some(unknown)}"
            + ("; expected file names without folders" if paths else "")
        )
    known = known.loc[probabilities.index].rename_axis("image").reset_index()
    predicted = [finding for finding in labelled if finding in probabilities]
    probabilities = probabilities[predicted].reset_index(drop=True)
    if len(predicted) == len(labelled):
        # Where nothing is found but something is not known, it is not known.
        present = (known[predicted] == 1).any(axis=1)
        hidden = known[predicted].isna().any(axis=1) & ~present
        absent = (~present).astype(np.uint8)
        known = known.assign(**{NO_FINDING: absent.mask(hidden) if hidden.any() else absent})
        probabilities = probabilities.assign(**{NO_FINDING: 1 - probabilities.max(axis=1)})
    return Predicted(known, probabilities)
