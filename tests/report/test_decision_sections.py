import dataclasses

import pytest
from fake_run import DECISIONS, RECIPES, STEP, compare_runs, make_run
from reading import column, find, texts, words
from sklearn.metrics import f1_score, precision_score, recall_score

from chestxray14.base.findings import FINDINGS
from chestxray14.report.decision_sections import describe_decisions
from chestxray14.report.results import Run
from chestxray14.scoring.evaluation import AVERAGES, Decision, OperatingPoint, Rule

BLOCK = "densenet121_last_block"
EIGHT = tuple(name for name in DECISIONS[BLOCK].decisions if name in FINDINGS)


def block() -> Run:
    return make_run(BLOCK, findings=RECIPES[BLOCK].findings, recipe=RECIPES[BLOCK])


def with_point(run: Run, rule: Rule, changed: dict[str, Decision]) -> Run:
    """Return a run with other decisions by one rule."""
    points = run.evaluation.operating_points
    point = points[rule].model_copy(update={"decisions": points[rule].decisions | changed})
    return with_points(run, points | {rule: point})


def with_points(run: Run, points: dict[Rule, OperatingPoint]) -> Run:
    return dataclasses.replace(
        run, evaluation=run.evaluation.model_copy(update={"operating_points": points})
    )


def decide(precision: float, recall: float, f1: float, positives: int = 20) -> Decision:
    return Decision(precision=precision, recall=recall, f1=f1, positives=positives)


def test_every_recipe_has_its_macro_rates_by_each_rule_beside_label_accuracy() -> None:
    run = with_point(make_run(), "youden", {"macro avg": decide(0.12345, 0.5, 0.25)})
    [table] = find(describe_decisions(compare_runs(run, block())), "decisions").tables
    assert texts(table, "Recipe") == [STEP, BLOCK]
    assert texts(table, "Findings") == ["14", "8"]
    assert texts(table, "Youden") == ["0.123 / 0.500 / 0.250", "0.200 / 0.700 / 0.311"]
    for title in ("0.5", "Max F1", "Sensitivity"):
        assert texts(table, title) == ["0.200 / 0.700 / 0.311"] * 2
    assert texts(table, "Label accuracy", "at 0.5") == ["0.912", "0.912"]
    assert texts(table, "Label accuracy", "calling nobody") == ["0.900", "0.900"]


def test_each_rule_is_told_once_with_the_sensitivity_that_was_asked_for() -> None:
    run = make_run()
    asked = run.evaluation.model_copy(update={"sensitivity": 0.85})
    run = dataclasses.replace(run, evaluation=asked)
    [table] = find(describe_decisions(compare_runs(run)), "decisions").tables
    told = {column.title: column.note for column in table.columns}
    assert told["Sensitivity"] == "highest threshold that reaches 0.85"
    assert all(told[rule] and rule not in told[rule] for rule in ("Youden", "Sensitivity"))
    assert "thresholds but 0.5 from the validation part" in table.caption


def test_a_macro_over_fewer_findings_says_so() -> None:
    run = make_run()
    youden = run.evaluation.operating_points["youden"]
    without = ("Hernia", "Edema")
    fewer = OperatingPoint(
        thresholds={f: t for f, t in youden.thresholds.items() if f not in without},
        decisions={name: d for name, d in youden.decisions.items() if name not in without},
    )
    run = with_points(run, run.evaluation.operating_points | {"youden": fewer})
    sections = describe_decisions(compare_runs(run))
    [table] = find(sections, "decisions").tables
    [by_finding] = find(sections, "decisions-patient").tables
    assert texts(by_finding, "Finding") == [f for f in FINDINGS if f not in without]
    assert column(table, "Youden")[STEP].note == "over 12"
    assert column(table, "0.5")[STEP].note == ""


def test_flagging_everything_is_what_scikit_learn_says_of_it() -> None:
    truth, called = [1] + [0] * 9, [1] * 10
    said = words(describe_decisions(compare_runs(make_run())))
    assert f"has recall {recall_score(truth, called):.3f}" in said
    assert f"{precision_score(truth, called):.3f} in the mean" in said
    assert f"macro F1 of {f1_score(truth, called):.3f}" in said


def test_what_others_report_stands_apart_and_ours_does_not() -> None:
    sections = describe_decisions(compare_runs(make_run(), block()))
    assert [s.anchor for s in sections if "-of-" in s.anchor] == [f"decisions-of-{BLOCK}"]
    section = find(sections, f"decisions-of-{BLOCK}")
    table, chosen = section.tables
    assert texts(table, "Finding") == texts(chosen, "Finding") == [*EIGHT, *AVERAGES]
    theirs = column(table, "Precision", "its source, thresholds as its authors chose")
    assert theirs["Pneumothorax"].text == "0.201"
    assert theirs["samples avg"].text == "0.155"
    vision = column(table, "F1", "pretrained TorchXRayVision as that README reports it")
    assert vision["Infiltration"].text == "0.382"
    assert all(cell.apart for cell in (*theirs.values(), *vision.values()))
    for by_rule in (table, chosen):
        ours = column(by_rule, "Recall", "this run")
        assert {cell.text for cell in ours.values()} == {"0.700"}
        assert not any(cell.apart for cell in ours.values())
    assert not any(cell.apart for row in chosen.rows for cell in row.cells)
    assert not any(c.title == "Difference" for c in table.columns)
    assert DECISIONS[BLOCK].title in " ".join(section.text)


def test_a_network_of_other_findings_has_averages_over_the_findings_of_the_table_only() -> None:
    rates = {name: decide(0.1 * i, 0.05 * i, 0.07 * i, i + 1) for i, name in enumerate(EIGHT)}
    external = with_point(make_run("nih_weights", pretrained="nih"), "half", rates)
    sections = describe_decisions(compare_runs(make_run(), block(), external))
    table, chosen = find(sections, f"decisions-of-{BLOCK}").tables
    assert column(chosen, "Recall", "nih_weights")["macro avg"].text == "0.700"
    shown = column(table, "Precision", "nih_weights")
    assert shown[EIGHT[3]].text == "0.300"
    assert shown["macro avg"].text == f"{sum(0.1 * i for i in range(8)) / 8:.3f}"
    weighted = sum(0.1 * i * (i + 1) for i in range(8)) / sum(range(1, 9))
    assert shown["weighted avg"].text == f"{weighted:.3f}"
    assert shown["micro avg"].text == shown["samples avg"].text == "–"


def test_a_network_on_other_test_images_or_without_a_finding_gets_no_average() -> None:
    elsewhere = make_run("elsewhere", kind="official", pretrained="nih")
    sections = describe_decisions(compare_runs(block(), elsewhere))
    [table, _] = find(sections, f"decisions-of-{BLOCK}").tables
    assert not any("elsewhere" in c.note for c in table.columns)
    few = make_run("few", findings=EIGHT[1:], pretrained="nih")
    sections = describe_decisions(compare_runs(block(), few))
    [table, _] = find(sections, f"decisions-of-{BLOCK}").tables
    shown = column(table, "F1", "few")
    assert [name for name, cell in shown.items() if cell.text == "–"] == [EIGHT[0], *AVERAGES]


def test_the_first_of_a_group_is_told_finding_by_finding_at_youdens_threshold() -> None:
    better = with_point(
        make_run("better", better=0.1), "youden", {"Mass": decide(0.25, 0.625, 0.35714, 31)}
    )
    section = find(describe_decisions(compare_runs(make_run(), better)), "decisions-patient")
    [table] = section.tables
    assert "better" in section.title
    [mass] = [row for row in table.rows if row.cells[0].text == "Mass"]
    assert [cell.text for cell in mass.cells[1:]] == [
        "31",
        "25",
        "0.1250",
        "0.625",
        "0.250",
        "0.100",
        "0.357",
    ]


def test_without_a_validation_part_only_one_half_decides() -> None:
    run = block()
    run = with_points(run, {"half": run.evaluation.operating_points["half"]})
    sections = describe_decisions(compare_runs(run))
    [table] = find(sections, "decisions").tables
    assert [c.title for c in table.columns[3:]] == ["0.5", "Label accuracy", "Label accuracy"]
    [beside] = find(sections, f"decisions-of-{BLOCK}").tables
    assert "at 0.5" in beside.caption
    assert find(sections, "decisions-patient").tables == ()
    assert "No threshold was chosen" in words(sections)


@pytest.mark.parametrize("name", ["torchxrayvision", BLOCK])
def test_a_network_pretrained_elsewhere_is_no_recipe_of_a_source(name: str) -> None:
    sections = describe_decisions(compare_runs(make_run(name, pretrained="nih")))
    assert not [section for section in sections if "-of-" in section.anchor]


def test_a_leak_is_named_wherever_its_decisions_stand() -> None:
    leak = make_run("leak", kind="image")
    sections = describe_decisions(compare_runs(make_run(), leak))
    assert [section.anchor for section in sections] == ["decisions", "decisions-patient"]
    [table] = find(sections, "decisions").tables
    assert texts(table, "Recipe") == [STEP, "leak (LEAKY)"]
    assert texts(table, "Split") == ["patient", "image (LEAKY)"]
    leaky = find(describe_decisions(compare_runs(leak)), "decisions-image")
    assert "LEAKY" in leaky.title
    assert "LEAKY" in leaky.tables[0].caption
