import dataclasses
import re

import pytest
from fake_run import (
    PUBLISHED,
    RECIPES,
    STEP,
    Source,
    compare_runs,
    make_prepared,
    make_run,
    make_training,
)

from chestxray14.report.caveats import list_caveats, list_citations
from chestxray14.report.comparison import Comparison
from chestxray14.report.results import Run


def make_comparison(name: str = STEP, *, source: Source = "kaggle") -> Comparison:
    return compare_runs(make_run(name), prepared=make_prepared(source))


def test_every_auroc_stands_beside_the_paper_or_repository_it_is_from() -> None:
    sources = [system.title for system in PUBLISHED.values()]
    sources += ["et al. 2018", "et al. 2019", "LalehSeyyed/CheXclusion"]
    numbers = {
        point: re.findall(r"0\.\d{3,4}", point) for point in list_caveats(make_comparison())
    }
    told = [point for point, found in numbers.items() if found]
    # Protocol, seeds, two averages of one model.
    assert len(told) == 3
    assert all(any(source in point for source in sources) for point in told)


def test_the_spread_of_seeds_holds_the_mean_that_is_listed_for_them() -> None:
    [point] = [point for point in list_caveats(make_comparison()) if "Five seeds" in point]
    lowest, highest = map(float, re.findall(r"0\.\d{4}", point))
    assert lowest < PUBLISHED["chexclusion_2021"].mean < highest


def test_the_averages_of_one_model_are_those_of_its_source() -> None:
    [point] = [p for p in list_caveats(make_comparison()) if "Averages of one model" in p]
    assert f"{PUBLISHED[STEP].title} reports 0.8454 macro and 0.8878 micro" in point


@pytest.mark.parametrize(
    ("source", "words"),
    [("kaggle", "This run: the original labels of 2017."), ("phantom", "This run: phantom")],
)
def test_the_label_version_of_the_run_is_named(source: Source, words: str) -> None:
    assert words in " ".join(list_caveats(make_comparison(source=source)))


def test_only_drawn_radiographs_need_no_citation_and_their_model_is_cited_all_the_same() -> None:
    drawn = list_citations(make_comparison(source="phantom"))
    real = list_citations(make_comparison())
    assert "are drawn and need no citation" in drawn[0]
    assert real[0] == "The radiographs and labels are NIH ChestX-ray14."
    assert drawn[1:] == real[1:]
    assert "arXiv:1705.02315" in real[1]


def test_frozen_random_layers_are_told_apart_from_frozen_pretrained_ones() -> None:
    recipe = RECIPES["resnet50_frozen"]
    run = make_run(recipe=recipe)
    training = make_training(recipe)
    trained = training.trained.model_copy(update={"weights": "imagenet"})
    pretrained = dataclasses.replace(run, training=dataclasses.replace(training, trained=trained))
    for made, expected in ((run, True), (pretrained, False), (make_run(), False)):
        points = list_caveats(compare_runs(made))
        assert any("as they were drawn at random" in point for point in points) == expected


def trained_by(version: str, name: str) -> Run:
    run = make_run(name)
    assert run.training is not None
    trained = run.training.trained.model_copy(update={"torch": version})
    return dataclasses.replace(run, training=dataclasses.replace(run.training, trained=trained))


def test_recipes_trained_by_different_versions_of_torch_are_named_by_version() -> None:
    runs = [
        trained_by("2.12.0", "first"),
        trained_by("2.11.0", "second"),
        trained_by("2.12.0", "third"),
        make_run("far", pretrained="densenet121-res224-nih"),
    ]
    [point] = [each for each in list_caveats(compare_runs(*runs)) if "torch" in each]
    assert "2.11.0: second; 2.12.0: first, third." in point
    assert "far" not in point
    alike = list_caveats(compare_runs(runs[0], *runs[2:]))
    assert not any("of torch" in each or "2.12.0" in each for each in alike)


def test_what_is_doubtful_of_a_run_is_said_beside_its_name() -> None:
    sound, doubtful = make_run("sound"), make_run("doubtful")
    found = doubtful.evaluation.model_copy(update={"doubts": ("one fault", "another")})
    doubtful = dataclasses.replace(doubtful, evaluation=found)
    [point] = [each for each in list_caveats(compare_runs(sound, doubtful)) if "fault" in each]
    assert "doubtful. one fault; another." in point
    assert "sound" not in point


def test_a_network_pretrained_elsewhere_may_have_seen_the_test_images() -> None:
    runs = [make_run(), make_run("far", pretrained="densenet121-res224-nih")]
    text = " ".join(list_caveats(compare_runs(*runs)))
    assert "far (densenet121-res224-nih)" in text
    assert "may have seen test images of ours and score too high" in text
    assert "Pretrained elsewhere" not in " ".join(list_caveats(make_comparison()))


def test_what_an_interval_covers_and_what_was_chosen_where_is_said() -> None:
    text = " ".join(list_caveats(make_comparison()))
    assert "by drawing the test patients with replacement" in text
    assert "Efron & Tibshirani 1993" in text
    assert "They hold neither the luck of training nor another hospital." in text
    assert (
        "Our epoch, our thresholds and our calibration are chosen on the validation part" in text
    )
    assert "Which recipe leads is decided on the test part" in text


def test_flat_images_are_named_where_there_are_any() -> None:
    comparison = make_comparison()
    assert not [point for point in list_caveats(comparison) if point.startswith("Flat")]
    names = [f"0000000{i}_000.png" for i in range(7)]
    for flat in (1, 5, 7):
        prepared = comparison.prepared.model_copy(
            update={"flat": flat, "flat_images": names[:flat]}
        )
        points = list_caveats(dataclasses.replace(comparison, prepared=prepared))
        [point] = [point for point in points if point.startswith("Flat images. ")]
        assert f", {flat} show next to nothing" in point
        assert [name for name in names if name in point] == names[: min(flat, 5)]
        assert ("and others" in point) == (flat > 5)
