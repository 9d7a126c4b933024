"""A made-up run of a recipe, for the tests of what is said about runs."""

from collections.abc import Iterable, Sequence
from typing import Literal

from conftest import ROOT

from chestxray14.findings import FINDINGS
from chestxray14.params import load_params
from chestxray14.published import read_published
from chestxray14.results import Epoch, Evaluated, Part, Prepared, Run, SplitFacts, Trained

PUBLISHED = read_published(ROOT / "data/published")
STEP = "densenet121_step"
RECIPE = load_params(ROOT / "params.yaml").recipes[STEP]

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


def make_run(
    name: str = STEP,
    *,
    kind: Kind = "patient",
    findings: Sequence[str] = FINDINGS,
    absent: Iterable[str] = (),
) -> Run:
    """Make up a run with another AUROC for each finding; `absent` ones have no positive."""
    auroc = {finding: 0.60001 + 0.02 * FINDINGS.index(finding) for finding in findings}
    macro = sum(auroc.values()) / len(auroc)
    prevalence = {finding: 0.0 if finding in absent else 0.1 for finding in FINDINGS}
    part = Part(images=200, patients=50, sha256="ab" * 32, prevalence=prevalence)
    return Run(
        name=name,
        recipe=RECIPE.model_copy(update={"split": kind}),
        split=SplitFacts(
            kind=kind, train=part, val=part, test=part, shared_patients=7 * (kind == "image")
        ),
        trained=Trained(
            best_epoch=2,
            epochs_run=3,
            val_loss=0.21346,
            input_px=64,
            weights="random",
            epochs=3,
            device="cpu",
            precision="bf16",
            threads=2,
            train_images=800,
        ),
        evaluated=Evaluated(
            auroc={"macro": macro, "micro": 0.81236, **auroc},
            images=200,
            patients=50,
            split_sha256="ab" * 32,
            label_version="original",
        ),
        history=tuple(
            Epoch(epoch=e, train_loss=1 / e, val_loss=1.1 / e, val_auroc=0.6, lr=0.1**e)
            for e in (1, 2, 3)
        ),
    )
