import dataclasses

import pytest
from fake_run import PUBLISHED, RECIPES, STEP, Source, compare_runs, make_prepared, make_run
from reading import column, texts, words

from chestxray14.base.findings import FINDINGS
from chestxray14.report.comparison import Comparison
from chestxray14.report.look_alikes import describe_look_alikes, find_twin
from chestxray14.report.results import Run
from chestxray14.report.sections import Section
from chestxray14.report.tables import Table
from chestxray14.scoring.evaluation import LookAlikes

FROZEN = RECIPES["resnet50_frozen"]
BY_IMAGE = RECIPES["resnet50_frozen_by_image"]


def frozen(better: float = 0.0) -> Run:
    return make_run("resnet50_frozen", recipe=FROZEN, better=better)


def by_image(better: float = 0.1) -> Run:
    return make_run("by_image", kind="image", recipe=BY_IMAGE, better=better)


def with_look_alikes(
    run: Run, *, micro_15: float | None = None, training_images: float | None = None
) -> Run:
    found = LookAlikes(
        label_accuracy=0.91236,
        all_negative=0.9,
        micro_15=micro_15,
        training_images=training_images,
    )
    return dataclasses.replace(
        run, evaluation=run.evaluation.model_copy(update={"look_alikes": found})
    )


def only(comparison: Comparison) -> tuple[Section, Table]:
    [section] = describe_look_alikes(comparison)
    [table] = section.tables
    return section, table


def test_each_number_is_the_one_that_was_measured() -> None:
    section, table = only(compare_runs(make_run(), frozen(), by_image()))
    assert section.title == "Why 0.9561 is no macro AUROC to compare with"
    leaky = "by_image (LEAKY)"
    assert texts(table, "Recipe") == [STEP, "resnet50_frozen", leaky]
    assert texts(table, "Macro AUROC", "test part") == ["0.7300", "0.7300", "–"]
    assert texts(table, "Label accuracy", "at 0.5") == ["0.9124"] * 3
    assert texts(table, "Label accuracy", "calling nobody") == ["0.9000"] * 3
    assert texts(table, "Micro AUROC") == ["0.8568"] * 3
    assert texts(table, "Macro AUROC", "on training images") == ["0.9877"] * 3
    # Only the recipe that is alike in all but the split has the leaky number beside its own.
    assert texts(table, "Macro AUROC", "split by image (LEAKY)") == ["–", "0.8300", "0.8300"]
    assert [row.tone for row in table.rows] == ["", "", "doubtful"]


def test_a_leaky_auroc_never_stands_where_the_number_to_compare_does() -> None:
    section, table = only(compare_runs(by_image()))
    assert not [c for c in table.columns if c.note.startswith("test part")]
    assert column(table, "Macro AUROC", "split by image")["by_image (LEAKY)"].text == "0.8300"
    assert "every recipe here is LEAKY" in " ".join(section.text)


def test_only_the_first_group_that_keeps_patients_apart_is_shown() -> None:
    _, table = only(compare_runs(by_image(), frozen(), make_run("elsewhere", kind="official")))
    assert texts(table, "Recipe") == ["resnet50_frozen", "by_image (LEAKY)"]


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (by_image(), True),
        (make_run("x", kind="image", recipe=BY_IMAGE.model_copy(update={"seed": 1})), False),
        (make_run("x", kind="image", recipe=BY_IMAGE, findings=FINDINGS[1:]), False),
        (make_run("x", kind="official", recipe=FROZEN), False),
        (make_run("x", kind="image", pretrained="nih"), False),
    ],
)
def test_a_twin_differs_in_the_split_alone(other: Run, found: bool) -> None:
    assert find_twin(frozen(), [frozen(), other]) is (other if found else None)
    assert find_twin(make_run("x", pretrained="nih"), [other]) is None


@pytest.mark.parametrize(
    ("training", "said"),
    [
        (0.95612, "is found under: Macro AUROC (on training images)."),
        (0.956, "No number in the table is that high."),
    ],
)
def test_the_claim_is_set_beside_what_reaches_it(training: float, said: str) -> None:
    run = with_look_alikes(make_run(), training_images=training, micro_15=0.9)
    text = words(describe_look_alikes(compare_runs(run)))
    others = [s.mean for s in PUBLISHED.values() if not s.micro and s.mean < 0.95]
    assert (
        f"{PUBLISHED['resnet50_frozen'].title} claims 0.9561; no other macro AUROC listed here is "
        f"above {max(others):.4f}. "
    ) in text
    assert said in text
    assert "The claim is listed, never compared." in text


def test_a_claim_with_a_value_for_each_finding_is_told_from_one_number_over_all_labels() -> None:
    claim = PUBLISHED["resnet50_frozen"]
    assert claim.mean == pytest.approx(sum(claim.auroc.values()) / 14)
    told = "The source prints 14 values, one a finding, and 0.9561 is their mean."
    notebook = "Its notebook splits by image and, after loading trained weights, shuffles anew"
    said = words(describe_look_alikes(compare_runs(make_run())))
    assert told in said
    assert notebook in said
    other = PUBLISHED | {"else": dataclasses.replace(claim, source="else")}
    del other["resnet50_frozen"]
    said = words(describe_look_alikes(compare_runs(make_run(), published=other)))
    assert told in said
    assert notebook not in said
    stated = PUBLISHED | {"resnet50_frozen": dataclasses.replace(claim, auroc={})}
    said = words(describe_look_alikes(compare_runs(make_run(), published=stated)))
    assert told not in said
    assert notebook not in said


def test_what_could_not_be_computed_is_said_and_has_no_column() -> None:
    section, table = only(compare_runs(with_look_alikes(make_run())))
    assert [c.title for c in table.columns] == [
        "Recipe",
        "Findings",
        "Macro AUROC",
        "Label accuracy",
        "Label accuracy",
    ]
    [missing] = [line for line in section.text if line.startswith("Not computed")]
    assert missing.count(f"(not for {STEP})") == 3
    assert not [
        line
        for line in only(compare_runs(frozen(), by_image()))[0].text
        if line.startswith("Not computed")
    ]


@pytest.mark.parametrize("source", ["phantom", "kaggle", "folder"])
def test_only_drawn_images_are_said_to_prove_the_arithmetic_alone(source: Source) -> None:
    comparison = compare_runs(make_run(), prepared=make_prepared(source))
    said = words(describe_look_alikes(comparison))
    assert ("They prove the arithmetic" in said) == (source == "phantom")


def test_without_an_implausible_claim_the_heading_names_none() -> None:
    plausible = {
        name: system for name, system in PUBLISHED.items() if "implausible" not in system.evidence
    }
    assert len(plausible) == len(PUBLISHED) - 1
    section, _ = only(compare_runs(make_run(), published=plausible))
    assert section.title == "What looks like a macro AUROC and is none"
    assert "claims" not in " ".join(section.text)
