"""Time the bootstrap at the size of ChestX-ray14's random test part; print the seconds.

    python benchmarks/bootstrap.py

Labels and scores are drawn: 22,433 images of 6,187 patients, 14 findings as frequent as in the label
file of NIH ChestX-ray14 (`Data_Entry_2017.csv`, 112,120 images). Beside it stands what a loop over
draws with scikit-learn's `roc_auc_score` takes, extrapolated from a few draws.
"""

import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from chestxray14.base.findings import FINDINGS
from chestxray14.scoring.bootstrap import bootstrap_findings, draw_patients

IMAGES, PATIENTS, DRAWS = 22_433, 6_187, 1_000
LOOPED = 5
"""Draws that the loop with scikit-learn is timed on."""

POSITIVES = {
    "Atelectasis": 11_535,
    "Cardiomegaly": 2_772,
    "Effusion": 13_307,
    "Infiltration": 19_870,
    "Mass": 5_746,
    "Nodule": 6_323,
    "Pneumonia": 1_353,
    "Pneumothorax": 5_298,
    "Consolidation": 4_667,
    "Edema": 2_303,
    "Emphysema": 2_516,
    "Fibrosis": 1_686,
    "Pleural_Thickening": 3_385,
    "Hernia": 227,
}
"""How many of all 112,120 images show each finding."""

Result = TypeVar("Result")


def main() -> None:
    """Time ours and the loop, and check that they agree."""
    patients, labels, scores = make_problem()
    print(describe_hardware())
    print(f"{IMAGES:,} images, {PATIENTS:,} patients, {len(FINDINGS)} findings, {DRAWS:,} draws")

    drawing, drawn = timed(lambda: draw_patients(patients, draws=DRAWS, seed=0))
    report("draw patients", drawing)
    each, (found, _) = timed(lambda: bootstrap_findings(labels, scores, drawn))
    report("each finding, with average precision", each)

    few = drawn.counts[:, :LOOPED]
    looping, looped = timed(lambda: loop(labels, scores, few))
    extrapolate("each finding, scikit-learn", looping)
    furthest = np.abs(found[:LOOPED] - looped).max()
    print(f"largest difference over the {LOOPED} draws: {furthest:.1e}")


def make_problem() -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.float64]]:
    """Return patients, labels and scores; few patients have many images, as in the dataset."""
    rng = np.random.default_rng(0)
    weights = rng.lognormal(sigma=1.3, size=PATIENTS)
    more = rng.choice(PATIENTS, size=IMAGES - PATIENTS, p=weights / weights.sum())
    patients = np.concatenate([np.arange(PATIENTS), more])
    prevalence = np.array([POSITIVES[finding] for finding in FINDINGS]) / 112_120
    labels = (rng.random((IMAGES, len(FINDINGS))) < prevalence).astype(int)
    logits = rng.normal(size=labels.shape) + 1.3 * labels + np.log(prevalence)
    return patients, labels, 1 / (1 + np.exp(-logits))


def loop(
    labels: NDArray[np.int_], scores: NDArray[np.float64], counts: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Return the AUROC of each finding in each draw, one call of scikit-learn each."""
    columns = range(labels.shape[1])
    return np.array(
        [
            [roc_auc_score(labels[:, i], scores[:, i], sample_weight=weights) for i in columns]
            for weights in counts.T
        ]
    )


def timed(action: Callable[[], Result]) -> tuple[float, Result]:
    """Return the seconds an action takes, and its result."""
    began = time.perf_counter()
    result = action()
    return time.perf_counter() - began, result


def report(what: str, seconds: float) -> None:
    """Print one measured time."""
    print(f"{what:38} {seconds:8.2f} s")


def extrapolate(what: str, seconds: float) -> None:
    """Print the time of all draws, from that of a few."""
    whole = seconds * DRAWS / LOOPED
    print(f"{what:38} {whole:8.0f} s, EXTRAPOLATED from {LOOPED} draws in {seconds:.2f} s")


def describe_hardware() -> str:
    """Return what the times were measured with."""
    model = platform.processor() or platform.machine()
    if (cpu := Path("/proc/cpuinfo")).exists():
        lines = re.findall(r"model name\s*: (.+)", cpu.read_text())
        model = f"{lines[0]}, {len(lines)} cores" if lines else model
    return f"{model}, numpy {np.__version__}, scikit-learn {sklearn.__version__}; one thread used"


if __name__ == "__main__":
    main()
