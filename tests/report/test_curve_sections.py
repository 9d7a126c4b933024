import dataclasses

from fake_run import RECIPES, STEP, compare_runs, make_run
from reading import column, find, texts

from chestxray14.base.findings import FINDINGS
from chestxray14.report.curve_sections import describe_curves
from chestxray14.report.results import Run

SEVEN = RECIPES["custom_densenet121"].findings


def with_precision(run: Run, precision: dict[str, tuple[float, float]]) -> Run:
    """Return a run with another average precision and prevalence for some findings."""
    findings = dict(run.evaluation.findings)
    for finding, (value, prevalence) in precision.items():
        findings[finding] = findings[finding].model_copy(
            update={
                "average_precision": value,
                "prevalence": prevalence,
                "lift": value / prevalence,
            }
        )
    return dataclasses.replace(
        run, evaluation=run.evaluation.model_copy(update={"findings": findings})
    )


def test_average_precision_stands_beside_prevalence_and_with_its_lift() -> None:
    run = with_precision(make_run(), {"Hernia": (0.0126, 0.0025), "Edema": (0.2506, 0.125)})
    [table] = find(describe_curves(compare_runs(run)), "curves-patient").tables
    assert texts(table, "Finding") == [*FINDINGS, "Mean of all scored"]
    shown = column(table, STEP)
    assert shown["Hernia"].text == "0.013 (×5.0)"
    assert shown["Edema"].text == "0.251 (×2.0)"
    assert shown["Mass"].text == "0.250 (×2.5)"
    assert shown["Mean of all scored"].text == "0.235"
    prevalence = column(table, "Prevalence")
    assert prevalence["Hernia"].text == "0.003"
    by_hand = (12 * 0.1 + 0.0025 + 0.125) / 14
    assert prevalence["Mean of all scored"].text == f"{by_hand:.3f}"


def test_a_recipe_of_fewer_findings_has_dashes_and_a_mean_over_the_shared_ones() -> None:
    few = with_precision(make_run("few", findings=SEVEN), {SEVEN[0]: (0.6, 0.1)})
    [table] = find(describe_curves(compare_runs(make_run(), few)), "curves-patient").tables
    shown = column(table, "few")
    assert [name for name in FINDINGS if shown[name].text == "–"] == [
        name for name in FINDINGS if name not in SEVEN
    ]
    assert shown["Mean of the 7 shared"].text == f"{(0.6 + 6 * 0.25) / 7:.3f}"
    assert column(table, STEP)["Mean of the 7 shared"].text == "0.250"
    # The means of all scored are over other findings, so no one prevalence is their chance.
    assert column(table, "Prevalence")["Mean of all scored"].text == "–"


def test_the_titles_of_the_figures_name_the_lowest_and_highest_score_of_any_run() -> None:
    few = with_precision(make_run("few", findings=SEVEN), {SEVEN[1]: (0.0626, 0.1)})
    most = with_precision(make_run(), {"Edema": (0.7504, 0.1)})
    roc, precision = find(describe_curves(compare_runs(most, few)), "curves-patient").figures
    # By hand: 0.60001 + 0.02 i; the seven of the other recipe start at the first finding too.
    assert f"lowest 0.6000 ({STEP}, Atelectasis), highest 0.8600 ({STEP}, Hernia)" in roc
    assert f"lowest 0.063 (few, {SEVEN[1]}), highest 0.750 ({STEP}, Edema)" in precision


def test_each_group_of_runs_has_both_figures_and_a_leak_none_beside_an_honest_one() -> None:
    leak = make_run("leak", kind="image")
    sections = describe_curves(compare_runs(make_run(), leak))
    assert [section.anchor for section in sections] == ["curves", "curves-patient"]
    fair = sections[1]
    leaky = describe_curves(compare_runs(leak))[1]
    assert len(fair.figures) == len(leaky.figures) == 2
    assert "ROC" in fair.figures[0]
    assert "Precision-recall" in fair.figures[1]
    assert all("leak (LEAKY)" in figure for figure in leaky.figures)
    assert not any("LEAKY" in figure for figure in fair.figures)
    assert "LEAKY" in leaky.title
    assert leaky.tables[0].columns[-1].title == "leak (LEAKY)"
