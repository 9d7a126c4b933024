"""Made-up runs, for the tests of what is said about them."""

from collections.abc import Iterable, Sequence
from typing import Literal

from conftest import ROOT

from chestxray14.findings import FINDINGS
from chestxray14.params import load_params
from chestxray14.published import read_published
from chestxray14.recipes import Limits, Recipe
from chestxray14.results import (
    Epoch,
    Evaluated,
    Part,
    Prepared,
    Run,
    SplitFacts,
    Trained,
    Training,
)

PUBLISHED = read_published(ROOT / "data/published")
STEP = "densenet121_step"
RECIPES = load_params(ROOT / "params.yaml").recipes
RECIPE = RECIPES[STEP]

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
    )


def make_training(recipe: Recipe = RECIPE) -> Training:
    """Make up what came of a recipe under a dataset's limits."""
    used = recipe.limited(Limits(input_px=64, epochs=3, weights="random"))
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
            train_images=800,
        ),
        history=tuple(
            Epoch(epoch=e, train_loss=2 / (e + 1), val_loss=2.1 / (e + 1), val_auroc=0.6, lr=0.1)
            for e in epochs
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
    return Run(
        name=name,
        protocol=kind,
        split=make_split(kind, sha256=sha256, absent=absent),
        evaluated=Evaluated(
            auroc={"macro": sum(auroc.values()) / len(auroc), "micro": 0.81236, **auroc},
            images=200,
            patients=50,
            split_sha256=sha256,
            label_version="original",
        ),
        training=None if pretrained else make_training(recipe),
        pretrained=pretrained,
    )
