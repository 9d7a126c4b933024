import dataclasses

import numpy as np
import pytest
from fake_run import (
    PUBLISHED,
    STEP,
    Kind,
    Source,
    compare_runs,
    make_floor,
    make_prepared,
    make_run,
)
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.report.comparison import Comparison
from chestxray14.report.tables import Table

SOURCES: tuple[Source, ...] = ("phantom", "kaggle", "folder")
KINDS: tuple[Kind, ...] = ("patient", "official", "image", "lists")


def tables(comparison: Comparison) -> list[Table]:
    return [
        comparison.headline,
        *(table for group in comparison.groups for table in group.by_finding),
        *(group.ranking for group in comparison.groups if group.ranking),
        *comparison.published.values(),
    ]


def column(table: Table, title: str, note: str = "") -> list[str]:
    """Return the cells of the one column with this title (and note)."""
    [place] = [
        i for i, c in enumerate(table.columns) if c.title == title and c.note.startswith(note)
    ]
    return [row.cells[place].text for row in table.rows]


def notes(table: Table, title: str, note: str = "") -> list[str]:
    """Return what stands in small print in the cells of that column."""
    [place] = [
        i for i, c in enumerate(table.columns) if c.title == title and c.note.startswith(note)
    ]
    return [row.cells[place].note for row in table.rows]


def bounds(draws: NDArray[np.float64]) -> str:
    """Return the 95 % percentile interval of draws by NumPy, as printed."""
    return "{:.3f} to {:.3f}".format(*np.percentile(draws, [2.5, 97.5]))


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
    comparison = compare_runs(*runs, prepared=make_prepared(source, listed=listed))
    whole = source != "phantom" and listed == 112_120
    expected = whole and kind == "patient" and STEP in names
    assert has_difference(comparison.headline) == expected
    [part] = comparison.groups
    assert any(has_difference(table) for table in part.by_finding) == expected
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
    comparison = compare_runs(make_run(kind=kind), prepared=make_prepared(source))
    shown = has_difference(comparison.headline)
    assert len(comparison.no_difference) == (0 if shown else 1)
    assert all(STEP in sentence for sentence in comparison.no_difference)


def test_the_headline_shows_the_metrics_rounded_and_the_published_means() -> None:
    run = make_run()
    table = compare_runs(run).headline
    assert column(table, "Macro AUROC", "this run") == [
        f"{run.evaluation.auroc['macro'].value:.4f}"
    ]
    assert column(table, "Micro AUROC", "this run") == ["0.8124"]
    assert column(table, "Macro AUROC", "its source") == ["0.8454"]
    assert column(table, "Micro AUROC", "its source") == ["0.8878"]
    # By hand: mean of 0.60001 + 0.02 i for i in 0..13 is 0.73001.
    assert column(table, "Difference", "macro") == ["−0.1154"]
    assert column(table, "Difference", "micro") == ["−0.0754"]
    assert column(table, "Its protocol") == ["random patient"]


def test_the_14_rows_hold_ours_the_source_and_the_three_references() -> None:
    [group] = compare_runs(make_run()).groups
    [table] = group.by_finding
    assert column(table, "Finding") == [*(*FINDINGS, "Mean of all scored", "No Finding (derived)")]
    assert column(table, "Positives") == ["20"] * 14 + ["", "20"]
    assert column(table, STEP)[1] == "0.6200"
    assert column(table, f"Source of {STEP}")[1] == "0.9135"
    assert column(table, "Difference")[1] == "−0.2935"
    assert column(table, "Wang et al. 2017")[0] == "0.7160"
    assert column(table, "Yao et al. 2017")[0] == "0.7720"
    assert column(table, "CheXNet 2017") == [
        *(f"{PUBLISHED['chexnet_2017'].auroc[finding]:.4f}" for finding in FINDINGS),
        *("0.8414", "–"),
    ]


def test_a_mean_of_fewer_findings_is_not_compared_with_a_mean_of_14() -> None:
    run = make_run(findings=FINDINGS[:8])
    comparison = compare_runs(run)
    assert not has_difference(comparison.headline)
    assert "8 of 14 findings" in comparison.no_difference[0]
    [table] = comparison.groups[0].by_finding
    assert column(table, "Finding")[-1] == "Mean of the 8 scored here"
    differences = column(table, "Difference")
    # The mean over the very same 8 may be compared.
    assert [text == "–" for text in differences] == [False] * 8 + [True] * 7 + [False]
    theirs = sum(PUBLISHED[STEP].auroc[finding] for finding in FINDINGS[:8]) / 8
    assert column(table, f"Source of {STEP}")[-1] == f"{theirs:.4f}"
    family = comparison.published["random patient split"]
    assert not any(row.tone == "ours" for row in family.rows)


def test_published_numbers_of_another_protocol_are_set_apart_beside_it() -> None:
    comparison = compare_runs(make_run(), prepared=make_prepared("phantom"))
    published = {"0.8454", "0.8878"}
    cells = [cell for row in comparison.headline.rows for cell in row.cells]
    assert {cell.text for cell in cells if cell.apart} == published
    [table] = comparison.groups[0].by_finding
    for place, head in enumerate(table.columns):
        apart = {row.cells[place].apart for row in table.rows if row.cells[place].text != "–"}
        assert apart == {head.note == "random patient"}


def test_systems_are_sorted_within_their_protocol_and_the_doubtful_marked() -> None:
    comparison = compare_runs(make_run(kind="official"))
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
    comparison = compare_runs(make_run(), prepared=make_prepared("phantom"))
    titles = [row.cells[0].text for t in comparison.published.values() for row in t.rows]
    assert sorted(titles) == sorted(s.title for s in PUBLISHED.values() if not s.micro)


def test_a_leaky_run_is_called_so_wherever_it_or_its_split_is_named() -> None:
    comparison = compare_runs(make_run(kind="image"))
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
    groups = compare_runs(*runs).groups
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
    [group] = compare_runs(*runs).groups
    assert group.shared == FINDINGS[5:8]
    assert group.ranking
    # By hand: findings 5 to 7 have a mean of 0.60001 + 0.02 * 6.
    assert column(group.ranking, "Recipe") == ["far", "early", "all", "late"]
    assert column(group.ranking, "Macro AUROC") == ["0.7500", "0.7300", "0.7200", "0.7000"]
    assert column(group.ranking, "Below the first") == ["–", "0.0200", "0.0300", "0.0500"]
    assert column(group.ranking, "Trained")[0] == "pretrained elsewhere, not trained here"
    leader, table = group.by_finding
    assert column(table, "Finding")[-3:] == [
        *("Mean of all scored", "Mean of the 3 shared", "No Finding (derived)")
    ]
    assert [column(table, run.name)[-2] for run in runs] == [
        *("0.7200", "0.7300", "0.7000", "0.7500")
    ]
    # Only who predicts all 14 findings has No Finding.
    assert [column(table, run.name)[-1] for run in runs] == ["0.7000", "–", "–", "0.7000"]
    # The published mean that stands beside the leader is over the 8 findings that it scores.
    chexnet = [PUBLISHED["chexnet_2017"].auroc[finding] for finding in FINDINGS[:8]]
    assert column(leader, "Finding")[-1] == "Mean of the 8 scored here"
    assert column(leader, "CheXNet 2017")[-1] == f"{sum(chexnet) / 8:.4f}"


def test_an_interval_is_that_of_the_draws_over_the_same_findings() -> None:
    runs = [make_run("a"), make_run("b", findings=FINDINGS[:3], better=-0.005)]
    [group] = compare_runs(*runs).groups
    assert group.ranking
    means = [run.draws[:, :3].mean(axis=1) for run in runs]
    assert notes(group.ranking, "Macro AUROC") == [bounds(mean) for mean in means]
    table = {name: notes(group.by_finding[1], name) for name in ("a", "b")}
    assert [table[name][-2] for name in ("a", "b")] == [bounds(mean) for mean in means]
    # The other intervals are those of the evaluation: 0.02 below and 0.03 above each value.
    assert table["a"][:2] == ["0.580 to 0.630", "0.600 to 0.650"]
    assert table["b"][3:14] == [""] * 11
    assert notes(compare_runs(*runs).headline, "Macro AUROC", "this run") == [
        *("0.710 to 0.760", "0.595 to 0.645")
    ]


def test_the_gap_to_the_first_is_paired_draw_by_draw() -> None:
    runs = [make_run("a"), make_run("b", better=-0.005), make_run("c", better=-0.02)]
    [group] = compare_runs(*runs).groups
    assert group.ranking
    gaps = [(runs[0].draws - run.draws).mean(axis=1) for run in runs[1:]]
    assert column(group.ranking, "Below the first") == ["–", "0.0050", "0.0200"]
    assert notes(group.ranking, "Below the first") == [
        *("", *(bounds(gap).replace("-", "−") for gap in gaps))
    ]
    # One is added to the draws beyond 0 and to all 50; at the floor the p value says so.
    beyond = [min((gap <= 0).sum(), (gap >= 0).sum()) for gap in gaps]
    assert beyond[0] > 0
    assert beyond[1] == 0
    assert column(group.ranking, "p") == ["–", f"{2 * (beyond[0] + 1) / 51:.3f}", "< 0.04"]
    # What patients do to both networks alike is in each interval and in no gap.
    alone = np.ptp(np.percentile(runs[1].draws.mean(axis=1), [2.5, 97.5]))
    assert np.ptp(np.percentile(gaps[0], [2.5, 97.5])) < alone / 2


def test_a_gap_that_too_few_draws_have_is_shown_without_an_interval() -> None:
    runs = [make_run("a"), make_run("b", better=-0.005)]
    runs[1].draws[: len(runs[1].draws) * 3 // 4, 0] = np.nan
    [group] = compare_runs(*runs).groups
    assert group.ranking
    assert column(group.ranking, "Below the first") == ["–", "0.0050"]
    assert notes(group.ranking, "Below the first") == ["", ""]
    assert notes(group.ranking, "Macro AUROC")[1] == ""
    assert "p" not in [head.title for head in group.ranking.columns]


def test_runs_on_other_test_images_are_never_paired() -> None:
    runs = [make_run("a"), make_run("b", kind="official"), make_run("c", kind="image")]
    runs[1] = dataclasses.replace(runs[1], draws=runs[1].draws[:7])
    assert [group.ranking for group in compare_runs(*runs).groups] == [None] * 3


def test_the_leader_is_the_best_recipe_over_what_all_score_and_never_a_pretrained_network() -> (
    None
):
    low, high = make_run("low"), make_run("high", findings=FINDINGS[:5], better=0.01)
    far = make_run("far", pretrained="nih", better=0.1)
    # Its own 14 findings have the higher mean, the 5 that both score the lower one.
    assert low.auroc["macro"] > high.auroc["macro"]
    assert compare_runs(low, high, far).groups[0].leader is high
    # Nothing is shared: each by its own mean.
    late = make_run("late", findings=FINDINGS[5:])
    assert compare_runs(high, late).groups[0].leader is late
    assert compare_runs(far).groups[0].leader is far


def test_metadata_alone_stands_beside_the_leader_with_its_own_intervals() -> None:
    small = dataclasses.replace(make_run("b", better=0.1), protocol="small")
    floors = {"patient": make_floor(), "small": make_floor(better=0.1)}
    few = make_run("a", findings=FINDINGS[:4])
    [group] = compare_runs(few, small, floors=floors).groups
    # Two splits have these test images: the floor is that of the leader's.
    floor = column(group.by_finding[0], "Metadata alone")
    assert floor[:3] == ["0.6000", "0.6100", "0.6200"]
    assert floor[14:] == ["0.6650", "–"]
    assert notes(group.by_finding[0], "Metadata alone")[0] == "0.560 to 0.650"
    [group] = compare_runs(few, floors=floors).groups
    floor = column(group.by_finding[0], "Metadata alone")
    # By hand: the mean of 0.50 to 0.53, and of their draws.
    assert (floor[0], floor[14], floor[15]) == ("0.5000", "0.5650", "0.5150")
    mean = floors["patient"].draws[:, :4].mean(axis=1)
    assert notes(group.by_finding[0], "Metadata alone")[15] == bounds(mean)


def test_runs_without_a_common_finding_are_not_ranked() -> None:
    runs = [make_run("a", findings=FINDINGS[:5]), make_run("b", findings=FINDINGS[5:])]
    [group] = compare_runs(*runs).groups
    assert (group.shared, group.ranking) == ((), None)
    assert "shared" not in " ".join(column(group.by_finding[1], "Finding"))


def test_the_headline_says_over_how_many_findings_a_mean_is_and_what_was_not_trained_here() -> (
    None
):
    runs = [
        make_run("a"),
        make_run("b", findings=FINDINGS[:8]),
        make_run("far", pretrained="densenet121-res224-nih"),
    ]
    table = compare_runs(*runs).headline
    assert column(table, "Recipe") == ["a", "b", "far"]
    assert column(table, "Findings") == ["14", "8 of 14", "14"]
    assert column(table, "Source") == [
        *("–", "–", "pretrained elsewhere, not trained here (densenet121-res224-nih)")
    ]


def test_a_split_that_leaves_images_out_is_compared_with_nobody() -> None:
    run = make_run()
    small = run.split.train.model_copy(update={"images": 10_000})
    cut = dataclasses.replace(run, split=run.split.model_copy(update={"train": small}))
    comparison = compare_runs(cut)
    assert not has_difference(comparison.headline)
    assert "the split leaves out 101,719 images" in comparison.no_difference[0]
    assert not comparison.groups[0].references


def test_the_leader_stands_beside_the_references_and_all_runs_stand_side_by_side() -> None:
    runs = [make_run("b"), make_run(better=0.01), make_run("resnet50_frozen", better=-0.01)]
    runs += [make_run("far", pretrained="nih", better=0.1)]
    [group] = compare_runs(*runs).groups
    leader, table = ([head.title for head in one.columns] for one in group.by_finding)
    assert leader == [
        *("Finding", "Positives", STEP, "Metadata alone", f"Source of {STEP}", "Difference"),
        *("Wang et al. 2017", "Yao et al. 2017", "CheXNet 2017"),
    ]
    # The highest first, what was pretrained elsewhere last; the leader's source is above.
    assert table == [
        *("Finding", "Positives", STEP, "b", "resnet50_frozen", "far"),
        "Source of resnet50_frozen",
    ]
    runs[2] = make_run("b", better=0.02)
    assert "Difference" in [
        head.title for head in compare_runs(*runs[1:3]).groups[0].by_finding[1].columns
    ]


def test_a_leaky_group_is_no_honest_one_unless_there_is_no_other() -> None:
    fair, leak = make_run("a"), make_run("b", kind="image", better=0.1)
    comparison = compare_runs(leak, fair, make_run("c", kind="official"))
    assert [group.leader.name for group in comparison.groups] == ["a", "c", "b"]
    assert [group.leader.name for group in comparison.honest] == ["a", "c"]
    assert [group.leader.name for group in compare_runs(leak).honest] == ["b"]


def test_the_names_of_a_group_do_not_move_with_its_leader() -> None:
    for better in (0.1, -0.1):
        small = dataclasses.replace(make_run("b", better=better), protocol="small")
        [group] = compare_runs(small, make_run("a")).groups
        assert (group.anchor, group.splits) == ("patient", "splits patient, small")


def test_no_recipe_is_nothing_to_compare() -> None:
    with pytest.raises(InputError, match="recipes is empty"):
        compare_runs()


def test_a_missing_reference_is_named() -> None:
    without = {source: s for source, s in PUBLISHED.items() if source != "yao_2017"}
    with pytest.raises(InputError, match="yao_2017"):
        compare_runs(make_run(), published=without)
