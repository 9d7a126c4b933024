"""Two networks on the same test images: the paired difference of their AUROC."""

from collections.abc import Sequence

import numpy as np

from chestxray14.base.errors import InputError
from chestxray14.base.scores import round_record
from chestxray14.scoring.claims import adjust, estimate_difference, suffice_for_mean
from chestxray14.scoring.evaluation import Difference, Differences
from chestxray14.scoring.score import Scoring


def subtract(first: Scoring, second: Scoring) -> Differences:
    """Return first less second, by finding and as `macro` over those that both score.

    Both are of the same images; the findings' p are by Holm. Raises `InputError` when no finding is
    scored in both.
    """
    scored = [each.evaluation.scored for each in (first, second)]
    shared = [finding for finding in scored[0] if finding in scored[1]]
    if not shared:
        raise InputError("the two networks have no scored finding in common")
    values, draws = [], []
    for each, findings in zip((first, second), scored, strict=True):
        values.append([each.evaluation.findings[finding].auroc.value for finding in shared])
        draws.append(each.draws[:, [findings.index(finding) for finding in shared]])
    value, gaps = np.array(values[0]) - np.array(values[1]), draws[0] - draws[1]
    patients = [first.evaluation.findings[finding].patients for finding in shared]
    evaluation = first.evaluation

    def compare(chosen: Sequence[int]) -> Difference:
        return estimate_difference(
            float(value[chosen].mean()),
            gaps[:, chosen].mean(axis=1),
            enough=suffice_for_mean([patients[i] for i in chosen], in_all=evaluation.units),
        )

    places = range(len(shared))
    single = adjust([compare([i]) for i in places])
    told = Differences(
        findings=len(shared),
        images=evaluation.images,
        patients=evaluation.patients,
        draws=evaluation.draws,
        split_sha256=evaluation.split_sha256,
        label_version=evaluation.label_version,
        differences={"macro": compare([*places]), **dict(zip(shared, single, strict=True))},
    )
    return round_record(told)
