import dataclasses

import pandas as pd
import pytest
from fake_run import RECIPES, STEP, compare_runs, make_run
from reading import column, find, words

from chestxray14.base.findings import FINDINGS
from chestxray14.report.calibration_sections import describe_calibration
from chestxray14.report.results import Run
from chestxray14.scoring.evaluation import Calibrated

FROZEN = RECIPES["resnet50_frozen"]


def with_scores(run: Run, changed: dict[str, dict[str, object]]) -> Run:
    """Return a run with other scores for some findings."""
    findings = run.evaluation.findings | {
        name: run.evaluation.findings[name].model_copy(update=update)
        for name, update in changed.items()
    }
    return dataclasses.replace(
        run, evaluation=run.evaluation.model_copy(update={"findings": findings})
    )


def test_errors_are_means_over_the_findings_before_and_after_platt() -> None:
    run = with_scores(make_run(), {"Hernia": {"brier": 0.26, "prevalence": 0.5}})
    [table] = find(describe_calibration(compare_runs(run)), "calibration").tables
    assert column(table, "Findings")[STEP].text == "14"
    shown = {
        (c.title, c.note): cell.text
        for c, cell in zip(table.columns[3:], table.rows[0].cells[3:], strict=True)
    }
    assert shown == {
        ("Brier score", "base rate"): f"{(13 * 0.1 * 0.9 + 0.25) / 14:.4f}",
        ("Brier score", "as predicted"): f"{(13 * 0.12 + 0.26) / 14:.4f}",
        ("Brier score", "after Platt"): "0.0800",
        ("ECE, equal width", "as predicted"): "0.1100",
        ("ECE, equal width", "after Platt"): "0.0200",
        ("ECE, equal mass", "as predicted"): "0.1000",
        ("ECE, equal mass", "after Platt"): "0.0300",
    }


def test_both_means_are_over_the_findings_that_platt_was_fitted_for() -> None:
    run = with_scores(make_run(), {"Hernia": {"brier": 0.9, "calibrated": None}})
    overall, group = describe_calibration(compare_runs(run))
    [table] = overall.tables
    assert column(table, "Findings")[STEP].text == "13"
    assert column(table, "Brier score", "as predicted")[STEP].text == "0.1200"
    [by_finding] = group.tables
    assert [row.cells[0].text for row in by_finding.rows] == [
        finding for finding in FINDINGS if finding != "Hernia"
    ]
    assert column(by_finding, "Intercept")["Mass"].text == "−0.50"
    assert column(by_finding, "Brier score", "after Platt")["Mass"].text == "0.0800"


def test_how_many_validation_images_a_fit_rests_on_is_told_by_finding() -> None:
    run = with_scores(make_run(), {"Hernia": {"val_positives": 1234}})
    [table] = find(describe_calibration(compare_runs(run)), "calibration-patient").tables
    assert column(table, "Positives", "in the validation part")["Hernia"].text == "1,234"


def test_findings_whose_slope_was_held_at_0_are_named_with_their_recipe() -> None:
    held = Calibrated(slope=0.0, intercept=-2.0, brier=0.1, ece_width=0.1, ece_mass=0.1)
    run = with_scores(make_run(), {"Hernia": {"calibrated": held}})
    other = with_scores(make_run("b"), {key: {"calibrated": held} for key in ("Mass", "Edema")})
    section = find(describe_calibration(compare_runs(run, other)), "calibration-patient")
    assert section.points == (f"The slope was held at 0 for Hernia ({STEP}); Mass, Edema (b).",)
    assert find(describe_calibration(compare_runs(make_run())), "calibration-patient").points == ()


def test_the_number_of_bins_and_the_range_of_errors_are_told() -> None:
    worse = with_scores(make_run("worse"), {key: {"ece_mass": 0.25} for key in FINDINGS})
    runs = [
        dataclasses.replace(run, evaluation=run.evaluation.model_copy(update={"bins": 12}))
        for run in (make_run(), worse)
    ]
    sections = describe_calibration(compare_runs(*runs))
    assert "over 12 bins of equal width" in words(sections)
    assert "in 12 bins of equally many labels" in words(sections)
    [figure] = find(sections, "calibration-patient").figures
    assert f"lowest 0.1000 ({STEP}), highest 0.2500 (worse)" in figure


def test_a_run_without_validation_part_keeps_its_row_with_dashes() -> None:
    bare = with_scores(make_run("bare"), {key: {"calibrated": None} for key in FINDINGS})
    [table] = describe_calibration(compare_runs(make_run(), bare))[0].tables
    assert column(table, "Brier score", "as predicted")["bare"].text == "0.1200"
    assert column(table, "Brier score", "after Platt")["bare"].text == "–"
    [alone] = describe_calibration(compare_runs(bare))[0].tables
    assert not any("Platt" in c.note for c in alone.columns)


def test_a_group_with_nothing_to_draw_or_tell_has_no_section() -> None:
    bare = with_scores(make_run(), {key: {"calibrated": None} for key in FINDINGS})
    empty = pd.DataFrame(columns=bare.curves.reliability.columns)
    bare = dataclasses.replace(bare, curves=dataclasses.replace(bare.curves, reliability=empty))
    assert [section.anchor for section in describe_calibration(compare_runs(bare))] == [
        "calibration"
    ]


@pytest.mark.parametrize("weighted", [False, True])
def test_only_a_weighted_loss_is_said_to_shift_probabilities(weighted: bool) -> None:
    runs = [make_run(), *([make_run("frozen", recipe=FROZEN)] if weighted else [])]
    said = words(describe_calibration(compare_runs(*runs)))
    assert ("class-weighted loss of frozen makes" in said) == weighted


def test_a_leak_is_named_in_rows_headings_and_figures() -> None:
    leak = make_run("leak", kind="image")
    sections = describe_calibration(compare_runs(make_run(), leak))
    assert [row.cells[0].text for row in sections[0].tables[0].rows] == [STEP, "leak (LEAKY)"]
    assert [section.anchor for section in sections] == ["calibration", "calibration-patient"]
    assert "leak" not in sections[1].figures[0]
    # Where every run leaks there is nothing else to show.
    sections = describe_calibration(compare_runs(leak))
    leaky = find(sections, "calibration-image")
    assert "LEAKY" in leaky.title
    assert "leak (LEAKY)" in leaky.figures[0]
    assert "leak (LEAKY)" in leaky.tables[0].caption
