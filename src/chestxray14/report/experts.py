"""The leading network against radiologists, and the labels against them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from chestxray14.files.experts import read_sets
from chestxray14.files.packed import list_findings, read_index
from chestxray14.report.curves import draw_curves
from chestxray14.report.figures import draw_by_finding
from chestxray14.report.sections import Facts, Told
from chestxray14.scoring.agreement import COLUMNS, compare_labels
from chestxray14.scoring.expert_scores import ExpertScores


def read_agreement(root: Path, *, dataset: str) -> pd.DataFrame:
    """Return how the labels agree with each set of radiologists, as `agreement.compare_labels`."""
    folder = root / "data/packed" / dataset
    known = read_index(folder / "index.csv")
    findings = list_findings(known)
    tables = [compare_labels(each, known, findings=findings) for each in read_sets(folder)]
    return pd.concat(tables) if tables else pd.DataFrame(columns=list(COLUMNS))


def describe_experts(told: Told) -> Facts | None:
    """Return the leader and the labels by set; None where nobody read a test image."""
    leader = told.leader
    if leader.leaky or not leader.experts:
        return None
    confirmed = told.agreement["ppv"].dropna()
    return {
        "sets": [
            _describe_set(name, findings, leader.curves["experts"])
            for name, findings in leader.experts.items()
        ],
        "confirmed": float(confirmed.median()) if len(confirmed) else None,
        "agreement": told.agreement.to_dict("records"),
    }


def _describe_set(name: str, findings: Mapping[str, ExpertScores], curves: pd.DataFrame) -> Facts:
    """Return what is scored of one set, the readers, and figures of both."""
    scored = {finding: found for finding, found in findings.items() if found.auroc}
    facts: Facts = {
        "name": name,
        "images": max((found.images for found in findings.values()), default=0),
        "scored": scored,
    }
    if scored:
        series = {
            "against radiologists": {f: found.auroc for f, found in scored.items() if found.auroc},
            "against the labels": {f: s.auroc_nih for f, s in scored.items() if s.auroc_nih},
        }
        about = f"AUROC on the images of {name} (dotted: chance)"
        facts["figure"] = draw_by_finding(series, findings=[*scored], about=about, chance=0.5)
    points = {
        finding: {
            f"reader {reader}": (1 - point.specificity, point.sensitivity)
            for reader, point in found.readers.items()
        }
        for finding, found in scored.items()
    }
    if any(points.values()):
        own = curves[(curves["set"] == name) & curves["finding"].isin(scored)].drop(columns="set")
        axes_names = f"1 − specificity, against {name}", "sensitivity"
        facts["roc"] = draw_curves(own, axes_names=axes_names, points=points, across=3)
    return facts
