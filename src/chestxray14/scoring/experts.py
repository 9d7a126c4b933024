"""A network against radiologists, on those of its test images that a set of them read.

The same images are scored against NIH's labels too, paired by patient, and each reader whose readings
did not make the radiologists' labels is a point beside the network's ROC curve.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chestxray14.base.scores import rank_auroc, round_record
from chestxray14.files.experts import ExpertSet
from chestxray14.files.outputs import write_record, write_text
from chestxray14.files.predictions import Predicted
from chestxray14.scoring.bootstrap import (
    Resamples,
    bootstrap_auroc,
    bootstrap_sums,
    draw_patients,
)
from chestxray14.scoring.claims import AT_LEAST, adjust, estimate, estimate_difference
from chestxray14.scoring.curves import roc_table
from chestxray14.scoring.decisions import choose_threshold
from chestxray14.scoring.evaluation import Difference, Estimate, Rule
from chestxray14.scoring.expert_scores import (
    Decided,
    ExpertEvaluation,
    ExpertMeans,
    ExpertScores,
    Reader,
)
from chestxray14.scoring.params import Evaluate
from chestxray14.scoring.readers import compare_reader

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]

COMPOSITES = {
    "Airspace opacity": ("Consolidation", "Infiltration", "Pneumonia", "Edema", "Atelectasis"),
    "Nodule or mass": ("Nodule", "Mass"),
}
"""Findings of experts that are several of NIH's: any of their labels, the largest probability."""

FEWEST_SCORED = 10
"""Patients with a finding, and without, below which it is not scored."""

CHOSEN: tuple[Rule, ...] = ("youden", "max_f1", "sensitivity")
"""The rules whose thresholds come from the validation part."""


@dataclass(frozen=True)
class ExpertScoring:
    """A set's scores by finding, their means where there are any, and ROC curves (see `roc_table`)."""

    scores: dict[str, ExpertScores]
    means: ExpertMeans | None
    curves: pd.DataFrame


def score_experts(
    test: Predicted, experts: ExpertSet, *, val: Predicted | None, params: Evaluate
) -> ExpertScoring:
    """Return how a network agrees with a set of radiologists.

    Findings are those of the set that the network predicts, or all that they consist of. `val`, where
    there is one, gives thresholds. Nothing is scored of a set without an image of `test`.
    """
    experts = experts.restrict(test.known["image"])
    test = test.restrict(experts.labels["image"])
    labels = experts.labels.set_index("image").reindex(test.known["image"])
    members = find_members(experts.findings, predicted=test.findings) if len(labels) else {}
    resamples = draw_patients(test.known["patient"], draws=params.draws, seed=params.seed)
    scores, draws = {}, {}
    curves = [roc_table(np.empty((0, 0)), np.empty((0, 0)), findings=())]
    for finding, parts in members.items():
        present, nih = labels[finding].to_numpy() == 1, _label(test, parts)
        given = _combine(test, parts)
        thresholds: dict[Rule, float] = {}
        readers: dict[str, Reader] = {}
        against: dict[str, Any] = {}
        if _suffice(present, resamples, FEWEST_SCORED):
            against, draws[finding] = _compare_labels(present, nih, given, resamples)
            thresholds = _choose(val, parts, params.sensitivity) if val else {}
            read = experts.readers.loc[experts.readers["reference"] == 0]
            # Where nobody's readings are there, no column of the finding is either.
            read = read.reindex(columns=["image", "reader", finding]).dropna()
            readers = dict(_compare_readers(read, test.known["image"], present, given, resamples))
            curves.append(roc_table(present[:, None], given[:, None], findings=(finding,)))
        scores[finding] = ExpertScores(
            images=len(labels),
            patients=int(test.known["patient"].nunique()),
            positives=int(present.sum()),
            positives_nih=int(nih.sum()),
            auroc=against.get("auroc"),
            auroc_nih=against.get("auroc_nih"),
            difference=against.get("difference"),
            thresholds=thresholds,
            decisions={
                rule: _decide(present, given >= threshold, resamples)
                for rule, threshold in thresholds.items()
            },
            readers=readers,
        )
    scores = {finding: round_record(found) for finding, found in _adjust(scores).items()}
    means = _average(scores, draws)
    return ExpertScoring(scores, means, pd.concat(curves, ignore_index=True))


def write_experts(folder: Path, sets: Mapping[str, ExpertScoring]) -> None:
    """Write experts.json, the scores by set and finding, and experts.csv, the curves."""
    evaluation = ExpertEvaluation({name: found.scores for name, found in sets.items()})
    write_record(folder / "experts.json", evaluation)
    curves = [pd.DataFrame(columns=["set"])]
    curves += [found.curves.assign(set=name) for name, found in sets.items()]
    table = pd.concat(curves, ignore_index=True)
    write_text(folder / "experts.csv", table.to_csv(index=False, lineterminator="\n"))


def find_members(
    findings: Sequence[str], *, predicted: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return which of NIH's findings make each of the experts', where all of them are predicted."""
    members = {finding: COMPOSITES.get(finding, (finding,)) for finding in findings}
    return {f: parts for f, parts in members.items() if set(parts) <= set(predicted)}


def _combine(predicted: Predicted, parts: Sequence[str]) -> Floats:
    largest: Floats = predicted.scores(parts).max(axis=1)
    return largest


def _label(predicted: Predicted, parts: Sequence[str]) -> Truth:
    shown: Truth = predicted.labels(parts).max(axis=1) == 1
    return shown


def _suffice(present: Truth, resamples: Resamples, fewest: int) -> bool:
    """Return whether so many patients have an image with the finding, and so many one without."""
    return min(map(resamples.count_patients, (present, ~present))) >= fewest


def _adjust(scores: Mapping[str, ExpertScores]) -> dict[str, ExpertScores]:
    """Return the scores of a set with p by Holm, over its findings and over all its readers."""
    compared = [found.difference for found in scores.values() if found.difference]
    read = [reader.difference for found in scores.values() for reader in found.readers.values()]
    differences, of_readers = iter(adjust(compared)), iter(adjust(read))
    return {
        finding: found.model_copy(
            update={
                "difference": next(differences) if found.difference else None,
                "readers": {
                    name: reader.model_copy(update={"difference": next(of_readers)})
                    for name, reader in found.readers.items()
                },
            }
        )
        for finding, found in scores.items()
    }


def _average(
    scores: Mapping[str, ExpertScores], draws: Mapping[str, Mapping[str, Floats]]
) -> ExpertMeans | None:
    bounded = [
        finding
        for finding, found in scores.items()
        if found.auroc and found.difference and found.difference.low is not None
    ]
    if not bounded:
        return None
    values = {
        name: np.mean([getattr(scores[finding], name).value for finding in bounded])
        for name in ("auroc", "auroc_nih")
    }
    means = {
        name: np.mean([draws[finding][name] for finding in bounded], axis=0) for name in values
    }
    return round_record(
        ExpertMeans(
            findings=tuple(bounded),
            auroc=estimate(float(values["auroc"]), means["auroc"], enough=True),
            auroc_nih=estimate(float(values["auroc_nih"]), means["auroc_nih"], enough=True),
            difference=estimate_difference(
                float(values["auroc"] - values["auroc_nih"]),
                means["auroc"] - means["auroc_nih"],
                enough=True,
            ),
        )
    )


def _compare_labels(
    present: Truth, nih: Truth, given: Floats, resamples: Resamples
) -> tuple[dict[str, Estimate | Difference], dict[str, Floats]]:
    """Return AUROC against radiologists, where NIH's labels suffice theirs and the difference; draws."""
    values, draws, enough = {}, {}, {}
    for name, truth in (("auroc", present), ("auroc_nih", nih)):
        if _suffice(truth, resamples, FEWEST_SCORED):
            values[name] = rank_auroc(truth, given)
            draws[name] = bootstrap_auroc(truth, given, resamples)
            enough[name] = _suffice(truth, resamples, AT_LEAST)
    told: dict[str, Estimate | Difference] = {
        name: estimate(value, draws[name], enough=enough[name]) for name, value in values.items()
    }
    if len(values) == 2:
        told["difference"] = estimate_difference(
            values["auroc"] - values["auroc_nih"],
            draws["auroc"] - draws["auroc_nih"],
            enough=all(enough.values()),
        )
    return told, draws


def _choose(val: Predicted, parts: Sequence[str], sensitivity: float) -> dict[Rule, float]:
    """Return the thresholds that the validation part gives, none where it has one class only."""
    if not set(parts) <= set(val.findings):
        return {}
    labels, given = _label(val, parts), _combine(val, parts)
    if labels.all() or not labels.any():
        return {}
    return {
        rule: choose_threshold(labels, given, rule=rule, sensitivity=sensitivity)
        for rule in CHOSEN
    }


def _decide(present: Truth, called: Truth, resamples: Resamples) -> Decided:
    def share(among: Truth, right: Truth) -> Estimate:
        sums = bootstrap_sums(np.column_stack([among & right, among]), resamples)
        with np.errstate(invalid="ignore"):
            draws = sums[:, 0] / sums[:, 1]
        enough = _suffice(present, resamples, AT_LEAST)
        return estimate(float(right[among].mean()), draws, enough=enough)

    return Decided(sensitivity=share(present, called), specificity=share(~present, ~called))


def _compare_readers(
    read: pd.DataFrame,
    images: "pd.Series[str]",
    present: Truth,
    given: Floats,
    resamples: Resamples,
) -> Iterator[tuple[str, Reader]]:
    """Yield each reader with enough of both classes; `read` has image, reader and the finding."""
    for reader, own in read.groupby("reader"):
        rows = pd.Index(images).get_indexer(pd.Index(own["image"]))
        truth, drawn = present[rows], resamples.restrict(rows)
        if _suffice(truth, drawn, FEWEST_SCORED):
            called = own.iloc[:, -1].to_numpy() == 1
            bounded = _suffice(truth, drawn, AT_LEAST)
            yield str(reader), compare_reader(truth, given[rows], called, drawn, bounded=bounded)
