"""What single sections say, and that it follows from the numbers."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from fake_extras import (
    add_experts,
    make_agreement,
    make_expert_scores,
    make_localization,
    make_outlined,
    make_transfer,
)
from fake_run import make_floor, make_prepared, make_run, make_test, tell
from page import Page
from sklearn.metrics import recall_score

from chestxray14.base.findings import FINDINGS
from chestxray14.files.predictions import Predicted
from chestxray14.report.gallery import Picture
from chestxray14.report.leader import count_wrong_calls, find_confused, sort_gaps
from chestxray14.report.overview import describe_published, describe_result
from chestxray14.report.report import write_report
from chestxray14.report.results import Run
from chestxray14.report.sections import Told
from chestxray14.scoring.evaluation import Attribute, Difference, Estimate, Gap, Subgroup


def page(told: Told) -> Page:
    return Page(write_report(told).html)


# Result and published numbers.


def test_every_row_stands_beside_metadata_alone_over_its_own_findings() -> None:
    floor = make_floor()
    few = make_run("few", findings=FINDINGS[:7])
    figure = describe_result(tell(make_run(), few, floor=floor))["figure"]
    at = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert at.pop(0) == 0.5
    assert at == [pytest.approx(floor.mean(findings)) for findings in (FINDINGS, FINDINGS[:7])]


def test_published_means_are_told_from_the_highest_on() -> None:
    told = tell(make_run())
    families = describe_published(told)["families"]
    for systems in families.values():
        means = [system.mean_auroc for system in systems]
        assert means == sorted(means, reverse=True)
    for family in ("official split", "published lists"):
        highest = max(s.mean_auroc for s in families[family] if not s.implausible)
        assert f"{highest:.4g} (" in page(told).sections["published"]


def test_decimals_follow_the_narrowest_interval_of_the_ranking() -> None:
    wide, narrow = make_run("best"), make_run("next", better=-0.1)
    macro = Estimate(value=0.5, low=0.4985, high=0.5015)
    auroc = {**narrow.evaluation.auroc, "macro": macro}
    evaluation = narrow.evaluation.model_copy(update={"auroc": auroc})
    told = tell(wide, dataclasses.replace(narrow, evaluation=evaluation))
    assert (tell(wide).macro_digits, told.macro_digits) == (3, 4)


# Decisions, calibration, groups.


def test_the_diagonal_is_sensitivity_and_beside_it_stand_wrong_calls_alone() -> None:
    test, names = make_test(), ("Mass", "Nodule")
    wrong, anyway = count_wrong_calls(test, {"Mass": 0.3, "Nodule": 0.6})
    calls = test.scores(names) >= [0.3, 0.6]
    labels = test.labels(names)
    for row in range(2):
        share = recall_score(labels[:, row], calls[:, row])
        assert wrong[row, row] == pytest.approx(share)
        other = 1 - row
        without = labels[:, other] == 0
        # Of these images none has the other finding, so that all calls of it are wrong.
        share = recall_score(labels[without, row], calls[without, other])
        assert wrong[row, other] == pytest.approx(share)
        specificity = recall_score(labels[:, row], calls[:, row], pos_label=0)
        assert anyway[row] == pytest.approx(1 - specificity)


def test_a_finding_that_no_image_shows_is_no_number_of_the_matrix() -> None:
    test = make_test()
    none = type(test)(test.known.assign(Mass=0), test.probabilities)
    wrong, _ = count_wrong_calls(none, {"Mass": 0.3, "Nodule": 0.6})
    assert np.isnan(wrong[0]).all()
    assert not np.isnan(wrong[1]).any()


@pytest.mark.parametrize(("patients", "label"), [(19, "Nodule"), (20, "Mass")])
def test_what_is_taken_for_what_is_not_chosen_for_being_few(patients: int, label: str) -> None:
    # Masses are always called edema, nodules in half of the images, nothing else ever is.
    names = ["Mass", "Nodule", "Edema"]
    kinds = ["Mass"] * patients + ["Nodule"] * 40 + ["none"] * 40 + ["Edema"] * 20
    known = pd.DataFrame({name: [int(kind == name) for kind in kinds] for name in names})
    # Two images of one patient are one patient.
    known = pd.concat([known, known[:patients]], ignore_index=True)
    known["patient"] = [*range(len(kinds)), *range(patients)]
    calls = np.where(known["Mass"] == 1, 1.0, (known["Nodule"] == 1) & (known.index % 2 == 0))
    scores = pd.DataFrame({"Mass": 0.0, "Nodule": 0.0, "Edema": calls})
    test = Predicted(known, scores)
    wrong, anyway = count_wrong_calls(test, dict.fromkeys(names, 0.5))
    confused = find_confused(test, wrong, anyway, findings=names)
    assert confused is not None
    assert confused[:2] == (label, "Edema")
    assert confused[2] == (1.0 if label == "Mass" else 0.5)


def test_decisions_show_both_sides_and_the_counts_beside_every_threshold() -> None:
    rows = page(tell(make_run())).tables["At Youden's threshold"]
    assert [row["Finding"] for row in rows] == list(FINDINGS)
    row = rows[0]
    shares = {name: row[name].split(" ", 1) for name in ("Sensitivity", "Specificity", "NPV")}
    assert [value for value, _ in shares.values()] == ["0.70", "0.69", "0.95"]
    assert all(" to " in bounds for _, bounds in shares.values())
    counts = ("Hits", "False alarms", "Missed", "Rejected")
    assert [row[name] for name in counts] == ["14", "56", "6", "124"]


def test_recipes_that_platt_makes_no_better_are_named() -> None:
    runs = make_run("gains", ece=(0.1, 0.03)), make_run("loses", better=-0.1, ece=(0.03, 0.04))
    told = page(tell(*runs))
    assert "for 1 of 2 networks: loses." in told.sections["calibration"]
    rows = told.tables["Expected calibration error, mean over the findings"]
    assert [list(row.values())[:5] for row in rows] == [
        ["gains", "0.100", "0.020", "0.030", "0.020"],
        ["loses", "0.030", "0.020", "0.040", "0.020"],
    ]


def test_gaps_are_sorted_by_the_bound_nearest_0_and_not_by_size() -> None:
    gaps = {
        "small and sure": (-0.1, -0.15, -0.05),
        "large and open": (0.4, -0.1, 0.8),
        "middle": (0.2, 0.01, 0.4),
        "no bounds": (0.9, None, None),
    }
    order = sort_gaps(
        (name, "men", Gap(value=value, low=low, high=high, positives=20))
        for name, (value, low, high) in gaps.items()
    )
    assert [name for name, *_ in order] == ["small and sure", "middle", "large and open"]


def test_groups_of_which_none_is_apart_say_so() -> None:
    assert "one gap in sensitivity" in page(tell(make_run())).sections["groups"]


def make_groups(*names: str, low: float | None, high: float | None) -> Run:
    """Return a run whose groups differ in the sensitivity for a mass, the first one behind."""
    groups = {
        name: Subgroup(
            images=100,
            patients=60,
            tpr_gap={"Mass": Gap(value=place - 0.5, low=low, high=high, positives=30)},
        )
        for place, name in enumerate(names)
    }
    run = make_run()
    subgroups = {"sex": Attribute(shared=(), unknown=0, groups=groups)}
    return dataclasses.replace(
        run, evaluation=run.evaluation.model_copy(update={"subgroups": subgroups})
    )


def test_the_gap_of_two_groups_is_one_and_that_of_three_is_three() -> None:
    two = page(tell(make_groups("women", "men", low=-0.9, high=0.9)))
    assert [row["Group"] for row in two.tables["Gaps in sensitivity, the surest first"]] == [
        "women"
    ]
    three = page(tell(make_groups("a", "b", "c", low=-0.9, high=0.9)))
    assert len(three.tables["Gaps in sensitivity, the surest first"]) == 3


def test_gaps_without_bounds_are_not_blamed_on_few_patients() -> None:
    text = page(tell(make_groups("women", "men", low=None, high=None))).sections["groups"]
    assert "all draws are alike" in text
    assert "No two groups" not in text


def test_rules_that_decide_on_fewer_findings_say_on_how_many() -> None:
    run = make_run()
    points = dict(run.evaluation.operating_points)
    five = FINDINGS[:5]
    points["youden"] = points["youden"].model_copy(
        update={
            "thresholds": dict.fromkeys(five, 0.1),
            "decisions": {name: points["youden"].decisions[name] for name in five},
        }
    )
    evaluation = run.evaluation.model_copy(update={"operating_points": points})
    told = page(tell(dataclasses.replace(run, evaluation=evaluation)))
    assert "5 of 14 findings" in told.sections["decisions"]
    assert "Youden, 5 findings" in told.tables["Mean over the findings"][0]
    assert "Youden" in page(tell(run)).tables["Mean over the findings"][0]


def test_what_perfect_calibration_has_too_is_neither_gain_nor_loss() -> None:
    run = make_run(ece=(0.012, 0.019))
    assert "no change" in page(tell(run)).sections["calibration"]


def test_limits_of_the_dataset_name_the_views_that_it_cut() -> None:
    run = dataclasses.replace(make_run("best"), views="centre")
    assert "views ten_crop → centre" in page(tell(run)).sections["ran"]


def test_another_dataset_without_patients_has_intervals_that_are_called_too_narrow() -> None:
    run = make_run()
    there = make_transfer(run, ("Mass", "Edema"))
    images = dataclasses.replace(
        there, evaluation=there.evaluation.model_copy(update={"patients": 0})
    )
    for transfer, narrow in ((there, False), (images, True)):
        told = page(tell(run, transfers=[transfer]))
        assert ("too narrow" in told.sections["elsewhere"]) is narrow
        assert (
            "Patients" in told.tables["Other datasets, mean over the findings of both"][0]
        ) is not narrow


def test_a_leak_has_no_decisions_calibration_groups_and_boxes() -> None:
    run = make_run(kind="image")
    leak = dataclasses.replace(run, localization=make_localization(run.split.test.sha256))
    assert not {"decisions", "calibration", "groups", "boxes"} & set(page(tell(leak)).sections)


# Boxes.


def add_boxes(*, found: float = 0.6, nih: int = 8, inside: float | None = None) -> Run:
    """Return a run whose heatmaps find a share of NIH's boxes, and maybe of ChestX-Det's."""
    run = make_run()
    sha256 = run.split.test.sha256
    return dataclasses.replace(
        run,
        localization=make_localization(sha256, boxes=nih, found=found),
        outlined=None if inside is None else make_outlined(sha256, inside=inside),
    )


@pytest.mark.parametrize(("found", "better"), [(0.6, True), (0.54, False)])
def test_boxes_found_are_better_where_the_interval_is_above_noise_and_centre(
    found: float, better: bool
) -> None:
    shown = page(tell(add_boxes(found=found)))
    words = shown.sections["boxes"]
    assert f"find {found:.2f} (95 % interval" in words
    assert "noise find 0.50 and one box in the centre 0.30" in words
    assert ("better than both" in words) is better
    [row] = shown.tables["Boxes found, mean over the findings"]
    assert (row["Boxes"], row["Found"].split()[0], row["Noise"]) == ("8", f"{found:.2f}", "0.50")
    assert not {"Drawn by", "Heat inside outlines"} & set(row)


@pytest.mark.parametrize(("inside", "more"), [(0.4, True), (0.25, False)])
def test_chestx_dets_boxes_and_outlines_stand_beside_nihs(inside: float, more: bool) -> None:
    shown = page(tell(add_boxes(inside=inside)))
    words = shown.sections["boxes"]
    assert "8 drawn boxes" in words
    assert re.search(
        r"They find 0\.20 \(.*\) of 5 boxes of ChestX-Det; .*: (worse|not told)", words
    )
    assert f"hold {inside:.2f} of the heat and 0.25 of the image" in words
    assert ("no more than that" in words) is not more
    rows = shown.tables["Boxes found, mean over the findings"]
    columns = "Drawn by", "Boxes", "Heat inside outlines", "Their share of the image"
    assert [[row[column] for column in columns] for row in rows] == [
        ["NIH", "8", "–", "–"],
        ["ChestX-Det", "5", f"{inside:.2f}", "0.25"],
    ]


def test_chestx_det_alone_is_told_where_no_box_of_nihs_counts() -> None:
    words = page(tell(add_boxes(nih=0, inside=0.4))).sections["boxes"]
    assert "The heatmaps of densenet121_step find 0.20" in words
    assert "boxes" not in page(tell(add_boxes(nih=0))).sections


# Radiologists.


def test_radiologists_are_counted_in_words_figures_readers_and_labels() -> None:
    made = {
        "Mass": make_expert_scores(0.8, gap=Difference(value=0.1, low=0.05, high=0.15, p=0.01)),
        "Edema": make_expert_scores(0.6),
        "Hernia": make_expert_scores(None),
    }
    run = add_experts(make_run(), made=made)
    shown = page(tell(run, agreement=make_agreement("Mass", "Fracture")))
    words = shown.sections["experts"]
    assert "On 90 test images" in words
    assert re.search(r"in 1 of 1 finding \(1 .*: .* 1 above 0, 0 below\)", words)
    assert re.search(r"reader in 2 of 2 comparisons \(0 ", words)
    assert "75 %" in words
    assert [row["Finding"] for row in shown.tables["Against radiologists"]] == ["Mass", "Edema"]
    assert len(shown.tables["Single readers"]) == 2
    labels = shown.tables["The labels against radiologists"]
    columns = "Theirs", "The labels'", "Confirmed", "Kappa"
    assert [[row[column] for column in columns] for row in labels] == [
        ["30", "20", "0.75", "0.40"],
        ["30", "–", "–", "0.40"],
    ]
    assert len([label for label in shown.all("aria-label") if ", set made." in label]) == 2
    assert "experts" not in page(tell(make_run())).sections


def test_findings_that_the_labels_are_too_few_for_are_scored_all_the_same() -> None:
    shown = page(tell(add_experts(make_run(), made={"Edema": make_expert_scores(0.6)})))
    assert "is scored in 1 finding;" in shown.sections["experts"]
    assert "with any finding" not in shown.sections["experts"]
    assert [row["Finding"] for row in shown.tables["Against radiologists"]] == ["Edema"]


# Elsewhere.


def test_own_test_other_test_difference_and_drift_stand_side_by_side() -> None:
    run, findings = make_run(), ("Mass", "Edema")
    shown = page(tell(run, transfers=[make_transfer(run, findings)]))
    [mean] = shown.tables["Other datasets, mean over the findings of both"]
    singles = shown.tables["Other datasets by finding"]
    assert [row["Finding"] for row in singles] == list(findings)
    there = make_run("there", findings=findings, better=-0.1).scored.draws.mean(axis=1)
    columns = [run.findings.index(name) for name in findings]
    draws = there - run.scored.draws[:, columns].mean(axis=1)
    bounds = [f"{bound:.2f}".replace("-", "−") for bound in np.percentile(draws, [2.5, 97.5])]
    assert mean["There less own"] == f"−0.10 {' to '.join(bounds)}"
    assert (mean["Images"], mean["Patients"]) == ("200", "50")
    drifts = [row["Predicted less observed"].split()[0] for row in (mean, *singles)]
    assert drifts == ["0.02", "0.05", "−0.01"]
    assert "The same after Platt" not in mean


def test_a_drift_over_other_findings_than_the_mean_is_left_out_of_it() -> None:
    run = make_run(findings=FINDINGS[:4])
    shown = page(tell(run, transfers=[make_transfer(run, FINDINGS[2:6])]))
    [mean] = shown.tables["Other datasets, mean over the findings of both"]
    assert mean["Findings"] == "2"
    assert "Predicted less observed" not in mean
    assert "Predicted less observed" in shown.tables["Other datasets by finding"][0]


def test_a_dataset_without_a_shared_finding_is_named() -> None:
    run = make_run(findings=("Hernia",))
    shown = page(tell(run, transfers=[make_transfer(run, ("Mass", "Edema"))]))
    assert "densenet121_step on chexpert" in shown.sections["elsewhere"]
    assert not [caption for caption in shown.tables if caption.startswith("Other datasets")]
    assert "elsewhere" not in page(tell(run)).sections


# What ran.


def test_what_was_skipped_and_what_is_not_known_is_told() -> None:
    run = make_run()
    test = run.split.test.model_copy(update={"unknown": {"Mass": 12}})
    run = dataclasses.replace(run, split=run.split.model_copy(update={"test": test}))
    own = make_prepared().model_copy(
        update={"source": "table", "own_patients": True, "dataset": "mine"}
    )
    report = write_report(tell(run, prepared=own, skipped={"best": "the dataset lacks Mass"}))
    assert re.search(r"not run: best\b", report.markdown)
    other = write_report(tell(make_run())).html
    for words in ("the dataset lacks Mass", "Mass 12 of 200 test images", "counts as its own"):
        assert words in report.html
        assert words not in other
    # The labels are not NIH's, and so no published number and no word on theirs fits.
    assert "Cite the dataset mine" in report.html
    assert "A program mined" not in report.html


def test_flat_images_skipped_steps_and_batches_in_pieces_are_said() -> None:
    run = make_run()
    assert run.trained is not None
    changes = {"device": "cuda", "precision": "fp16", "images_at_once": 8, "skipped_steps": 3}
    run = dataclasses.replace(run, trained=run.trained.model_copy(update=changes))
    names = [f"0000000{i}_000.png" for i in range(7)]
    prepared = make_prepared().model_copy(update={"flat": 7, "flat_images": ", ".join(names[:5])})
    shown = page(tell(run, prepared=prepared)).sections
    device = "fp16, 3 steps skipped, batch normalisation by pieces of 8 images"
    assert device in shown["training"]
    assert [name for name in names if name in shown["ran"]] == names[:5]
    assert "next to nothing" not in page(tell(make_run())).sections["ran"]


# Images.


def test_images_may_hold_no_false_alarm() -> None:
    picture = Picture("missed", "Mass", "a.png", b"jpeg", ("Mass",), (("Mass", 0.1),))
    words = page(tell(make_run(), pictures=[picture])).sections["gallery"]
    assert "most confident" not in words
    alarm = dataclasses.replace(picture, kind="false alarm", truth=("Edema",))
    words = page(tell(make_run(), pictures=[picture, alarm])).sections["gallery"]
    assert re.search(r"Mass, 0\.10, in an image labelled Edema", words)
