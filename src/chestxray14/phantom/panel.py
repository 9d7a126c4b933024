"""A drawn panel: five readers of the drawn images, written as Google's all_findings are.

They read what is drawn, so they know nothing of the labels' noise; each errs with a sensitivity and a
specificity of its own for every finding. What most of the first three say is the reference, the
other two are readers to compare a network with. Draws are streams of their own: no image depends
on them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chestxray14.base.draws import generator
from chestxray14.base.findings import FINDINGS

LABELS, READERS = "panel_labels.csv", "panel_readers.csv"

COUNT, REFERENCE = 5, 3
"""Readers, and how many of them, the first, make the reference."""

SENSITIVITY, SPECIFICITY = (0.75, 0.95), (0.95, 0.99)
"""From and to, of a reader for a finding."""

_COLUMNS = ("Abnormal", *(finding.replace("_", " ") for finding in FINDINGS), "Other")


def write_panel(
    folder: Path,
    names: Sequence[str],
    patients: Sequence[int],
    drawn: NDArray[np.bool_],
    *,
    seed: int,
) -> None:
    """Write the reference and the readings of n images; `drawn` (n, 14) says what they show."""
    found = read_images(drawn, seed=seed)
    # Abnormal, the findings, Other: nobody sees what is not drawn at all.
    said = np.dstack([found.any(axis=2), found, np.zeros(found.shape[:2], dtype=bool)])
    most = said[:REFERENCE].sum(axis=0) > REFERENCE / 2
    rows = [",".join(["Image ID,Patient ID", *_COLUMNS])]
    for name, patient, seen in zip(names, patients, most, strict=True):
        rows.append(",".join([name, str(patient), *_cells(seen)]))
    _write(folder / LABELS, rows)
    rows = [",".join(["Image ID,Patient ID,Reader ID", *_COLUMNS])]
    for i, (name, patient) in enumerate(zip(names, patients, strict=True)):
        for reader, seen in enumerate(said[:, i], start=1):
            # Abnormal is 1 or 0 here alone, as in Google's file.
            cells = [str(int(seen[0])), *_cells(seen[1:])]
            rows.append(",".join([name, str(patient), str(reader), *cells]))
    _write(folder / READERS, rows)


def read_images(drawn: NDArray[np.bool_], *, seed: int) -> NDArray[np.bool_]:
    """Return what each reader says of images that show `drawn` (n, findings), (readers, n, findings)."""
    readings = np.empty((COUNT, *drawn.shape), dtype=bool)
    for reader in range(COUNT):
        rng = generator("panel", seed, reader)
        sensitivity = rng.uniform(*SENSITIVITY, drawn.shape[1])
        specificity = rng.uniform(*SPECIFICITY, drawn.shape[1])
        chance = rng.random(drawn.shape)
        readings[reader] = chance < np.where(drawn, sensitivity, 1 - specificity)
    return readings


def _cells(seen: NDArray[np.bool_]) -> list[str]:
    return ["YES" if value else "NO" for value in seen]


def _write(path: Path, rows: Sequence[str]) -> None:
    path.write_text("".join(f"{row}\n" for row in rows), newline="")
