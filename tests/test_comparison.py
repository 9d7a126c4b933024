import dataclasses

import pytest
from fake_run import PUBLISHED, STEP, Kind, Source, make_prepared, make_run
from hypothesis import given
from hypothesis import strategies as st

from chestxray14.comparison import Comparison, compare
from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.tables import Table

SOURCES: tuple[Source, ...] = ("phantom", "kaggle", "folder")
KINDS: tuple[Kind, ...] = ("patient", "official", "image", "lists")


def tables(comparison: Comparison) -> list[Table]:
    return [
        comparison.headline,
        *(group.table for group in comparison.groups),
        *(group.ranking for group in comparison.groups if group.ranking),
        *comparison.published.values(),
    ]


def column(table: Table, title: str, note: str = "") -> list[str]:
    """Return the cells of the one column with this title (and note)."""
    [place] = [
        i for i, c in enumerate(table.columns) if c.title == title and c.note.startswith(note)
    ]
    return [row.cells[place].text for row in table.rows]


def has_difference(table: Table) -> bool:
    """Say whether a table has such a column, or any signed number."""
    titled = any(c.title == "Difference" for c in table.columns)
    signed = any(cell.text[:1] in ("+", "−") for row in table.rows for cell in row.cells)
    return titled or signed


@given(
    source=st.sampled_from(SOURCES),
    listed=st.sampled_from([147, 112_119, 112_120]),
    kind=st.sampled_from(KINDS),
    # Their sources: random patient; not stated; none in the tables.
    names=st.sets(st.sampled_from([STEP, "resnet50_frozen", "another"]), min_size=1),
    external=st.booleans(),
)
def test_a_difference_is_shown_only_under_the_same_protocol(
    source: Source, listed: int, kind: Kind, names: set[str], external: bool
) -> None:
    runs = [make_run(name, kind=kind) for name in sorted(names)]
    # One that carries the name of a published system is not that system.
    runs += [make_run("chexnet_2017", kind=kind, pretrained="nih")] if external else []
    comparison = compare(make_prepared(source, listed=listed), runs, PUBLISHED)
    whole = source != "phantom" and listed == 112_120
    expected = whole and kind == "patient" and STEP in names
    assert has_difference(comparison.headline) == expected
    [part] = comparison.groups
    assert has_difference(part.table) == expected
    # References are drawn, and ours stand among others, under the same rule.
    assert set(part.references) == (
        {"Wang et al. 2017", "Yao et al. 2017", "CheXNet 2017"}
        if whole and kind == "patient"
        else set()
    )
    for family, table in comparison.published.items():
        ours = [row.cells[0].text for row in table.rows if row.tone == "ours"]
        fits = (kind, family) in {
            ("patient", "random patient split"),
            ("official", "official split"),
        }
        assert ours == [run.label for run in runs if run.training and whole and fits]
        assert not has_difference(table)
        assert all(row.cells[1].apart == (not ours) for row in table.rows)


@given(source=st.sampled_from(SOURCES), kind=st.sampled_from(KINDS))
def test_a_recipe_without_a_difference_is_told_why_once(source: Source, kind: Kind) -> None:
    comparison = compare(make_prepared(source), [make_run(kind=kind)], PUBLISHED)
    shown = has_difference(comparison.headline)
    assert len(comparison.no_difference) == (0 if shown else 1)
    assert all(STEP in sentence for sentence in comparison.no_difference)


def test_the_headline_shows_the_metrics_rounded_and_the_published_means() -> None:
    run = make_run()
    table = compare(make_prepared(), [run], PUBLISHED).headline
    assert column(table, "Macro AUROC", "this run") == [f"{run.evaluated.auroc['macro']:.4f}"]
    assert column(table, "Micro AUROC", "this run") == ["0.8124"]
    assert column(table, "Macro AUROC", "its source") == ["0.8454"]
    assert column(table, "Micro AUROC", "its source") == ["0.8878"]
    # By hand: mean of 0.60001 + 0.02 i for i in 0..13 is 0.73001.
    assert column(table, "Difference", "macro") == ["−0.1154"]
    assert column(table, "Difference", "micro") == ["−0.0754"]
    assert column(table, "Its protocol") == ["random patient"]


def test_the_14_rows_hold_ours_the_source_and_the_three_references() -> None:
    run = make_run()
    [part] = compare(make_prepared(), [run], PUBLISHED).groups
    assert column(part.table, "Finding") == [*FINDINGS, "Mean of all scored"]
    assert column(part.table, "Positives") == ["20"] * 14 + [""]
    assert column(part.table, STEP)[1] == "0.6200"
    assert column(part.table, f"Source of {STEP}")[1] == "0.9135"
    assert column(part.table, "Difference")[1] == "−0.2935"
    assert column(part.table, "Wang et al. 2017")[0] == "0.7160"
    assert column(part.table, "Yao et al. 2017")[0] == "0.7720"
    assert column(part.table, "CheXNet 2017") == [
        *(f"{PUBLISHED['chexnet_2017'].auroc[finding]:.4f}" for finding in FINDINGS),
        "0.8414",
    ]


def test_a_mean_of_fewer_findings_is_not_compared_with_a_mean_of_14() -> None:
    run = make_run(findings=FINDINGS[:8])
    comparison = compare(make_prepared(), [run], PUBLISHED)
    assert not has_difference(comparison.headline)
    assert "8 of 14 findings" in comparison.no_difference[0]
    differences = column(comparison.groups[0].table, "Difference")
    # The mean over the very same 8 may be compared.
    assert [text == "–" for text in differences] == [False] * 8 + [True] * 7 + [False]
    theirs = sum(PUBLISHED[STEP].auroc[finding] for finding in FINDINGS[:8]) / 8
    assert column(comparison.groups[0].table, f"Source of {STEP}")[-1] == f"{theirs:.4f}"
    family = comparison.published["random patient split"]
    assert not any(row.tone == "ours" for row in family.rows)


def test_published_numbers_of_another_protocol_are_set_apart_beside_it() -> None:
    comparison = compare(make_prepared("phantom"), [make_run()], PUBLISHED)
    published = {"0.8454", "0.8878"}
    cells = [cell for row in comparison.headline.rows for cell in row.cells]
    assert {cell.text for cell in cells if cell.apart} == published
    [part] = comparison.groups
    for place, head in enumerate(part.table.columns):
        apart = {row.cells[place].apart for row in part.table.rows}
        assert apart == {head.note == "random patient"}


def test_systems_are_sorted_within_their_protocol_and_the_doubtful_marked() -> None:
    comparison = compare(make_prepared(), [make_run(kind="official")], PUBLISHED)
    table = comparison.published["official split"]
    means = [float(text) for text in column(table, "Macro AUROC")]
    assert means == sorted(means, reverse=True)
    doubtful = {
        row.cells[0].text: row.cells[2].text
        for family in comparison.published.values()
        for row in family.rows
        if row.tone == "doubtful"
    }
    assert doubtful == {
        PUBLISHED["eva_x_b_2025"].title: "TEST SET",
        PUBLISHED["medical_mae_vitb_2023"].title: "TEST SET",
        PUBLISHED["resnet50_frozen"].title: "not stated",
    }


def test_every_published_macro_stands_in_one_table_and_the_micro_in_none() -> None:
    comparison = compare(make_prepared("phantom"), [make_run()], PUBLISHED)
    titles = [row.cells[0].text for t in comparison.published.values() for row in t.rows]
    assert sorted(titles) == sorted(s.title for s in PUBLISHED.values() if not s.micro)


def test_a_leaky_run_is_called_so_wherever_it_or_its_split_is_named() -> None:
    comparison = compare(make_prepared(), [make_run(kind="image")], PUBLISHED)
    for table in tables(comparison):
        names = [*(c.title for c in table.columns)]
        names += [cell.text for row in table.rows for cell in row.cells]
        assert all("LEAKY" in name for name in names if name.startswith((STEP, "image")))
    assert comparison.groups[0].splits == "split image (LEAKY)"


def test_runs_stand_together_when_their_test_images_are_the_same_and_only_then() -> None:
    same, other = "ab" * 32, "cd" * 32
    runs = [
        make_run("a", sha256=same),
        make_run("b", sha256=other),
        dataclasses.replace(make_run("c", sha256=same), protocol="small"),
        make_run("d", kind="image", sha256=same),
    ]
    groups = compare(make_prepared(), runs, PUBLISHED).groups
    assert [[run.name for run in group.runs] for group in groups] == [["a", "c"], ["b"], ["d"]]
    assert [group.splits for group in groups] == [
        *("splits patient, small", "split patient", "split image (LEAKY)")
    ]
    assert [group.ranking is not None for group in groups] == [True, False, False]


def test_the_ranking_is_over_the_findings_that_all_runs_score() -> None:
    runs = [
        make_run("all"),
        make_run("early", findings=FINDINGS[:8], better=0.01),
        make_run("late", findings=FINDINGS[5:], better=-0.02),
        make_run("far", pretrained="nih", better=0.03),
    ]
    [group] = compare(make_prepared(), runs, PUBLISHED).groups
    assert group.shared == FINDINGS[5:8]
    assert group.ranking
    # By hand: findings 5 to 7 have a mean of 0.60001 + 0.02 * 6.
    assert column(group.ranking, "Recipe") == ["far", "early", "all", "late"]
    assert column(group.ranking, "Macro AUROC") == ["0.7500", "0.7300", "0.7200", "0.7000"]
    assert column(group.ranking, "Below the first") == ["–", "0.0200", "0.0300", "0.0500"]
    assert column(group.ranking, "Trained")[0] == "pretrained elsewhere, not trained here"
    assert column(group.table, "Finding")[-2:] == ["Mean of all scored", "Mean of the 3 shared"]
    assert [column(group.table, run.name)[-1] for run in runs] == [
        *("0.7200", "0.7300", "0.7000", "0.7500")
    ]
    chexnet = [PUBLISHED["chexnet_2017"].auroc[finding] for finding in FINDINGS[5:8]]
    assert column(group.table, "CheXNet 2017")[-1] == f"{sum(chexnet) / 3:.4f}"


def test_runs_without_a_common_finding_are_not_ranked() -> None:
    runs = [make_run("a", findings=FINDINGS[:5]), make_run("b", findings=FINDINGS[5:])]
    [group] = compare(make_prepared(), runs, PUBLISHED).groups
    assert (group.shared, group.ranking) == ((), None)
    assert column(group.table, "Finding")[-1] == "Mean of all scored"


def test_the_headline_says_over_how_many_findings_a_mean_is_and_what_was_not_trained_here() -> (
    None
):
    runs = [
        make_run("a"),
        make_run("b", findings=FINDINGS[:8]),
        make_run("far", pretrained="densenet121-res224-nih"),
    ]
    table = compare(make_prepared(), runs, PUBLISHED).headline
    assert column(table, "Recipe") == ["a", "b", "far"]
    assert column(table, "Findings") == ["14", "8 of 14", "14"]
    assert column(table, "Source") == [
        *("–", "–", "pretrained elsewhere, not trained here (densenet121-res224-nih)")
    ]


def test_a_split_that_leaves_images_out_is_compared_with_nobody() -> None:
    run = make_run()
    small = run.split.train.model_copy(update={"images": 10_000})
    cut = dataclasses.replace(run, split=run.split.model_copy(update={"train": small}))
    comparison = compare(make_prepared(), [cut], PUBLISHED)
    assert not has_difference(comparison.headline)
    assert "the split leaves out 101,719 images" in comparison.no_difference[0]
    assert not comparison.groups[0].references


def test_each_of_our_columns_stands_before_those_of_others() -> None:
    runs = [make_run(), make_run("b"), make_run("resnet50_frozen")]
    [group] = compare(make_prepared(), runs, PUBLISHED).groups
    titles = [head.title for head in group.table.columns]
    assert titles == [
        *("Finding", "Positives", STEP, "b", "resnet50_frozen"),
        *(f"Source of {STEP}", "Difference", "Source of resnet50_frozen"),
        *("Wang et al. 2017", "Yao et al. 2017", "CheXNet 2017"),
    ]


def test_no_recipe_is_nothing_to_compare() -> None:
    with pytest.raises(InputError, match="recipes is empty"):
        compare(make_prepared(), [], PUBLISHED)


def test_a_missing_reference_is_named() -> None:
    without = {source: s for source, s in PUBLISHED.items() if source != "yao_2017"}
    with pytest.raises(InputError, match="yao_2017"):
        compare(make_prepared(), [make_run()], without)
