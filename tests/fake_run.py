"""Made-up results, for the tests of what is said about them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd
from conftest import ROOT

from chestxray14.base.findings import FINDINGS, NO_FINDING
from chestxray14.base.params import load_block
from chestxray14.files.metrics import Part, Prepared, SplitFacts, Trained
from chestxray14.files.predictions import Predicted
from chestxray14.model.recipe import WholeRecipe
from chestxray14.report.gallery import Picture
from chestxray14.report.published import read_published
from chestxray14.report.ranking import rank_all
from chestxray14.report.results import Results, Run, Scored, Transfer
from chestxray14.report.sections import Told
from chestxray14.scoring.agreement import COLUMNS
from chestxray14.scoring.evaluation import (
    RULES,
    Attribute,
    Calibrated,
    Calibration,
    Decision,
    Estimate,
    Evaluation,
    FindingScores,
    Gap,
    LookAlikes,
    OperatingPoint,
    Subgroup,
)

STEP = "densenet121_step"
DRAWS = 1000
NO_AGREEMENT = pd.DataFrame(columns=list(COLUMNS))
PUBLISHED = read_published(ROOT / "data/published")
RECIPES = {
    name: recipe.for_dataset(FINDINGS)
    for name, recipe in load_block(
        "recipes", dict[str, WholeRecipe], path=ROOT / "params.yaml"
    ).items()
}

Source = Literal["phantom", "kaggle", "folder", "table"]
Kind = Literal["patient", "official", "image", "lists"]


def make_prepared(source: Source = "phantom", *, listed: int = 112_120) -> Prepared:
    return Prepared(
        source=source,
        dataset="made_up",
        label_version="phantom" if source == "phantom" else "original",
        images=listed - 1,
        patients=100,
        rejected=1,
        packed_px=128,
    )


def make_split(kind: Kind = "patient", *, sha256: str = "ab" * 32) -> SplitFacts:
    """Make up a split of all readable images."""
    prevalence = dict.fromkeys(FINDINGS, 0.1)
    part = Part(images=200, patients=50, sha256=sha256, prevalence=prevalence)
    return SplitFacts(
        kind=kind,
        train=part.model_copy(update={"images": 111_719}),
        val=part,
        test=part,
        shared_patients=7 * (kind == "image"),
        label_version="original",
    )


def estimate(value: float, spread: float = 0.04) -> Estimate:
    return Estimate(value=value, low=max(0, value - spread), high=min(1, value + spread))


def make_calibration(ece: float) -> Calibration:
    return Calibration(brier=estimate(0.12), ece=ece, ece_floor=0.02)


def make_evaluation(
    auroc: Mapping[str, float],
    *,
    sha256: str,
    patients: int = 40,
    ece: tuple[float, float] = (0.1, 0.03),
) -> Evaluation:
    """Make up everything that may be said of a network with this AUROC by finding."""
    named = dict(auroc) | ({NO_FINDING: 0.7} if set(auroc) == set(FINDINGS) else {})
    decision = Decision(
        true_positives=14,
        false_positives=56,
        false_negatives=6,
        true_negatives=124,
        sensitivity=estimate(0.7),
        specificity=estimate(0.68889),
        precision=estimate(0.2),
        npv=estimate(0.95385),
        f1=estimate(0.31112),
    )
    measures = ("sensitivity", "specificity", "precision", "npv", "f1")
    groups = {
        name: Subgroup(
            images=100,
            patients=25,
            macro=estimate(0.71 - gap),
            tpr_gap={
                next(iter(auroc)): Gap(value=gap, low=gap - 0.05, high=gap + 0.04, positives=12)
            },
        )
        for name, gap in (("women", 0.0125), ("men", -0.0125))
    }
    return Evaluation(
        label_version="original",
        split_sha256=sha256,
        images=200,
        patients=50,
        draws=DRAWS,
        bins=15,
        sensitivity=0.9,
        auroc={
            "macro": estimate(sum(auroc.values()) / len(auroc), 0.02),
            "micro": estimate(0.81236),
        },
        average_precision=estimate(0.23456),
        findings={
            name: FindingScores(
                positives=20,
                patients=patients,
                prevalence=0.1,
                auroc=estimate(value) if patients >= 20 else Estimate(value=value),
                average_precision=estimate(0.25),
                calibration=make_calibration(ece[0]),
                calibrated=Calibrated(
                    slope=0.9, intercept=-0.5, calibration=make_calibration(ece[1])
                ),
            )
            for name, value in named.items()
        },
        one_class=(),
        operating_points={
            rule: OperatingPoint(
                thresholds=dict.fromkeys(auroc, 0.5 if rule == "half" else 0.125),
                decisions=dict.fromkeys(auroc, decision),
                macro={measure: getattr(decision, measure) for measure in measures},
            )
            for rule in RULES
        },
        subgroups={"sex": Attribute(shared=tuple(auroc)[:1], groups=groups, unknown=0)},
        look_alikes=LookAlikes(
            label_accuracy=0.91236, all_negative=0.9, micro_15=0.85678, training_images=0.98765
        ),
    )


def make_run(
    name: str = STEP,
    *,
    kind: Kind = "patient",
    findings: Sequence[str] = FINDINGS,
    sha256: str = "",
    better: float = 0.0,
    spread: float = 0.01,
    patients: int = 40,
    ece: tuple[float, float] = (0.1, 0.03),
    pretrained: str = "",
) -> Run:
    """Make up a run with another AUROC for each finding, all higher by `better`.

    A split of each kind has its own test images, unless `sha256` says which. `spread` is what
    patients do to this network alone.
    """
    auroc = {finding: 0.55 + better + 0.015 * FINDINGS.index(finding) for finding in findings}
    sha256 = sha256 or f"{kind.encode().hex():0<64}"
    common = np.random.default_rng(0).normal(scale=0.02, size=(DRAWS, 1))
    own = np.random.default_rng(list(name.encode())).normal(scale=spread, size=(DRAWS, len(auroc)))
    recipe = RECIPES[name if name in RECIPES else STEP].model_copy(update={"split": kind})
    return Run(
        name,
        protocol=kind,
        split=make_split(kind, sha256=sha256),
        evaluation=make_evaluation(auroc, sha256=sha256, patients=patients, ece=ece),
        scored=Scored(
            auroc,
            dict.fromkeys(auroc, patients),
            np.array(list(auroc.values())) + common + own,
        ),
        curves=make_curves(findings) | ({} if pretrained else {"history": make_history()}),
        recipe=None if pretrained else recipe,
        trained=None if pretrained else make_trained(),
        pretrained=pretrained,
    )


def make_trained() -> Trained:
    return Trained(
        best_epoch=2,
        epochs_run=3,
        epochs=3,
        val_loss=0.21346,
        val_auroc=0.68764,
        input_px=64,
        weights="random",
        device="cpu",
        precision="bf16",
        threads=2,
        torch="2.11.0",
        train_images=800,
    )


def make_history() -> pd.DataFrame:
    epochs = np.arange(1, 4)
    losses = {"train_loss": 2 / (epochs + 1), "val_loss": 2.1 / (epochs + 1)}
    return pd.DataFrame({"epoch": epochs, **losses, "val_auroc": 0.6})


def make_curves(findings: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Make up curves of three points a finding."""
    points = [(finding, x, y) for finding in findings for x, y in ((0, 0), (0.25, 0.5), (1, 1))]
    roc = pd.DataFrame(points, columns=["finding", "false_positive_rate", "true_positive_rate"])
    return {
        "roc": roc,
        "precision_recall": roc.set_axis(["finding", "recall", "precision"], axis=1),
        "reliability": pd.DataFrame(
            {
                "calibration": ["as predicted"] * 2 + ["after Platt"] * 2,
                "predicted": [0.1, 0.4, 0.05, 0.2],
                "observed": [0.05, 0.2, 0.05, 0.2],
                "labels": [100, 100, 100, 100],
            }
        ),
    }


def make_floor(*, better: float = 0.0, patients: int = 40) -> Scored:
    """Make up what metadata alone reaches, with draws that know the luck of the patients."""
    values = {finding: 0.5 + better + 0.01 * i for i, finding in enumerate(FINDINGS)}
    common = np.random.default_rng(0).normal(scale=0.02, size=(DRAWS, 1))
    own = np.random.default_rng(1).normal(scale=0.01, size=(DRAWS, len(FINDINGS)))
    draws = np.array(list(values.values())) + common + own
    return Scored(values, dict.fromkeys(values, patients), draws)


def make_test(findings: Sequence[str] = FINDINGS) -> Predicted:
    """Make up predictions of twenty images: every finding is shown and missed, and called."""
    labels = np.random.default_rng(0).integers(0, 2, (20, len(findings)))
    labels[:2] = [[0], [1]]
    known = pd.DataFrame(labels, columns=list(findings)).assign(
        image=[f"{i:08d}_000.png" for i in range(20)], row=range(20), patient=range(20)
    )
    scores = np.random.default_rng(1).random(labels.shape)
    return Predicted(known, pd.DataFrame(scores, columns=list(findings)))


def tell(
    *runs: Run,
    prepared: Prepared | None = None,
    floor: Scored | None = None,
    skipped: Mapping[str, str] = MappingProxyType({}),
    transfers: Sequence[Transfer] = (),
    agreement: pd.DataFrame = NO_AGREEMENT,
    pictures: Sequence[Picture] = (),
) -> Told:
    """Return runs beside the published systems, on made-up data with a made-up floor."""
    floors = {run.protocol: floor or make_floor() for run in runs}
    results = Results(prepared or make_prepared(), runs, floors, skipped, tuple(transfers))
    rankings = rank_all(runs, floors)
    test = make_test(rankings[0].leader.findings)
    return Told(results, rankings, PUBLISHED, test, pictures, agreement)
