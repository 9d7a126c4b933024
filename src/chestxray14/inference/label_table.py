"""What NIH's labels say and what radiologists see, as a table to read."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pandas as pd

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import load_block
from chestxray14.data.expert_files import read_expert_files
from chestxray14.data.labels import read_labels
from chestxray14.files.experts import ExpertSet, read_sets
from chestxray14.files.foreign import read_foreign
from chestxray14.files.packed import read_index
from chestxray14.scoring.agreement import compare_labels

HEAD = ("finding", "radiologists", "NIH", "both", "PPV", "sensitivity", "kappa", "between readers")

EXPLAINED = (
    "Images with each finding by the radiologists, by NIH's labels, and by both; the share of NIH's "
    "that radiologists confirm (PPV), the share of theirs that NIH has, Cohen's kappa of the two, and "
    "between single readers; then sensitivity/specificity of readers who did not make the label. The "
    "images are a selection: no shares of a population."
)


def print_labels(parsed: argparse.Namespace, answer: TextIO) -> None:
    """Print the table of each set, of the prepared dataset or of named files."""
    if parsed.labels:
        known = read_labels(read_foreign(parsed.labels), name=str(parsed.labels))
        sets = read_expert_files(parsed.experts, parsed.readers, known=known)
    elif parsed.experts or parsed.readers:
        raise InputError("--experts and --readers need the images' --labels too")
    else:
        packed = Path("data/packed") / load_block("dataset", str)
        known, sets = read_index(packed / "index.csv"), read_sets(packed)
    if not sets:
        raise InputError(
            "no radiologists' readings here; docs/radiologists.md says how to get them"
        )
    print(EXPLAINED, file=answer)
    for each in sets:
        print(f"\n{each.name}: {len(each.labels):,} images", file=answer)
        print("\n".join(tabulate(each, known)), file=answer, flush=True)


def tabulate(experts: ExpertSet, known: pd.DataFrame) -> Iterator[str]:
    """Yield the lines of one set's table."""
    table = compare_labels(experts, known, findings=[f for f in FINDINGS if f in known])
    names = sorted({name for readers in table["readers"] for name in readers})
    rows = [[*HEAD, *(f"reader {name}" for name in names)]]
    for _, row in table.iterrows():
        counts = [_text(row[column], ".0f") for column in ("radiologists", "nih", "both")]
        shares = [
            _text(row[c], ".3f") for c in ("ppv", "sensitivity", "kappa_nih", "kappa_readers")
        ]
        points = [
            "/".join(_text(rate, ".3f") for rate in row["readers"].get(name, ())) for name in names
        ]
        rows.append([row["finding"], *counts, *shares, *points])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *cells in rows:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *right]).rstrip()


def _text(value: float, form: str) -> str:
    return "" if pd.isna(value) else format(value, form)
