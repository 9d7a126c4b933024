"""What the report says of a recipe on another dataset."""

import dataclasses

from chestxray14.report.caveats import list_caveats
from fake_run import compare_runs, make_run
from reading import find, texts, words

from chestxray14.report.results import Transfer
from chestxray14.report.transfers import describe_transfers
from chestxray14.scoring.evaluation import Difference
from chestxray14.scoring.transfer import Drift

FINDINGS = ("Mass", "Edema")
DRIFT = {
    name: Difference(value=value, low=value - 0.01, high=value + 0.01)
    for name, value in {"macro": 0.02, "Mass": 0.05, "Edema": -0.01}.items()
}


def make_transfer(findings: tuple[str, ...] = FINDINGS) -> Transfer:
    """Make up that a recipe reaches 0.1 less on the findings that the dataset chexpert has."""
    there = make_run("there", findings=findings, better=-0.1)
    drift = Drift(as_predicted=DRIFT, after_platt={})
    return Transfer(
        "chexpert", run=make_run(), evaluation=there.evaluation, draws=there.draws, drift=drift
    )


def test_nothing_is_said_where_no_other_dataset_is_asked_for() -> None:
    assert describe_transfers(compare_runs(make_run())) == []


def test_own_test_other_test_difference_and_drift_stand_side_by_side() -> None:
    comparison = dataclasses.replace(compare_runs(make_run()), transfers=(make_transfer(),))
    sections = describe_transfers(comparison)
    [table] = find(sections, "elsewhere-chexpert-densenet121_step").tables
    assert texts(table, "Finding") == ["Mean of 2", *FINDINGS]
    own, there = ([float(text) for text in texts(table, title)] for title in ("Own test", "There"))
    assert [round(a - b, 4) for a, b in zip(there, own, strict=True)] == [-0.1] * 3
    assert texts(table, "There − own") == ["−0.1000"] * 3
    assert texts(table, "Predicted less observed") == ["+0.020", "+0.050", "−0.010"]
    assert "200 images of 50 patients" in table.caption


def test_a_dataset_without_a_shared_finding_is_named() -> None:
    nothing = dataclasses.replace(
        make_transfer(), run=make_run(findings=("Hernia",)), evaluation=make_transfer().evaluation
    )
    comparison = dataclasses.replace(compare_runs(make_run()), transfers=(nothing,))
    assert "No finding is scored both on chexpert and on split" in words(
        describe_transfers(comparison)
    )


def test_what_was_skipped_and_what_is_not_known_is_told() -> None:
    run = make_run()
    test = run.split.test.model_copy(update={"unknown": {"Mass": 12}})
    run = dataclasses.replace(run, split=run.split.model_copy(update={"test": test}))
    comparison = compare_runs(run)
    own = comparison.prepared.model_copy(update={"own_patients": True})
    told = list_caveats(
        dataclasses.replace(comparison, prepared=own, skipped={"best": "the dataset lacks Mass"})
    )
    assert "Not run. best was skipped: the dataset lacks Mass." in told
    assert any("every image counts as its own patient" in point for point in told)
    assert any("left out of every number: Mass 12 of 200 test images" in point for point in told)
