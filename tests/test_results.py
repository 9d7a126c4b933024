import pytest
from fake_run import STEP, make_run
from pydantic import ValidationError

from chestxray14.findings import FINDINGS
from chestxray14.results import Epoch, Evaluated, Part


@pytest.mark.parametrize(
    "auroc",
    [
        {"macro": 0.8},
        {"macro": 0.8, "micro": 1.2},
        {"macro": 0.8, "micro": float("nan")},
        {"macro": 0.8, "micro": 0.8, "Fracture": 0.8},
    ],
)
def test_impossible_scores_are_refused(auroc: dict[str, float]) -> None:
    fields = make_run().evaluated.model_dump() | {"auroc": auroc}
    with pytest.raises(ValidationError):
        Evaluated.model_validate(fields)


def test_a_part_must_name_every_finding() -> None:
    fields = make_run().split.test.model_dump()
    del fields["prevalence"]["Hernia"]
    with pytest.raises(ValidationError, match="must name the 14 findings"):
        Part.model_validate(fields)


def test_positives_are_counted_from_their_rounded_share() -> None:
    shares = dict.fromkeys(FINDINGS, 0.0) | {"Hernia": 0.001518, "Mass": 1.0}
    part = Part(images=25_596, patients=2_797, sha256="ab" * 32, prevalence=shares)
    # 0.001518 of 25,596 is 38.85.
    assert [part.positives(f) for f in ("Hernia", "Mass", "Edema")] == [39, 25_596, 0]


def test_an_epoch_without_a_scored_finding_has_no_auroc() -> None:
    row = {"epoch": "1", "train_loss": "0.5", "val_loss": "0.6", "val_auroc": "", "lr": "1e-3"}
    assert Epoch.model_validate(row).val_auroc is None
    assert Epoch.model_validate(row | {"val_auroc": "0.61"}).val_auroc == 0.61


def test_only_a_run_of_a_leaky_split_is_called_leaky() -> None:
    assert [make_run().label, make_run().split_label] == [STEP, "patient"]
    leaky = make_run(kind="image")
    assert [leaky.label, leaky.split_label] == [f"{STEP} (LEAKY)", "image (LEAKY)"]


def test_the_scored_findings_keep_the_order_of_the_project() -> None:
    run = make_run(findings=FINDINGS[5::-1])
    assert run.scored == FINDINGS[:6]
