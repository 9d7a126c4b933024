import dataclasses

import pytest
from fake_run import STEP, compare_runs, estimate, make_run
from hypothesis import given
from hypothesis import strategies as st
from reading import column, find, texts, words

from chestxray14.base.findings import FINDINGS
from chestxray14.report.group_sections import describe_groups, name_findings
from chestxray14.report.results import Run
from chestxray14.scoring.evaluation import Attribute, Gap, Subgroup


def member(macro: float | None = None, **gaps: float) -> Subgroup:
    """Make up a group with a macro AUROC, or none, and with gaps by finding.

    Each gap is of 1,011 positives and has an interval of 0.1 to either side.
    """
    return Subgroup(
        images=1234,
        patients=321,
        auroc={} if macro is None else {"macro": estimate(macro)},
        too_few=FINDINGS if macro is None else (),
        tpr_gap={
            finding: Gap(value=gap, low=gap - 0.1, high=gap + 0.1, positives=1011)
            for finding, gap in gaps.items()
        },
    )


def with_groups(run: Run, **attributes: Attribute) -> Run:
    return dataclasses.replace(
        run, evaluation=run.evaluation.model_copy(update={"subgroups": attributes})
    )


def attribute(
    shared: tuple[str, ...] = FINDINGS, unknown: int = 0, **groups: Subgroup
) -> Attribute:
    return Attribute(shared=shared, groups=groups, unknown=unknown)


def test_each_group_has_its_macro_auroc_with_an_interval_in_each_recipe() -> None:
    other = with_groups(make_run("other"), sex=attribute(women=member(0.81), men=member(0.79)))
    sections = describe_groups(compare_runs(make_run(), other))
    [table] = find(sections, "groups-patient").tables
    assert texts(table, "Group") == ["sex: women", "sex: men"]
    assert texts(table, "Images") == ["100", "100"]
    assert texts(table, "Patients") == ["25", "25"]
    assert texts(table, STEP) == ["0.6975", "0.7225"]
    assert [cell.note for cell in column(table, STEP).values()] == [
        "0.677 to 0.728",
        "0.702 to 0.752",
    ]
    assert texts(table, "other") == ["0.8100", "0.7900"]
    # Over which findings, told for each recipe where they differ.
    said = " ".join(find(sections, "groups-patient").points)
    assert f"By sex the macro is over Atelectasis ({STEP}); all 14 (other)." in said


def test_findings_with_too_few_images_are_named_by_group_and_unknown_images_counted() -> None:
    women = member(0.7).model_copy(update={"too_few": ("Edema", "Hernia")})
    men = member(0.7).model_copy(update={"too_few": tuple(f for f in FINDINGS if f != "Effusion")})
    run = with_groups(make_run(), sex=attribute(("Effusion",), 1200, women=women, men=men))
    [point] = find(describe_groups(compare_runs(run)), "groups-patient").points
    assert point == (
        "By sex the macro is over Effusion. Too few patients to be scored in women: Edema, Hernia; "
        "men: all but Effusion. 1,200 images have no known sex and are in no group."
    )


def test_an_attribute_without_a_shared_finding_says_so_and_shows_dashes() -> None:
    none = attribute((), young=member(), old=member())
    run = with_groups(make_run(), age=none, view=attribute(AP=member(0.7), PA=member(0.8)))
    sections = describe_groups(compare_runs(run, make_run("other")))
    [table] = find(sections, "groups-patient").tables
    assert texts(table, "Group") == [
        "age: young",
        "age: old",
        "view: AP",
        "view: PA",
        "sex: women",
        "sex: men",
    ]
    assert texts(table, STEP) == ["–", "–", "0.7000", "0.8000", "–", "–"]
    assert texts(table, "Images")[:2] == ["1,234"] * 2
    assert "By age there is no macro" in words(sections)
    assert "young: all 14; old: all 14" in words(sections)


def test_the_largest_gaps_come_first_and_of_two_groups_only_the_lower() -> None:
    run = with_groups(
        make_run(),
        sex=attribute(
            women=member(0.7, Mass=-0.2, Edema=0.01), men=member(0.7, Mass=0.2, Edema=-0.01)
        ),
        age=attribute(a=member(0.7, Mass=0.3), b=member(0.7, Mass=0.0), c=member(0.7, Mass=-0.15)),
    )
    [table] = find(describe_groups(compare_runs(run)), "gaps-patient").tables
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["Mass", "age: a", "+0.300", "1,011"],
        ["Mass", "sex: women", "−0.200", "1,011"],
        ["Mass", "age: c", "−0.150", "1,011"],
        ["Edema", "sex: men", "−0.010", "1,011"],
        ["Mass", "age: b", "0.000", "1,011"],
    ]
    assert [row.cells[2].note for row in table.rows][:2] == ["0.200 to 0.400", "−0.300 to −0.100"]
    assert ": 5 of 5, none adjusted for having looked at many" in table.caption


def test_no_more_than_ten_gaps_are_listed() -> None:
    gaps = {finding: 0.01 * (i + 1) for i, finding in enumerate(FINDINGS)}
    against = {finding: -gap for finding, gap in gaps.items()}
    run = with_groups(
        make_run(), sex=attribute(women=member(0.7, **gaps), men=member(0.7, **against))
    )
    [table] = find(describe_groups(compare_runs(run)), "gaps-patient").tables
    assert texts(table, "Finding") == list(FINDINGS[:3:-1])
    assert set(texts(table, "Group")) == {"sex: men"}
    # One of the two groups for each of the 14 findings.
    assert ": 10 of 14, none adjusted for having looked at many" in table.caption


def test_how_many_patients_a_score_takes_is_told() -> None:
    run = make_run()
    evaluation = run.evaluation.model_copy(update={"at_least": 7})
    said = words(describe_groups(compare_runs(dataclasses.replace(run, evaluation=evaluation))))
    assert "with at least 7 patients who have it and 7 who do not" in said
    assert "among the groups with at least 7 patients who have the finding" in said


@pytest.mark.parametrize("known", [False, True])
def test_without_groups_nothing_is_made_up(known: bool) -> None:
    run = make_run() if known else with_groups(make_run())
    sections = describe_groups(compare_runs(run))
    assert [section.anchor for section in sections] == ["groups", "groups-patient", "gaps-patient"]
    assert bool(find(sections, "groups-patient").tables) == known
    assert ("No group of patients is known" in words(sections)) != known
    assert ("No gap can be told" in words(sections)) != known


def test_a_leak_is_named_in_every_heading_of_its_groups() -> None:
    leak = make_run("leak", kind="image")
    fair = describe_groups(compare_runs(make_run(), leak))
    assert not [section for section in fair if section.anchor.endswith("-image")]
    leaky = describe_groups(compare_runs(leak))[1:]
    assert len(leaky) == 2
    assert all("LEAKY" in section.title for section in leaky)
    assert all("LEAKY" in section.tables[0].caption for section in leaky)


@given(st.sets(st.sampled_from(FINDINGS)))
def test_findings_are_named_so_that_they_can_be_told_back(chosen: set[str]) -> None:
    named = name_findings([f for f in FINDINGS if f in chosen], among=FINDINGS)
    if named == "no finding":
        told: set[str] = set()
    elif named == "all 14":
        told = set(FINDINGS)
    elif named.startswith("all but "):
        told = set(FINDINGS) - set(named.removeprefix("all but ").split(", "))
    else:
        told = set(named.split(", "))
    assert told == chosen
