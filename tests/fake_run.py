"""Made-up runs, for the tests of what is said about them."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from conftest import ROOT
from PIL import Image

from chestxray14.base.findings import BOXED_FINDINGS, FINDINGS, NO_FINDING
from chestxray14.base.params import Limits, load_block
from chestxray14.files.metrics import Part, Prepared, SplitFacts, Trained
from chestxray14.localization.record import (
    THRESHOLDS,
    FindingBoxes,
    Localization,
    Overlap,
    Pointing,
    Shown,
)
from chestxray14.model.recipe import Recipe, WholeRecipe
from chestxray14.report.comparison import Comparison, compare
from chestxray14.report.examples import Example
from chestxray14.report.localization_examples import Overlay, show_overlay
from chestxray14.report.published import System, read_decisions, read_published
from chestxray14.report.published_localization import read_localization
from chestxray14.report.results import Curves, Epoch, Floor, Run, Training
from chestxray14.scoring.evaluation import (
    AVERAGES,
    RULES,
    Attribute,
    Calibrated,
    Decision,
    Estimate,
    Evaluation,
    FindingScores,
    Gap,
    LookAlikes,
    OperatingPoint,
    Subgroup,
)
from chestxray14.scoring.metadata_floor import FloorScores

PUBLISHED = read_published(ROOT / "data/published")
DECISIONS = read_decisions(ROOT / "data/published")
TABLES = read_localization(ROOT / "data/published")
NIH_BOXES = TABLES["Wang et al. 2017 Table 19"].boxes
STEP = "densenet121_step"
RECIPES = {
    name: recipe.for_dataset(FINDINGS)
    for name, recipe in load_block(
        "recipes", dict[str, WholeRecipe], path=ROOT / "params.yaml"
    ).items()
}
RECIPE = RECIPES[STEP]
DRAWS = 50

Source = Literal["phantom", "kaggle", "folder"]
Kind = Literal["patient", "official", "image", "lists"]


def make_prepared(source: Source = "kaggle", *, listed: int = 112_120) -> Prepared:
    return Prepared(
        source=source,
        dataset="nih",
        label_version="phantom" if source == "phantom" else "original",
        images=listed - 1,
        patients=100,
        rejected=1,
        packed_px=128,
    )


def make_split(
    kind: Kind = "patient", *, sha256: str = "ab" * 32, absent: Iterable[str] = ()
) -> SplitFacts:
    """Make up a split of all readable images; `absent` findings have no positive."""
    prevalence = {finding: 0.0 if finding in absent else 0.1 for finding in FINDINGS}
    part = Part(images=200, patients=50, sha256=sha256, prevalence=prevalence)
    return SplitFacts(
        kind=kind,
        train=part.model_copy(update={"images": 111_719}),
        val=part,
        test=part,
        shared_patients=7 * (kind == "image"),
        label_version="original",
    )


def make_training(recipe: Recipe = RECIPE) -> Training:
    """Make up what came of a recipe under a dataset's limits."""
    used = recipe.limited(Limits(input_px=64, epochs=3, weights="random", views=None))
    epochs = range(1, used.epochs + 1) if used.epochs else [0]
    return Training(
        recipe=recipe,
        trained=Trained(
            best_epoch=min(2, used.epochs),
            epochs_run=used.epochs,
            epochs=used.epochs,
            val_loss=0.21346,
            val_auroc=0.68764,
            input_px=used.input_px,
            weights=used.start,
            device="cpu",
            precision="bf16",
            threads=2,
            torch="2.11.0",
            train_images=800,
        ),
        history=tuple(
            Epoch(epoch=e, train_loss=2 / (e + 1), val_loss=2.1 / (e + 1), val_auroc=0.6, lr=0.1)
            for e in epochs
        ),
    )


def make_evaluation(auroc: Mapping[str, float], *, sha256: str) -> Evaluation:
    """Make up everything that may be said of a network with this AUROC by finding."""
    named = dict(auroc) | ({NO_FINDING: 0.7} if set(auroc) == set(FINDINGS) else {})
    decision = Decision(precision=0.2, recall=0.7, f1=0.31112, positives=20)
    groups = {
        name: Subgroup(
            images=100,
            patients=25,
            auroc={"macro": estimate(0.71 - gap), next(iter(auroc)): estimate(0.6 - gap)},
            too_few=tuple(auroc)[1:],
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
        at_least=10,
        auroc={
            "macro": estimate(sum(auroc.values()) / len(auroc)),
            "micro": estimate(0.81236),
            "weighted": estimate(0.7),
        },
        average_precision={"macro": 0.23456, "micro": 0.34567},
        findings={
            name: FindingScores(
                positives=20,
                val_positives=25,
                prevalence=0.1,
                auroc=estimate(value),
                average_precision=0.25,
                lift=2.5,
                brier=0.12,
                ece_width=0.11,
                ece_mass=0.10,
                label_accuracy=0.88,
                all_negative=0.9,
                calibrated=Calibrated(
                    slope=0.9, intercept=-0.5, brier=0.08, ece_width=0.02, ece_mass=0.03
                ),
            )
            for name, value in named.items()
        },
        one_class=(),
        operating_points={
            rule: OperatingPoint(
                thresholds=dict.fromkeys(auroc, 0.5 if rule == "half" else 0.125),
                decisions=dict.fromkeys([*auroc, *AVERAGES], decision),
            )
            for rule in RULES
        },
        subgroups={
            "sex": Attribute(shared=tuple(auroc)[:1], groups=groups, unknown=0),
        },
        look_alikes=LookAlikes(
            label_accuracy=0.91236, all_negative=0.9, micro_15=0.85678, training_images=0.98765
        ),
    )


def estimate(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.02, high=value + 0.03)


def make_curves(findings: Sequence[str]) -> Curves:
    """Make up curves of three points a finding."""
    points = [(finding, x, y) for finding in findings for x, y in ((0, 0), (0.25, 0.5), (1, 1))]
    roc = pd.DataFrame(points, columns=["finding", "false_positive_rate", "true_positive_rate"])
    return Curves(
        roc=roc,
        precision_recall=roc.set_axis(["finding", "precision", "recall"], axis=1),
        reliability=pd.DataFrame(
            {
                "calibration": ["as predicted"] * 2 + ["after Platt"] * 2,
                "predicted": [0.1, 0.4, 0.05, 0.2],
                "observed": [0.05, 0.2, 0.05, 0.2],
                "labels": [100, 100, 100, 100],
            }
        ),
    )


def make_run(
    name: str = STEP,
    *,
    kind: Kind = "patient",
    findings: Sequence[str] = FINDINGS,
    absent: Iterable[str] = (),
    sha256: str = "",
    better: float = 0.0,
    recipe: Recipe = RECIPE,
    pretrained: str = "",
) -> Run:
    """Make up a run with another AUROC for each finding, all higher by `better`.

    A split of each kind has its own test images, unless `sha256` says which. A network that was
    `pretrained` elsewhere has no training.
    """
    auroc = {finding: 0.60001 + better + 0.02 * FINDINGS.index(finding) for finding in findings}
    sha256 = sha256 or f"{kind.encode().hex():0<64}"
    shape = DRAWS, len(auroc)
    # What patients do to all networks alike, and what they do to this one.
    draws = np.random.default_rng(0).normal(scale=0.02, size=(DRAWS, 1))
    own = np.random.default_rng(list(name.encode())).normal(scale=0.01, size=shape)
    return Run(
        name=name,
        protocol=kind,
        split=make_split(kind, sha256=sha256, absent=absent),
        evaluation=make_evaluation(auroc, sha256=sha256),
        draws=np.array([auroc[f] for f in FINDINGS if f in auroc]) + draws + own,
        curves=make_curves(findings),
        training=None if pretrained else make_training(recipe),
        localization=None if pretrained else make_localization(findings, sha256=sha256),
        pretrained=pretrained,
    )


def make_localization(
    findings: Sequence[str] = FINDINGS,
    *,
    sha256: str = "ab" * 32,
    boxes: Mapping[str, int] = NIH_BOXES,
    better: float = 0.0,
) -> Localization:
    """Make up how many of all of NIH's boxes are found: the fewer the stricter, by finding.

    Noise finds half of that and the centre a fifth. `boxes` says of which findings there are any.
    """
    boxed = [finding for finding in BOXED_FINDINGS if finding in findings and finding in boxes]

    def share(scale: float) -> dict[str, float]:
        shares = {name: scale * (0.92 - 0.08 * place) for place, name in enumerate(boxed)}
        mean = {"mean": sum(shares.values()) / len(shares)} if shares else {}
        return {name: round(value, 5) for name, value in (mean | shares).items()}

    def hits(scale: float) -> dict[str, dict[str, float]]:
        ours, noise, centre = (share(scale * part) for part in (1 + better, 0.5, 0.2))
        return {"accuracy": ours, "random": noise, "centre": centre}

    at = {
        kind: {
            str(t): Overlap(**hits(1 - t), afp=share(t), false_positives_per_image=share(t / 2))
            for t in thresholds
        }
        for kind, thresholds in THRESHOLDS.items()
    }
    small = {who: {"Mass": 0.5} if "Mass" in boxed else {} for who in Pointing.model_fields}
    return Localization(
        method="cam",
        label_version="original",
        split_sha256=sha256,
        grid_px=146.28571,
        images=880 if boxed else 0,
        boxes=sum(boxes[finding] for finding in boxed),
        left_out={"train": 30, "val": 4, "in_no_part": 0, "not_predicted": 0},
        findings={
            finding: FindingBoxes(
                boxes=boxes[finding],
                unlabelled=place,
                unlabelled_images=["a.png"] * (place > 0),
                called=40,
                predicted=60,
                median_area=12.34,
            )
            for place, finding in enumerate(boxed[:3])
        }
        | {
            finding: FindingBoxes(
                boxes=boxes[finding], unlabelled=0, unlabelled_images=[], called=40, predicted=0
            )
            for finding in boxed[3:]
        },
        iobb=at["IoBB"],
        iou=at["IoU"],
        pointing=Pointing(**hits(0.8)),
        holds_centre=Pointing(**small),
        shown=[make_shown("Mass", hit=True), make_shown("Mass", hit=False)] if boxed else [],
    )


def make_shown(finding: str, *, hit: bool, number: int = 1) -> Shown:
    """Make up what one picture of a heatmap shows."""
    return Shown(
        file=f"{finding}_{'hit' if hit else 'missed'}_{number}.jpg",
        image=f"0000000{number}_000.png",
        finding=finding,
        hit=hit,
        probability=0.76543,
        iobb=0.43219 if hit else 0.01234,
    )


def make_picture(*, width: int = 64) -> bytes:
    """Make up a grey JPEG, a little higher than wide."""
    picture = io.BytesIO()
    Image.new("RGB", (width, width * 9 // 8), (90, 90, 90)).save(picture, format="JPEG")
    return picture.getvalue()


def make_overlay(finding: str = "Mass", *, hit: bool = True) -> Overlay:
    """Make up a picture of a heatmap."""
    return show_overlay(make_shown(finding, hit=hit), make_picture())


def make_floor_scores(*, sha256: str = "", better: float = 0.0) -> FloorScores:
    """Make up what metadata alone reaches: 0.5 and a little more for each finding."""
    values = {finding: 0.5 + better + 0.01 * i for i, finding in enumerate(FINDINGS)}
    values["macro"] = sum(values.values()) / len(values)
    return FloorScores(
        estimates={
            name: Estimate(value=value, low=value - 0.04, high=value + 0.05)
            for name, value in values.items()
        },
        split_sha256=sha256 or "ab" * 32,
        label_version="original",
    )


def make_floor(*, better: float = 0.0) -> Floor:
    """Return the same with draws that know the luck of the patients of `make_run`."""
    estimates = make_floor_scores(better=better).estimates
    draws = np.random.default_rng(0).normal(scale=0.02, size=(DRAWS, 1))
    own = np.random.default_rng(1).normal(scale=0.01, size=(DRAWS, len(FINDINGS)))
    centre = np.array([estimates[finding].value for finding in FINDINGS])
    return Floor(estimates, draws=centre + draws + own)


def make_example(image: str = "00000001_000.png", *, truth: Sequence[str] = ("Mass",)) -> Example:
    """Make up a grey square that a network sees two findings in."""
    picture = io.BytesIO()
    Image.new("L", (64, 64), 90).save(picture, format="PNG")
    predictions = (("Mass", 0.76543), ("Hernia", 0.01234))
    return Example(image, picture.getvalue(), truth=tuple(truth), predictions=predictions)


def compare_runs(
    *runs: Run,
    prepared: Prepared | None = None,
    published: Mapping[str, System] = PUBLISHED,
    floors: Mapping[str, Floor] | None = None,
) -> Comparison:
    """Return runs beside the published systems, on made-up data with a made-up floor."""
    return compare(
        prepared or make_prepared(),
        runs,
        published,
        floors={run.protocol: make_floor() for run in runs} if floors is None else floors,
        decisions=DECISIONS,
        localization=TABLES,
    )
