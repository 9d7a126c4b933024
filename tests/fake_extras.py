"""Made-up results of what only some datasets have: boxes, radiologists, other datasets."""

import dataclasses
from collections.abc import Sequence

import pandas as pd
from fake_run import FINDINGS, RECIPES, make_run, tell

from chestxray14.localization.record import (
    THRESHOLDS,
    FindingBoxes,
    Heat,
    Localization,
    Outlined,
    Overlap,
    Pointing,
    Shown,
)
from chestxray14.report.gallery import Picture
from chestxray14.report.results import Run, Transfer
from chestxray14.report.sections import Told
from chestxray14.scoring.evaluation import Difference, Estimate
from chestxray14.scoring.expert_scores import ExpertScores, Reader
from chestxray14.scoring.transfer import Drift


def make_localization(
    sha256: str, *, boxes: int = 8, found: float = 0.6, noise: float = 0.5
) -> Localization:
    """Make up that a share of boxes is found, by noise another, without a box just a count."""
    names = ["mean", "Mass"] if boxes else []
    shares = dict.fromkeys(names, noise)
    overlap = Overlap(
        accuracy=dict.fromkeys(names, found),
        random=shares,
        centre=dict.fromkeys(names, 0.3),
        afp={},
        false_positives_per_image={},
    )
    pointing = Pointing(accuracy=shares, random=shares, centre=shares)
    counted = FindingBoxes(boxes=boxes, unlabelled=2, unlabelled_images=[], called=8, predicted=9)
    return Localization(
        method="cam",
        label_version="phantom",
        split_sha256=sha256,
        grid_px=128,
        images=8,
        boxes=boxes,
        left_out={},
        findings={"Mass": counted} if boxes else {},
        iobb={str(threshold): overlap for threshold in THRESHOLDS["IoBB"]},
        iou={str(threshold): overlap for threshold in THRESHOLDS["IoU"]},
        pointing=pointing,
        holds_centre=pointing,
        found={name: Estimate(value=found, low=found - 0.05, high=found + 0.05) for name in names},
        shown=[
            Shown(
                file=f"Mass_{word}_1.jpg",
                image="00000001_000.png",
                finding="Mass",
                hit=word == "hit",
                probability=0.7,
                iobb=0.4,
            )
            for word in ("hit", "missed")
        ],
    )


def make_outlined(sha256: str, *, inside: float = 0.4, area: float = 0.25) -> Outlined:
    shares = [dict.fromkeys(("mean", "Mass"), share) for share in (inside, area)]
    heat = Heat(inside=shares[0], area=shares[1], images={"Mass": 5})
    return Outlined(localization=make_localization(sha256, boxes=5, found=0.2), heat=heat)


def make_expert_scores(value: float | None, *, gap: Difference | None = None) -> ExpertScores:
    """Make up scores of one finding with a single reader; only counts where nothing is scored."""
    counts = ExpertScores(
        images=90,
        patients=80,
        positives=30,
        positives_nih=20,
        thresholds={},
        decisions={},
        readers={},
    )
    if value is None:
        return counts
    reader = Reader(
        images=90, sensitivity=0.5, specificity=0.9, network=0.6, difference=Difference(value=0.1)
    )
    scored = {
        "auroc": Estimate(value=value, low=value - 0.05, high=value + 0.05),
        "auroc_nih": Estimate(value=0.7) if gap else None,
        "difference": gap,
        "readers": {"8": reader},
    }
    return counts.model_copy(update=scored)


def add_experts(run: Run, **sets: dict[str, ExpertScores]) -> Run:
    """Return a run that is held against sets of radiologists."""
    corners = [(f, name, x, x) for name, found in sets.items() for f in found for x in (0.0, 1.0)]
    columns = ["finding", "set", "false_positive_rate", "true_positive_rate"]
    curves = {**run.curves, "experts": pd.DataFrame(corners, columns=columns)}
    return dataclasses.replace(run, experts=sets, curves=curves)


def make_agreement(*findings: str, of: str = "made") -> pd.DataFrame:
    """Make up that radiologists confirm three quarters; the last finding has no label at NIH."""
    row = {"set": of, "images": 90, "radiologists": 30, "nih": 20.0, "both": 15.0, "ppv": 0.75}
    row |= {"sensitivity": 0.5, "kappa_nih": 0.4, "kappa_readers": float("nan"), "readers": {}}
    rows = [row | {"finding": finding} for finding in findings]
    return pd.DataFrame(
        [*rows[:-1], rows[-1] | dict.fromkeys(("nih", "both", "ppv"), float("nan"))]
    )


def make_transfer(run: Run, findings: Sequence[str], *, to: str = "chexpert") -> Transfer:
    """Make up that a recipe reaches 0.1 less on the findings that another dataset has."""
    there = make_run("there", findings=findings, better=-0.1)
    values = {"macro": 0.02} | {name: 0.05 - 0.06 * i for i, name in enumerate(findings)}
    drift = {
        name: Difference(value=value, low=value - 0.01, high=value + 0.01)
        for name, value in values.items()
    }
    return Transfer(
        to, run, there.evaluation, there.scored.draws, Drift(as_predicted=drift, after_platt={})
    )


def tell_everything() -> Told:
    """Return the most that a page may hold: each recipe, a network from elsewhere, a leak, the rest."""
    runs = [
        make_run(name, findings=recipe.findings, better=-0.01 * place, kind="official")
        for place, (name, recipe) in enumerate(RECIPES.items())
    ]
    sha256 = runs[0].split.test.sha256
    boxes = {"localization": make_localization(sha256), "outlined": make_outlined(sha256)}
    runs = [dataclasses.replace(run, **boxes) for run in runs]
    gap = Difference(value=0.1, low=0.05, high=0.15, p=0.01)
    read = {finding: make_expert_scores(0.8, gap=gap) for finding in FINDINGS}
    four = ("Pneumothorax", "Airspace_Opacity", "Nodule_or_Mass", "Fracture")
    runs = [
        add_experts(run, all_findings=read, four_findings=dict.fromkeys(four, read["Mass"]))
        for run in runs
    ]
    sets = [
        make_agreement(*FINDINGS, of="all_findings"),
        make_agreement(*four, of="four_findings"),
    ]
    others = make_run("far", kind="official", pretrained="nih"), make_run("leak", kind="image")
    kinds = "false alarm", "missed", "box hit", "box missed"
    return tell(
        *(*runs, make_run("by_patient"), *others),
        skipped={"late": "the dataset lacks Hernia"},
        transfers=[
            make_transfer(runs[i], FINDINGS[:8], to=f"set{j}") for i in (0, 1) for j in (1, 2)
        ],
        agreement=pd.concat(sets),
        pictures=[
            Picture(kind, finding, "00000001_000.png", b"", ("Mass",), ((finding, 0.7),))
            for finding in FINDINGS
            for kind in kinds
        ],
    )
