"""Made-up predictions and what is scored of them."""

from pathlib import Path

import numpy as np
import pandas as pd
from conftest import make_index

from chestxray14.base.findings import FINDINGS, NO_FINDING
from chestxray14.files.predictions import Predicted, match
from chestxray14.scoring.params import Evaluate
from chestxray14.scoring.score import Scoring, score

PARAMS = Evaluate(draws=60, seed=0, bins=5, sensitivity=0.9)


def predicted(
    patients: int = 40,
    *,
    seed: int = 0,
    findings: tuple[str, ...] = FINDINGS,
    rare: tuple[str, ...] = (),
) -> Predicted:
    """Return made-up predictions that know something of the labels; no image has a `rare` one."""
    known = make_index(patients, seed=seed).assign(**dict.fromkeys(rare, 0))
    known.loc[known.index % 5 == 0, list(FINDINGS)] = 0  # some images without any finding
    noise = np.random.default_rng(seed).random((len(known), len(findings)))
    values = 0.3 * known[list(findings)].to_numpy() + 0.7 * noise
    table = pd.DataFrame(values, columns=list(findings), index=known["image"])
    return match(table.iloc[::-1], known, path=Path("p.csv"))


def hide(whole: Predicted, *, seed: int = 0) -> Predicted:
    """Return predictions of which one label in ten is not known."""
    rng = np.random.default_rng(seed)
    columns = list(whole.labelled)
    labels = whole.known[columns].astype(float)
    known = whole.known.drop(columns=NO_FINDING, errors="ignore").assign(
        **labels.mask(rng.random(labels.shape) < 0.1)
    )
    table = whole.probabilities.drop(columns=NO_FINDING, errors="ignore")
    return match(table.set_axis(known["image"]), known, path=Path("p.csv"))


def evaluate(test: Predicted, val: Predicted | None = None) -> Scoring:
    """Return every score by `PARAMS`."""
    return score(test, val=val, params=PARAMS, label_version="original")
