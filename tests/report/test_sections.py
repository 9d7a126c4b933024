"""What holds of all sections beyond AUROC together."""

import dataclasses
from collections.abc import Callable

import pandas as pd
import pytest
from fake_run import RECIPES, compare_runs, make_floor, make_prepared, make_run
from hypothesis import given, settings
from hypothesis import strategies as st

from chestxray14.base.findings import FINDINGS
from chestxray14.report.calibration_sections import describe_calibration
from chestxray14.report.comparison import Comparison
from chestxray14.report.curve_sections import describe_curves
from chestxray14.report.decision_sections import describe_decisions
from chestxray14.report.group_sections import describe_groups
from chestxray14.report.localization_sections import describe_localization
from chestxray14.report.look_alikes import describe_look_alikes
from chestxray14.report.results import Curves, Run
from chestxray14.report.sections import Section
from chestxray14.scoring.evaluation import Attribute, LookAlikes, Subgroup


def describe_boxes(comparison: Comparison) -> list[Section]:
    return describe_localization(comparison, [])


DESCRIBE: tuple[Callable[[Comparison], list[Section]], ...] = (
    describe_curves,
    describe_decisions,
    describe_calibration,
    describe_groups,
    describe_boxes,
    describe_look_alikes,
)
RECIPE = RECIPES["resnet50_frozen"]


def without_validation(run: Run) -> Run:
    """Return a run that no threshold, calibration or gap is known of."""
    evaluation = run.evaluation
    groups = {
        name: attribute.model_copy(
            update={
                "groups": {
                    member: group.model_copy(update={"tpr_gap": {}})
                    for member, group in attribute.groups.items()
                }
            }
        )
        for name, attribute in evaluation.subgroups.items()
    }
    bare = evaluation.model_copy(
        update={
            "findings": {
                name: scores.model_copy(update={"calibrated": None})
                for name, scores in evaluation.findings.items()
            },
            "operating_points": {"half": evaluation.operating_points["half"]},
            "subgroups": groups,
            "look_alikes": LookAlikes(label_accuracy=0.9, all_negative=0.9),
        }
    )
    return dataclasses.replace(run, evaluation=bare)


def with_nobody(run: Run) -> Run:
    """Return a run whose groups hold no image, and one of whose attributes is unknown."""
    nobody = Subgroup(images=0, patients=0, auroc={}, too_few=run.scored, tpr_gap={})
    empty = {
        "sex": Attribute(shared=(), groups={"women": nobody}, unknown=200),
        "view": Attribute(shared=(), groups={}, unknown=200),
    }
    return dataclasses.replace(
        run, evaluation=run.evaluation.model_copy(update={"subgroups": empty})
    )


def without_curves(run: Run) -> Run:
    tables = [pd.DataFrame(columns=table.columns) for table in dataclasses.astuple(run.curves)]
    return dataclasses.replace(run, curves=Curves(*tables))


def all_sections(comparison: Comparison) -> list[Section]:
    return [section for describe in DESCRIBE for section in describe(comparison)]


def nine_runs() -> list[Run]:
    names = [name for name in RECIPES if RECIPES[name].split != "image"]
    runs = [
        make_run(name, findings=RECIPES[name].findings, recipe=RECIPES[name]) for name in names
    ]
    leak = make_run("resnet50_frozen_by_image", kind="image", recipe=RECIPE)
    return [*runs, make_run("nih_weights", pretrained="nih"), leak]


@pytest.mark.parametrize("runs", [[make_run()], nine_runs()], ids=["one", "many"])
def test_every_section_is_whole_and_has_an_anchor_of_its_own(runs: list[Run]) -> None:
    sections = all_sections(compare_runs(*runs))
    anchors = [section.anchor for section in sections]
    assert len(anchors) == len(set(anchors))
    assert [s.anchor for s in sections if s.level == 2] == [
        "curves",
        "decisions",
        "calibration",
        "groups",
        "localization",
        "look-alikes",
    ]
    for section in sections:
        assert section.text or section.tables or section.points
        assert all(line and "  " not in line for line in (*section.text, *section.points))
        for table in section.tables:
            assert table.rows
            assert all(len(row.cells) == len(table.columns) for row in table.rows)
            assert all(cell.text for row in table.rows for cell in row.cells)


@settings(max_examples=40, deadline=None)
@given(
    changes=st.lists(
        st.sampled_from([without_validation, with_nobody, without_curves]), unique=True
    ),
    alone=st.booleans(),
    findings=st.sampled_from([FINDINGS, FINDINGS[:1], FINDINGS[5:8]]),
    leaky=st.booleans(),
    external=st.booleans(),
    floor=st.booleans(),
    drawn=st.booleans(),
)
def test_nothing_fails_where_something_is_missing(
    changes: list[Callable[[Run], Run]],
    alone: bool,
    findings: tuple[str, ...],
    leaky: bool,
    external: bool,
    floor: bool,
    drawn: bool,
) -> None:
    run = make_run(
        "densenet121_last_block",
        findings=findings,
        kind="image" if leaky else "patient",
        pretrained="nih" if external else "",
    )
    for change in changes:
        run = change(run)
    runs = [run] if alone else [run, make_run("other", findings=FINDINGS[-1:])]
    comparison = compare_runs(
        *runs,
        prepared=make_prepared("phantom" if drawn else "kaggle"),
        floors={run.protocol: make_floor()} if floor else {},
    )
    # The curves of 14 findings take a second to draw; another test is about none.
    sections = [section for describe in DESCRIBE[1:] for section in describe(comparison)]
    leaks = [s for s in sections if s.anchor.endswith("-image")]
    if not alone:
        leaks = [section for section in leaks if section.anchor != "localization-image"]
    # Beside an honest run a leaky one has no section of its own, but for the table of its boxes.
    assert bool(leaks) == (leaky and alone)
    assert all("LEAKY" in section.title for section in leaks)


def test_without_curves_there_is_no_figure_and_the_table_stays() -> None:
    section = describe_curves(compare_runs(without_curves(make_run())))[1]
    assert section.figures == ()
    assert section.tables
