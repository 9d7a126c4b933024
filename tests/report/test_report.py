"""What the report opens with, that it follows from the numbers, and the form of page and Markdown."""

import base64
import dataclasses
import hashlib
import re

import pytest
from fake_extras import tell_everything
from fake_run import PUBLISHED, RECIPES, STEP, make_floor, make_prepared, make_run, tell
from page import Page

from chestxray14.base.findings import FINDINGS
from chestxray14.report.report import SECTIONS, write_report
from chestxray14.report.results import Run
from chestxray14.report.svg import COLOURS
from chestxray14.scoring.claims import count_comparable
from chestxray14.scoring.evaluation import Estimate

HOSTILE = "<script>alert(1)</script> | `x` *y* [z](javascript:1) & $m$ _u_"


def opening(*runs: Run) -> str:
    """Return the first paragraph of the Markdown's result."""
    text = write_report(tell(*runs)).markdown
    return text[text.index("## Result") :].split("\n\n")[1]


# The message follows from the numbers.


def test_a_clear_lead_names_leader_next_gap_and_certainty() -> None:
    text = opening(make_run("best"), make_run("next", better=-0.1))
    assert "best has the highest" in text
    assert "ahead of the next, next, by 0.1" in text
    assert re.search(r"p = 0\.\d\d\d\)", text)
    assert "do not tell" not in text


def test_a_tie_says_that_patients_do_not_tell_and_from_whom() -> None:
    runs = (
        make_run("best", spread=0.06),
        make_run("next", better=-0.002, spread=0.06),
        make_run("far", better=-0.2),
    )
    text = opening(*runs)
    assert re.search(r"do not tell it from .*\bnext, which is 0\.002 .* below", text)
    assert "ahead" not in text
    assert "far" not in text


def test_a_recipe_alone_has_no_next() -> None:
    text = opening(make_run("lonely"))
    assert "lonely is the only recipe" in text
    assert "next" not in text


def test_too_few_patients_claim_nothing_of_the_order() -> None:
    runs = make_run("best", patients=4), make_run("next", better=-0.1, patients=4)
    text = opening(*runs)
    assert "too few" in text
    assert "ahead" not in text
    assert "p =" not in text


def test_a_recipe_of_fewer_findings_that_is_ahead_over_them_is_said_to_be() -> None:
    few = make_run("few", findings=FINDINGS[:7], better=0.1)
    for others in ([], [make_run("next", better=-0.1)]):
        text = opening(make_run("best"), few, *others)
        assert "best has the highest macro AUROC over its 14 findings" in text
        assert re.search(r"the 7 findings .*few is ahead of best by 0\.100 ", text)
        assert ("ahead of the next, next" in text) is bool(others)


def test_a_recipe_not_told_from_the_leader_is_named_though_the_next_is_behind() -> None:
    few = make_run("few", findings=FINDINGS[:7], better=-0.0005, spread=0.06)
    text = opening(make_run("best"), make_run("next", better=-0.1), few)
    assert "ahead of the next, next" in text
    assert "do not tell it from few" in text


def test_a_higher_mean_over_fewer_findings_is_not_hidden() -> None:
    easy = make_run("easy", findings=FINDINGS[7:], better=-0.01)
    assert easy.scored.mean(easy.findings) > make_run("best").scored.mean(FINDINGS)
    assert "highest macro AUROC over its 14 findings," in opening(make_run("best"), easy)


def test_a_recipe_that_alone_has_all_findings_is_said_to_lead_over_these_alone() -> None:
    weak = make_run("weak", better=-0.2)
    text = opening(
        weak, make_run("few", findings=FINDINGS[:7]), make_run("g", findings=FINDINGS[:7])
    )
    assert "weak has the highest macro AUROC over its 14 findings, all of which it alone" in text


def test_the_highest_is_of_its_split_where_another_split_has_a_higher_one() -> None:
    runs = make_run("a"), make_run("b", better=-0.1), make_run("far", kind="official", better=0.1)
    text = write_report(tell(*runs)).markdown
    assert "a has the highest macro AUROC on split patient" in text
    assert re.search(r"split official, which are others, far reaches 0\.7", text)
    assert "on split" not in opening(*runs[:2], make_run("leak", kind="image"))


def test_more_comparisons_than_the_draws_can_tell_are_not_blamed_on_the_patients() -> None:
    # 100 draws have a least p of 2 / 101: two of it are below 0.05, three are not.
    assert count_comparable(100) == 2

    def shorten(run: Run) -> Run:
        evaluation = run.evaluation.model_copy(update={"draws": 100})
        scored = run.scored._replace(draws=run.scored.draws[:100])
        return dataclasses.replace(run, evaluation=evaluation, scored=scored)

    floor = make_floor()
    floor = floor._replace(draws=floor.draws[:100])
    for others, blamed in ((2, False), (3, True)):
        far = [shorten(make_run(f"far{i}", better=-0.2)) for i in range(others)]
        text = write_report(tell(shorten(make_run("best")), *far, floor=floor)).markdown
        assert ("ahead of the next" in text) is not blamed
        assert ("100 draws, too few for 3 comparisons" in text) is blamed
        assert "patients do not" not in text


def test_equal_recipes_are_not_told_apart_and_no_patients_are_blamed() -> None:
    best = make_run("best")
    twins = [dataclasses.replace(make_run(name), scored=best.scored) for name in ("one", "two")]
    text = opening(best, *twins)
    assert re.search(r"0\.000 \(no interval: .*all draws alike\)", text)
    assert "do not tell it from two," in text


def test_recipes_come_before_more_networks_that_were_pretrained() -> None:
    theirs = [make_run(name, kind="official", pretrained="nih", better=0.1) for name in ("p", "q")]
    assert "mine is the only recipe" in opening(make_run("mine"), *theirs)


def test_a_gap_smaller_than_the_last_digit_of_the_means_is_told_with_more() -> None:
    runs = make_run("best", spread=0.0002), make_run("next", better=-0.0004, spread=0.0002)
    assert re.search(r"ahead of the next, next, by 0\.0004 \(.*0\.0003 to 0\.0005", opening(*runs))


def test_recipes_without_a_common_finding_are_not_called_alone() -> None:
    text = opening(make_run("one", findings=FINDINGS[:8]), make_run("two", findings=FINDINGS[8:]))
    assert "only recipe" not in text
    assert "no other recipe" in text


def test_where_nothing_but_leaks_ran_no_order_is_claimed() -> None:
    report = write_report(
        tell(make_run("leak", kind="image"), make_run("worse", kind="image", better=-0.1))
    )
    first = report.markdown.partition("## Result")[2].partition("| Recipe")[0]
    assert "leak" in first
    assert not re.search("highest|ahead|above|ranked", first)


def test_a_pretrained_network_alone_is_no_recipe_that_ran() -> None:
    text = write_report(tell(make_run("theirs", pretrained="nih"))).markdown
    assert "theirs is the only network" in text
    assert "ran once" not in text


def test_below_metadata_alone_is_said_plainly() -> None:
    text = write_report(tell(make_run(better=-0.1))).markdown
    assert re.search(r"densenet121_step is 0\.0\d+ \(.*\) below that", text)


def test_where_patients_are_not_known_gaps_have_intervals_that_are_called_too_narrow() -> None:
    def forget(run: Run) -> Run:
        return dataclasses.replace(
            run, evaluation=run.evaluation.model_copy(update={"patients": 0})
        )

    text = opening(forget(make_run("best")), forget(make_run("next", better=-0.1)))
    assert re.search(
        r"ahead of the next, next, by 0\.100 \(.*too narrow: 0\.09.*p = 0\.002\)", text
    )
    assert "too few" not in text


def test_the_floor_is_beaten_or_not() -> None:
    run = make_run(spread=0.06)
    told = [
        write_report(tell(run, floor=floor)).markdown
        for floor in (make_floor(), make_floor(better=0.1))
    ]
    assert ["not told from nothing" in text for text in told] == [False, True]


def test_a_leaky_control_is_a_row_and_a_sentence_beside_its_twin() -> None:
    runs = make_run(STEP), make_run("leak", kind="image", better=0.05)
    text = write_report(tell(*runs)).markdown
    rows = [line for line in text.splitlines() if line.startswith("| leak (LEAKY)")]
    assert len(rows) == 1
    assert len(re.findall(rf"leak \(LEAKY\) reaches 0\.\d+ with 7 patients .*{STEP}", text)) == 1


def test_findings_above_metadata_are_those_that_holm_leaves() -> None:
    told = tell(make_run(better=-0.04, spread=0.005))
    gaps = {finding: told.first.above_floor[finding] for finding in FINDINGS}
    above = [finding for finding, gap in gaps.items() if gap.told_apart and gap.value > 0]
    assert above
    assert len(above) < 14
    text = write_report(told).markdown
    assert f"above metadata alone in {len(above)} of 14 " in text


def test_only_findings_with_patients_enough_are_said_to_be_above_metadata_best_or_worst() -> None:
    run, floor = make_run(), make_floor()
    few, many = FINDINGS[-1], [finding for finding in FINDINGS if finding != FINDINGS[-1]]
    patients = dict.fromkeys(FINDINGS, 40) | {few: 9}
    findings = dict(run.evaluation.findings)
    auroc = Estimate(value=findings[few].auroc.value)
    findings[few] = findings[few].model_copy(update={"patients": 9, "auroc": auroc})
    evaluation = run.evaluation.model_copy(update={"findings": findings})
    scored = run.scored._replace(patients=patients)
    told = tell(dataclasses.replace(run, evaluation=evaluation, scored=scored), floor=floor)
    text = write_report(told).markdown
    assert "metadata alone in 13 of 13 findings" in text
    # The highest of all is of nine patients.
    assert f"best in {many[-1].replace('_', ' ')}" in text
    assert f"worst in {many[0].replace('_', ' ')}" in text


@pytest.mark.parametrize(
    ("patients", "told"), [(19, "19 (too few)"), (20, "20 (few)"), (39, "39 (few)"), (40, "40")]
)
def test_few_patients_are_called_few(patients: int, told: str) -> None:
    text = write_report(tell(make_run(patients=patients))).markdown
    assert text.count(f" | {told} | ") == 14


def test_a_finding_that_no_test_image_shows_is_named_and_the_macro_is_over_the_others() -> None:
    run = make_run(findings=FINDINGS[:-1])
    evaluation = run.evaluation.model_copy(update={"one_class": ("Hernia",)})
    text = write_report(tell(dataclasses.replace(run, evaluation=evaluation))).markdown
    assert re.search(r"Hernia; .* over the 13 others", text)


# The page.


def test_the_page_is_whole_closed_named_and_loads_nothing_from_elsewhere() -> None:
    page = Page(write_report(tell_everything()).html)
    assert page.open == []
    ids = [named["id"] for tag, named in page.attributes if "id" in named]
    assert len(ids) == len(set(ids))
    links = [href for href in page.all("href") if href.startswith("#") and len(href) < 20]
    assert {link[1:] for link in links} <= set(ids)
    assert all(source.startswith("data:") for source in page.all("src"))
    for tag, named in page.attributes:
        if tag == "svg":
            assert named["role"] == "img"
            assert named["aria-label"]
        if tag == "table":
            assert named["aria-labelledby"] in ids
        if tag == "img":
            assert named["alt"]
    assert page.visible.count("h1") == 1


def test_with_everything_at_once_the_page_is_short() -> None:
    told = tell_everything()
    page = Page(write_report(told).html)
    assert list(page.sections)[1:] == list(SECTIONS)
    assert page.visible.count("table") <= 12
    assert page.words <= 5_000


def test_no_script_runs_but_the_pages_own() -> None:
    html = write_report(tell(make_run())).html
    [script] = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert "script-src 'unsafe-inline'" not in policy[1]


def test_every_colour_of_the_figures_has_a_light_and_a_dark_one_and_there_is_a_print_style() -> (
    None
):
    html = write_report(tell(make_run())).html
    for name in COLOURS.values():
        assert len(re.findall(rf"--{name}: #", html)) >= 2
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_the_markdown_is_short_and_its_tables_are_rectangular() -> None:
    runs = [make_run(f"recipe{i}", better=-i / 100) for i in range(12)]
    text = write_report(tell(*runs)).markdown
    assert len(text.splitlines()) <= 100
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_hostile_names_are_text_in_both() -> None:
    run = make_run()
    told = tell(dataclasses.replace(run, name=HOSTILE), make_run("other", better=-0.1))
    report = write_report(told)
    assert "<script>alert" not in report.html
    assert Page(report.html).open == []
    assert "\\<script\\>" in report.markdown
    # Nothing is escaped twice.
    assert "\\\\" not in report.markdown


def test_published_numbers_stand_in_the_first_figure_only_where_they_compare() -> None:
    runs = make_run(), make_run("official", kind="official")
    drawn, real = (
        write_report(tell(*runs, prepared=make_prepared(source))).html
        for source in ("phantom", "kaggle")
    )
    figure = re.compile(r'<div class="first">.*?</svg>', re.DOTALL)
    counts = [
        sum(
            s.family == family and not (s.micro or s.implausible)
            for s in PUBLISHED.systems.values()
        )
        for family in ("random patient split", "official split")
    ]
    for html, there in ((drawn, []), (real, counts)):
        found = figure.search(html)
        assert found is not None
        rows = re.findall(r"published, same protocol: (\d+)", found[0])
        assert list(map(int, rows)) == there
    named = re.search("In the first figure: .*", real)
    assert named is not None
    assert [name in named[0] for name in ("CheXNet", "EVA-X-B", "MRM")] == [True, True, False]
    assert "In the first figure" not in drawn
    assert "Drawn radiographs" in drawn
    assert "Drawn radiographs" not in real


def test_every_recipe_of_the_project_can_be_told() -> None:
    runs = [make_run(name, findings=recipe.findings) for name, recipe in RECIPES.items()]
    text = write_report(tell(*runs)).markdown
    assert all(f"\n| {name} |" in text for name in RECIPES)


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
