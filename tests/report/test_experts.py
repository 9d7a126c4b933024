"""Tables and figures of networks against radiologists."""

import dataclasses

import numpy as np
import pandas as pd
from fake_run import make_run, tell
from page import Page

from chestxray14.report.report import write_report
from chestxray14.scoring.evaluation import Difference, Estimate
from chestxray14.scoring.expert_scores import ExpertEvaluation, ExpertScores, Reader


def scores(value: float | None, *, bounded: bool = True) -> ExpertScores:
    margin = 0.05 if bounded else None
    nothing = {"thresholds": {}, "decisions": {}, "readers": {}}
    counts = {"images": 90, "patients": 80, "positives": 30, "positives_nih": 20}
    if value is None:
        return ExpertScores(**counts, **nothing)
    low, high = (value - margin, value + margin) if margin else (None, None)
    reader = Reader(
        images=90, sensitivity=0.5, specificity=0.9, network=0.6, difference=Difference(value=0.1)
    )
    return ExpertScores(
        **counts,
        auroc=Estimate(value=value, low=low, high=high),
        auroc_nih=None if not bounded else Estimate(value=0.7),
        difference=None,
        thresholds={},
        decisions={},
        readers={"8": reader},
    )


CURVES = pd.DataFrame(
    [(f, "made", x, x) for f in ("Mass", "Edema") for x in (0.0, 1.0)],
    columns=["finding", "set", "false_positive_rate", "true_positive_rate"],
)


def test_the_section_counts_what_is_above_and_shows_figures_readers_and_labels() -> None:
    gap = Difference(value=0.1, low=0.05, high=0.15, p=0.01)
    found = scores(0.8).model_copy(update={"difference": gap})
    made = {"Mass": found, "Edema": scores(0.6, bounded=False), "Hernia": scores(None)}
    experts = ExpertEvaluation({"made": made})
    run = make_run()
    curves = {**run.curves, "experts": CURVES}
    told = tell(dataclasses.replace(run, experts=experts, curves=curves))
    agreement = {"set": "made", "finding": "Mass", "images": 90, "radiologists": 30, "nih": 20}
    agreement |= {"both": 15, "ppv": 0.75, "sensitivity": 0.5, "kappa_nih": 0.4}
    row = pd.DataFrame([agreement | {"kappa_readers": np.nan, "readers": {}}])
    told = dataclasses.replace(told, agreement=row)
    page = Page(write_report(told).html)
    words = page.sections["experts"]
    assert "On 90 test images" in words
    assert "in 1 of 1 findings; 1 of the differences" in words
    assert "more than the reader in 2 of 2 comparisons; 0 of these 2" in words
    assert "they confirm 75 %" in words
    captions = "Against radiologists", "Single readers", "The labels against radiologists"
    assert [len(page.tables[caption]) for caption in captions] == [2, 2, 1]
    assert [row["Finding"] for row in page.tables["Against radiologists"]] == ["Mass", "Edema"]
    assert len([label for label in page.all("aria-label") if ", set made." in label]) == 2
    [row] = page.tables["The labels against radiologists"]
    assert (row["Theirs"], row["Confirmed"], row["Kappa"]) == ("30", "0.75", "0.40")
    assert "experts" not in Page(write_report(tell(run)).html).sections
