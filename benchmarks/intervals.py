"""Simulate how often an interval holds the truth, and how often p claims a difference of nothing.

    python benchmarks/intervals.py --rounds 1000

A patient has one image, the hardest case; scores are normal, with the finding higher by as much as
the AUROC asks for. Findings are independent, or --alike: scores of a patient correlate by so much, and
what makes the labels too. Intervals and p come from the project's own code, whatever `claims` says of
so few patients: its rules are read off here. A row a number of patients with one finding, then a row a
set of findings, for the mean over them.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from chestxray14.scoring.bootstrap import bootstrap_findings, draw_patients
from chestxray14.scoring.claims import interval, p_value, suffice_for_mean

SINGLE = (2, 3, 5, 10, 20, 40)
"""Patients with the one finding, of 120."""

DEMO = (27, 22, 29, 8, 9, 13, 21, 30, 24, 21, 23, 15, 13, 9)
"""Patients of the rarer class of the 14 findings, of the demo's 80 test patients."""

MEANS = (
    (80, DEMO),
    (20, (8,) * 14),
    (80, (27, 29, 8, 9, 13, 30, 24)),
    (80, (5,) * 10),
    (80, (10,) * 5),
    (80, (20,) * 3),
    (80, (5, *(20,) * 13)),
    (200, (8, 8, 8, 8, 8, 8, 8, 100)),
    (200, (12, 12, 12, 12, 100, 100)),
    (80, (5,) * 8),
    (200, (6, 6, 6, 6, 6, 6, 6, 100)),
    (80, (5, 5, 30)),
    (80, (5, 35)),
    (200, (5, 100)),
    (80, (3,) * 8),
    (80, (2, *(20,) * 7)),
)
"""Patients in all, and of the rarer class of each finding."""


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--auroc", type=float, default=0.85)
    parser.add_argument("--alike", type=float, default=0.0)
    options = parser.parse_args()
    print("patients with it   coverage %   p < 0.05 where nothing differs %")
    for present in SINGLE:
        held, claimed = simulate([present], patients=120, **vars(options))
        print(f"{present:16d} {100 * held:12.1f} {100 * claimed:12.1f}", flush=True)
    print("patients   findings   of the rarer class   coverage of the mean %   rule")
    for patients, classes in MEANS:
        held, _ = simulate(classes, patients=patients, **vars(options))
        told = f"{min(classes)} to {max(classes)}"
        rule = "printed" if suffice_for_mean(classes, in_all=patients) else "not printed"
        row = f"{patients:8d} {len(classes):10d} {told:>20} {100 * held:12.1f}"
        print(f"{row:70} {rule}", flush=True)


def simulate(
    classes: Sequence[int],
    *,
    patients: int,
    rounds: int,
    draws: int,
    auroc: float,
    alike: float = 0.0,
) -> tuple[float, float]:
    """Return how often the interval of a mean AUROC holds the truth, and two equals' p is below 0.05.

    `classes` has how many of the patients have each finding.
    """

    def draw(rng: np.random.Generator) -> NDArray[np.float64]:
        own = rng.normal(size=(patients, len(classes)))
        shared = rng.normal(size=(patients, 1))
        drawn: NDArray[np.float64] = alike**0.5 * shared + (1 - alike) ** 0.5 * own
        return drawn

    images, shift = np.arange(patients), np.sqrt(2) * norm.ppf(auroc)
    held, claimed = [], []
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        labels = draw(rng).argsort(axis=0).argsort(axis=0) < classes
        resamples = draw_patients(images, draws=draws, seed=seed)
        means = [
            bootstrap_findings(labels, scores, resamples)[0].mean(axis=1)
            for scores in (draw(rng) + shift * labels for _ in range(2))
        ]
        low, high = interval(means[0]) or (1.0, 0.0)
        held.append(low <= auroc <= high)
        claimed.append(p_value(means[0] - means[1]) < 0.05)
    return float(np.mean(held)), float(np.mean(claimed))


if __name__ == "__main__":
    main()
