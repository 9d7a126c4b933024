"""What the report says of a recipe on another dataset, and of what a dataset lacks."""

import dataclasses
import re

import numpy as np
from fake_run import make_prepared, make_run, tell
from page import Page

from chestxray14.report.report import write_report
from chestxray14.report.results import Run, Transfer
from chestxray14.report.sections import Told
from chestxray14.scoring.evaluation import Difference
from chestxray14.scoring.transfer import Drift

FINDINGS = ("Mass", "Edema")
DRIFT = {
    name: Difference(value=value, low=value - 0.01, high=value + 0.01)
    for name, value in {"macro": 0.02, "Mass": 0.05, "Edema": -0.01}.items()
}


def tell_transfer(run: Run, findings: tuple[str, ...] = FINDINGS) -> Told:
    """Make up that a recipe reaches 0.1 less on the findings that the dataset chexpert has."""
    there = make_run("there", findings=findings, better=-0.1)
    drift = Drift(as_predicted=DRIFT, after_platt={})
    transfer = Transfer("chexpert", run, there.evaluation, there.scored.draws, drift)
    told = tell(run)
    return dataclasses.replace(
        told, results=dataclasses.replace(told.results, transfers=(transfer,))
    )


def test_nothing_is_said_where_no_other_dataset_is_asked_for() -> None:
    assert "elsewhere" not in Page(write_report(tell(make_run())).html).sections


def test_own_test_other_test_difference_and_drift_stand_side_by_side() -> None:
    run = make_run()
    page = Page(write_report(tell_transfer(run)).html)
    [mean] = page.tables["Other datasets, mean over the findings of both"]
    singles = page.tables["Other datasets by finding"]
    assert [row["Finding"] for row in singles] == list(FINDINGS)
    there = make_run("there", findings=FINDINGS, better=-0.1).scored.draws.mean(axis=1)
    columns = [run.findings.index(name) for name in FINDINGS]
    draws = there - run.scored.draws[:, columns].mean(axis=1)
    bounds = [f"{bound:.2f}".replace("-", "−") for bound in np.percentile(draws, [2.5, 97.5])]
    assert mean["There less own"] == f"−0.10 {' to '.join(bounds)}"
    assert (mean["Images"], mean["Patients"]) == ("200", "50")
    drifts = [row["Predicted less observed"].split()[0] for row in (mean, *singles)]
    assert drifts == ["0.02", "0.05", "−0.01"]
    assert "The same after Platt" not in mean


def test_a_dataset_without_a_shared_finding_is_named() -> None:
    told = tell_transfer(make_run(findings=("Hernia",)))
    page = Page(write_report(told).html)
    assert "densenet121_step on chexpert" in page.sections["elsewhere"]
    assert not [caption for caption in page.tables if caption.startswith("Other datasets")]


def test_what_was_skipped_and_what_is_not_known_is_told() -> None:
    run = make_run()
    test = run.split.test.model_copy(update={"unknown": {"Mass": 12}})
    run = dataclasses.replace(run, split=run.split.model_copy(update={"test": test}))
    own = make_prepared().model_copy(
        update={"source": "table", "own_patients": True, "dataset": "mine"}
    )
    told = tell(run, prepared=own)
    results = dataclasses.replace(told.results, skipped={"best": "the dataset lacks Mass"})
    report = write_report(dataclasses.replace(told, results=results))
    assert re.search(r"not run: best\b", report.markdown)
    for words in ("the dataset lacks Mass", "Mass 12 of 200 test images", "counts as its own"):
        assert words in report.html
        assert words not in write_report(tell(make_run())).html
    # The labels are not NIH's, and so no published number and no word on theirs fits.
    assert "Cite the dataset mine" in report.html
    assert "A program mined" not in report.html


def test_without_metadata_there_is_no_floor_and_no_gap_above_it() -> None:
    told = tell(make_run("best"), make_run("next", better=-0.1))
    run = told.leader
    results = dataclasses.replace(told.results, floors={})
    rankings = tuple(
        dataclasses.replace(ranking, above_floor={}, floor=None) for ranking in told.rankings
    )
    report = write_report(dataclasses.replace(told, results=results, rankings=rankings))
    assert "not in this dataset" in report.markdown
    assert "etadata alone" not in report.markdown
    assert f"{run.label} does best in" in report.markdown
