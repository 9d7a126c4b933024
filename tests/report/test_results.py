import numpy as np
import pytest
from fake_run import STEP, make_floor, make_floor_scores, make_run, make_split, make_training
from pydantic import ValidationError

from chestxray14.base.findings import FINDINGS
from chestxray14.files.metrics import Part, SplitFacts, Trained
from chestxray14.report.results import Epoch, mean_auroc, name_runs
from chestxray14.scoring.metadata_floor import FloorScores


def test_the_parts_of_a_split_must_name_the_same_findings() -> None:
    fields = make_split().model_dump()
    del fields["val"]["prevalence"]["Hernia"]
    with pytest.raises(ValidationError, match="must have the same findings"):
        SplitFacts.model_validate(fields)


def test_positives_are_of_the_images_whose_label_is_known() -> None:
    part = make_split().test.model_copy(update={"unknown": {"Mass": 150}})
    assert [part.known(f) for f in ("Mass", "Edema")] == [50, 200]
    assert [part.positives(f) for f in ("Mass", "Edema")] == [5, 20]


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


def test_the_mean_of_a_draw_is_over_the_named_findings() -> None:
    run = make_run()
    np.testing.assert_allclose(
        run.draw_mean(("Hernia", "Mass")), (run.draws[:, 13] + run.draws[:, 4]) / 2
    )


def test_a_network_of_which_nothing_was_trained_keeps_epoch_0_and_may_lack_an_auroc() -> None:
    fields = make_training().trained.model_dump()
    del fields["val_auroc"]
    idle = Trained.model_validate(fields | {"best_epoch": 0, "epochs_run": 0, "epochs": 0})
    assert (idle.best_epoch, idle.val_auroc) == (0, None)
    for wrong in ({"best_epoch": -1}, {"val_auroc": 1.1}):
        with pytest.raises(ValidationError):
            Trained.model_validate(fields | wrong)


def test_the_parts_of_a_split_are_counted_together() -> None:
    split = make_split()
    assert split.images == split.train.images + split.val.images + split.test.images == 112_119


def test_a_mean_over_some_findings_is_theirs_and_over_all_is_the_macro_before_rounding() -> None:
    auroc = {"macro": 0.70001, "micro": 0.9, "Mass": 0.6, "Edema": 0.8}
    assert mean_auroc(auroc, ["Mass"]) == 0.6
    assert mean_auroc(auroc, ["Edema", "Mass"]) == 0.70001
    assert mean_auroc({"Mass": 0.5, "Edema": 0.8, "Hernia": 0.1}, ["Mass", "Edema"]) == 0.65


def test_many_runs_are_counted_where_they_are_all_and_named_where_not() -> None:
    runs = [make_run("a"), make_run("b", kind="image"), make_run("c")]
    assert name_runs(runs, among=runs) == "all 3 recipes"
    assert name_runs(runs[:2], among=runs) == "a, b (LEAKY)"
    assert name_runs(runs[:1], among=runs[:1]) == "a"


def test_what_metadata_reaches_survives_its_file_and_names_macro() -> None:
    scores = make_floor_scores()
    text = scores.model_dump_json(exclude_none=True)
    assert FloorScores.model_validate_json(text) == scores
    estimates = dict.fromkeys(FINDINGS, scores.estimates["macro"])
    with pytest.raises(ValidationError, match="estimates must"):
        FloorScores.model_validate(scores.model_dump() | {"estimates": estimates})


def test_the_floor_has_its_findings_in_order_and_its_draws_as_a_run_has() -> None:
    floor = make_floor()
    assert floor.scored == FINDINGS
    assert floor.auroc["Mass"] == floor.estimates["Mass"].value
    assert mean_auroc(floor.auroc, FINDINGS) == floor.estimates["macro"].value
    np.testing.assert_allclose(
        floor.draw_mean(("Hernia", "Mass")), (floor.draws[:, 13] + floor.draws[:, 4]) / 2
    )
