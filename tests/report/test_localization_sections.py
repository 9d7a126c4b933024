import dataclasses
from collections.abc import Sequence

import pytest
from fake_run import (
    NIH_BOXES,
    STEP,
    compare_runs,
    make_localization,
    make_overlay,
    make_prepared,
    make_run,
)
from reading import column, find, words

from chestxray14.base.findings import BOXED_FINDINGS, FINDINGS
from chestxray14.localization.record import Localization
from chestxray14.report.localization_examples import Overlay
from chestxray14.report.localization_sections import describe_localization
from chestxray14.report.results import Run
from chestxray14.report.sections import Section
from chestxray14.report.tables import Table

TITLES = {number: f"Wang et al. 2017 Table {number}" for number in (19, 4, 7)}


def localized(run: Run, localization: Localization | None) -> Run:
    return dataclasses.replace(run, localization=localization)


def describe(*runs: Run, phantom: bool = False, overlays: Sequence[Overlay] = ()) -> list[Section]:
    prepared = make_prepared("phantom" if phantom else "kaggle")
    return describe_localization(compare_runs(*runs, prepared=prepared), overlays)


def official(name: str = STEP) -> Run:
    """Return a run whose split has all readable images, as NIH's lists do."""
    return make_run(name, kind="official")


def overlaps(section: Section) -> tuple[Table, Table]:
    """Return the tables of IoBB and of IoU."""
    _, _, iobb, iou = section.tables
    return iobb, iou


def test_what_is_measured_is_said_once_and_first() -> None:
    sections = describe(make_run())
    assert [section.anchor for section in sections] == ["localization", "localization-patient"]
    told = words(sections[:1])
    assert "scaled to 0 to 255, and each region above 60, and each above 180" in told
    assert "IoBB is intersection over the detected box alone: it is generous to small" in told
    assert "maps of noise on the same grid, and one box of 512 px in the image's centre" in told
    assert "do not say which images they take" in told
    assert "the radiologists' boxes" in told


def test_every_run_has_its_grid_its_boxes_and_its_means_beside_both_baselines() -> None:
    fine = make_localization(sha256=make_run().evaluation.split_sha256).model_copy(
        update={"grid_px": 512.0, "method": "grad_cam_plus_plus"}
    )
    runs = [make_run("a", better=0.01), localized(make_run("b"), fine)]
    table = find(describe(*runs), "localization-patient").tables[0]
    assert {name: cell.text for name, cell in column(table, "Cell").items()} == {
        "a": "146",
        "b": "512",
    }
    assert [cell.text for cell in column(table, "Method").values()] == ["CAM", "Grad-CAM++"]
    assert column(table, "Boxes")["a"].text == "984"
    assert column(table, "Findings")["a"].text == "8"
    # By hand: 0.92 - 0.08 i of eight findings is 0.64 in the mean; less by the threshold's share.
    for title, ours, noise, centre in (
        ("IoBB > 0.25", "0.480", "0.240", "0.096"),
        ("IoU > 0.3", "0.448", "0.224", "0.090"),
        ("Pointing", "0.512", "0.256", "0.102"),
    ):
        cell = column(table, title)["a"]
        assert (cell.text, cell.note) == (ours, f"noise {noise}, centre {centre}")
    assert column(table, "AFP", "at IoBB > 0.25")["a"].text == "0.160"


def test_left_out_boxes_have_their_reasons_and_unlabelled_ones_are_named() -> None:
    section = find(describe(make_run()), "localization-patient")
    assert section.points == (
        (
            "984 of 1,018 boxes count, on 880 images; left out are 30 on training images, 4 on "
            "validation images. Of those that count, 3 are on images that lack the label of their "
            "finding (Cardiomegaly 1, Effusion 2)."
        ),
    )


def test_runs_with_other_boxes_have_a_sentence_each() -> None:
    few = make_run("few", findings=FINDINGS[:2])
    assert few.localization
    left_out = few.localization.left_out | {"in_no_part": 2, "not_predicted": 658}
    few = localized(few, few.localization.model_copy(update={"left_out": left_out}))
    points = find(describe(make_run(), few), "localization-patient").points
    assert len(points) == 2
    assert points[0].startswith(f"{STEP}: 984 of 1,018 boxes")
    assert points[1].startswith("few: 326 of 1,020 boxes count, on 880 images; left out are 30 on")
    assert "2 on images of no part, 658 of findings that are not predicted." in points[1]


def test_the_leader_is_said_to_beat_the_baselines_only_where_it_does() -> None:
    told = find(describe(make_run()), "localization-patient").text[0]
    assert told == (
        f"At IoBB above 0.25 the heatmaps of {STEP} find 0.480 of the boxes in the mean over 8 "
        "findings (984 boxes), maps of noise 0.240, one box in the centre 0.096."
    )
    worse = localized(make_run(), make_localization(better=-0.7))
    told = find(describe(worse), "localization-patient").text[0]
    assert told.endswith("That is not above maps of noise.")
    worst = localized(make_run(), make_localization(better=-0.9))
    told = find(describe(worst), "localization-patient").text[0]
    assert told.endswith("That is not above maps of noise or one box in the centre.")


def test_each_threshold_has_the_leader_its_baselines_and_the_published_tables() -> None:
    iobb, iou = overlaps(find(describe(official()), "localization-official"))
    assert [c.title for c in iobb.columns] == ["IoBB", *BOXED_FINDINGS, "Mean"]
    assert [cell.text for cell in iobb.rows[0].cells] == [
        "Boxes",
        *map(str, NIH_BOXES.values()),
        "984",
    ]
    assert [row.cells[0].text for row in iobb.rows[1:6]] == [
        "> 0.1 this run",
        "> 0.1 noise",
        "> 0.1 centre",
        f"> 0.1 {TITLES[19]}",
        f"> 0.1 {TITLES[4]}",
    ]
    assert (len(iobb.rows), len(iou.rows)) == (1 + 5 * 5, 1 + 7 * 4)
    effusion, mean = column(iobb, "Effusion"), column(iobb, "Mean")
    # By hand: (0.92 - 0.16) of 0.75, its half, its fifth.
    for who, share in (("this run", "0.570"), ("noise", "0.285"), ("centre", "0.114")):
        assert effusion[f"> 0.25 {who}"].text == share
    assert effusion["> 0.25 this run"].note == "AFP 0.190"
    theirs = effusion[f"> 0.25 {TITLES[19]}"]
    assert (theirs.text, theirs.note) == ("0.634", "AFP 0.688")
    assert mean[f"> 0.25 {TITLES[19]}"].text == "0.546"
    assert column(iou, "Mass")[f"> 0.3 {TITLES[7]}"].text == "0.153"


def apart(table: Table, title: str) -> set[bool]:
    return {
        cell.apart for row in table.rows if title in row.cells[0].text for cell in row.cells[1:]
    }


def test_on_the_official_split_with_all_boxes_table_19_is_beside_and_chestxray8_apart() -> None:
    section = find(describe(official()), "localization-official")
    iobb, iou = overlaps(section)
    assert apart(iobb, TITLES[19]) == {False}
    assert apart(iobb, TITLES[4]) == apart(iou, TITLES[7]) == {True}
    assert apart(iobb, "this run") == {False}
    assert section.text[1:] == (
        (
            f"In italics, not to be compared: {TITLES[4]}, {TITLES[7]}; their network learned the "
            "labels of ChestX-ray8."
        ),
        f"On the same boxes, after the same kind of split: {TITLES[19]}. Its AFP may be of other images.",
    )
    assert TITLES[19] in section.figures[0]
    assert TITLES[4] not in section.figures[0]


@pytest.mark.parametrize(
    ("run", "phantom", "reason"),
    [
        (make_run(), False, "the published protocol is “official”, this split is of the kind"),
        (official(), True, "these radiographs are drawn"),
        (
            localized(official(), make_localization(boxes=NIH_BOXES | {"Mass": 84})),
            False,
            "of its 984 boxes 983 count here",
        ),
        (make_run(kind="image"), False, "the split is LEAKY"),
    ],
)
def test_elsewhere_every_published_table_is_apart_with_the_reason(
    run: Run, phantom: bool, reason: str
) -> None:
    section = describe(run, phantom=phantom)[1]
    for table in overlaps(section):
        assert apart(table, "Wang") == {True}
    assert any(TITLES[19] in line and reason in line for line in section.text)
    assert "On the same boxes" not in words([section])
    assert "Wang" not in section.figures[0]


def test_drawn_boxes_are_not_called_a_radiologists() -> None:
    sections = describe(make_run(), phantom=True, overlays=[make_overlay()])
    told = words(sections)
    assert "the drawn boxes that a box of the network overlaps" in told
    assert "NIH's are by radiologists, and none of this run's numbers is about those." in told
    assert "Cyan is the box as drawn" in told
    assert "radiologists' boxes" not in told


def test_a_leak_beside_an_honest_run_has_a_table_of_its_own_and_nothing_else() -> None:
    sections = describe(make_run(), make_run("peeking", kind="image"))
    fair, leak = sections[1:]
    assert (fair.anchor, leak.anchor) == ("localization-patient", "localization-image")
    assert len(leak.tables) == 1
    assert not leak.figures
    assert list(column(leak.tables[0], "Boxes")) == ["peeking (LEAKY)"]
    assert "LEAKY" in leak.title
    assert list(column(fair.tables[0], "Boxes")) == [STEP]
    assert len(describe(make_run("peeking", kind="image"))[1].tables) == 4


def test_without_a_box_that_counts_a_sentence_says_so_and_why() -> None:
    [_, section] = describe(localized(make_run(), make_localization(boxes={})))
    assert section.text == ("No box counts here, so nothing is scored.",)
    assert section.points == (
        "0 of 34 boxes count; left out are 30 on training images, 4 on validation images.",
    )
    assert not section.tables
    assert not section.figures


def test_a_dataset_without_boxes_says_so() -> None:
    none = make_localization(boxes={}).model_copy(update={"left_out": {"train": 0, "val": 0}})
    [_, section] = describe(localized(make_run(), none))
    assert section.points == ("The dataset has no box.",)


def test_a_leader_without_boxes_has_a_row_of_dashes_beside_the_others() -> None:
    leader = localized(make_run("leader", better=0.01), make_localization(boxes={}))
    section = find(describe(leader, make_run()), "localization-patient")
    assert section.text == ("No box counts for leader, so it has no table by finding.",)
    [table] = section.tables
    assert column(table, "IoBB > 0.25")["leader"].text == "–"
    assert column(table, "AFP")["leader"].text == "–"
    assert column(table, "AFP")[STEP].text == "0.160"


def test_one_finding_alone_is_told_in_the_singular() -> None:
    section = find(describe(make_run(findings=FINDINGS[1:2])), "localization-patient")
    assert "in the mean over 1 finding (146 boxes)" in section.text[0]
    # The mean over other findings is another number.
    assert apart(overlaps(section)[0], TITLES[19]) == {True}


def test_what_was_pretrained_elsewhere_is_said_to_have_no_heatmaps() -> None:
    sections = describe(make_run(), make_run("far", pretrained="nih"))
    assert "No heatmaps are drawn for far." in words(sections)
    assert list(column(sections[1].tables[0], "Boxes")) == [STEP]
    assert describe(make_run("far", pretrained="nih")) == []


def test_by_finding_there_are_boxes_areas_and_the_lesions_centres() -> None:
    table = find(describe(make_run()), "localization-patient").tables[1]
    assert list(column(table, "Boxes")) == list(BOXED_FINDINGS)
    assert column(table, "Median area")["Effusion"].text == "12.3"
    assert column(table, "Median area")["Mass"].text == "–"
    assert column(table, "Unlabelled")["Effusion"].text == "2"
    pointing = column(table, "Pointing")["Cardiomegaly"]
    assert (pointing.text, pointing.note) == ("0.672", "noise 0.336, centre 0.134")
    held = column(table, "Centre held")
    assert [name for name in held if held[name].text != "–"] == ["Mass"]


def test_pictures_stand_in_a_section_of_their_own_where_there_are_any() -> None:
    overlays = [make_overlay(hit=True), make_overlay(hit=False)]
    section = describe(make_run(), overlays=overlays)[-1]
    assert (section.anchor, section.overlays) == ("localization-pictures", tuple(overlays))
    assert section.title == f"Hits and misses of {STEP}"
    assert "hit where a box of the network has an IoBB above 0.25" in section.text[0]
    assert "Cyan is the box of a radiologist" in section.text[0]
    assert find(describe(make_run()), "localization-patient").overlays == ()
