from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import mean, median

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from chestxray14.base.findings import BOXED_FINDINGS
from chestxray14.data.boxes import SIDES, read_boxes
from chestxray14.data.labels import read_labels
from chestxray14.localization.baselines import CENTRE
from chestxray14.localization.boxes import NO_BOXES, Boxes
from chestxray14.localization.cases import Case, make_cases
from chestxray14.localization.record import (
    THRESHOLDS,
    Localization,
    Shown,
    summarise_localization,
    tabulate_overlaps,
)
from chestxray14.localization.score import score_cases
from chestxray14.scoring.bootstrap import draw_patients
from chestxray14.scoring.evaluation import Estimate

BOXES = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 4), st.integers(1, 4)),
    max_size=3,
    unique=True,
).map(lambda rows: np.array(rows, dtype=float).reshape(-1, 4) * 64)
CASES = st.lists(
    st.builds(
        Case,
        image=st.sampled_from(["a.png", "b.png", "c.png", "d.png"]),
        finding=st.sampled_from(["Cardiomegaly", "Mass", "Nodule"]),
        truth=BOXES,
        found=BOXES,
        hot=BOXES,
        peak=st.tuples(*[st.integers(0, 10).map(lambda cell: cell * 64.0 + 32)] * 2),
        probability=st.floats(0, 1),
        called=st.booleans(),
        labelled=st.booleans(),
    ),
    unique_by=lambda case: (case.image, case.finding),
    max_size=12,
)
PICTURE = Shown(
    file="Mass_hit_1.jpg", image="a.png", finding="Mass", hit=True, probability=0.7, iobb=0.5
)


def case(**changes: object) -> Case:
    """Make a case of Mass that is found on the spot, and called."""
    box = np.array([[0.0, 0, 64, 64]])
    plain = Case(
        "a.png", "Mass", box, box, box, peak=(32, 32), probability=0.5, called=True, labelled=True
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def score(
    cases: Iterable[Case],
    *,
    grid_px: float = 256,
    resolution: int = 16,
    patients: Mapping[str, int] | None = None,
) -> Localization:
    return score_cases(
        list(cases),
        method="cam",
        label_version="v2020",
        split_sha256="0" * 64,
        grid_px=grid_px,
        resolution=resolution,
        left_out={"train": 7},
        patients=patients or {"a.png": 1, "b.png": 1, "c.png": 2, "d.png": 3},
        draws=100,
        seed=0,
        shown=[PICTURE],
    )


def box(*sides: float) -> Boxes:
    return np.array([sides], dtype=float)


def paint(sides: list[float]) -> np.ndarray:
    """Return the pixels, of 64 pixels a side, that a box covers."""
    x, y, width, height = (int(side // 64) for side in sides)
    picture = np.zeros((16, 16), dtype=bool)
    picture[y : y + height, x : x + width] = True
    return picture


def overlap(kind: str, found: list[float], truth: list[float]) -> float:
    a, b = paint(found), paint(truth)
    return float((a & b).sum() / (a.sum() if kind == "IoBB" else (a | b).sum()))


def holds(sides: list[float], point: tuple[float, float]) -> bool:
    x, y, width, height = sides
    return x <= point[0] <= x + width and y <= point[1] <= y + height


@settings(max_examples=30, deadline=None)
@given(CASES)
def test_scores_are_those_of_loops_over_boxes(cases: list[Case]) -> None:
    scored = score(cases)
    total = sum(len(case.truth) for case in cases)
    images = len({case.image for case in cases})
    findings = [f for f in BOXED_FINDINGS if any(c.finding == f and len(c.truth) for c in cases)]
    assert (scored.boxes, scored.images, list(scored.findings)) == (total, images, findings)
    for kind, at in (("IoBB", scored.iobb), ("IoU", scored.iou)):
        assert list(at) == [str(t) for t in THRESHOLDS[kind]]  # type: ignore[index]
        for threshold, scores in at.items():
            accuracy, false = {}, {}
            for finding in findings:
                own = [case for case in cases if case.finding == finding]
                hit = [
                    any(overlap(kind, f, d) > float(threshold) for f in c.found.tolist())
                    for c in own
                    for d in c.truth.tolist()
                ]
                accuracy[finding] = mean(map(float, hit))
                false[finding] = sum(
                    not any(overlap(kind, f, d) > float(threshold) for d in c.truth.tolist())
                    for c in own
                    if c.called
                    for f in c.found.tolist()
                )
            assert_averages(scores.accuracy, accuracy)
            assert_averages(scores.afp, {f: n / total for f, n in false.items()})
            assert_averages(
                scores.false_positives_per_image, {f: n / images for f, n in false.items()}
            )


@settings(max_examples=30, deadline=None)
@given(CASES)
def test_counts_and_points_are_those_of_loops_over_boxes(cases: list[Case]) -> None:
    scored = score(cases)
    pointing, held = {}, {}
    for finding, found in scored.findings.items():
        own = [case for case in cases if case.finding == finding]
        truth = [(c, sides) for c in own for sides in c.truth.tolist()]
        areas = [100 * paint(f).mean() for c in own if len(c.truth) for f in c.found.tolist()]
        assert found.boxes == len(truth)
        assert found.unlabelled == sum(not c.labelled for c, _ in truth)
        assert found.unlabelled_images == sorted({c.image for c, _ in truth if not c.labelled})
        assert found.called == sum(c.called for c in own)
        assert found.predicted == len(areas)
        assert found.median_area == (pytest.approx(median(areas), abs=1e-5) if areas else None)
        pointing[finding] = mean(float(holds(sides, c.peak)) for c, sides in truth)
        middles = [(c, (x + w / 2, y + h / 2)) for c, (x, y, w, h) in truth]
        if finding in ("Mass", "Nodule"):
            held[finding] = mean(
                float(any(holds(f, middle) for f in c.hot.tolist())) for c, middle in middles
            )
    assert_averages(scored.pointing.accuracy, pointing)
    assert scored.holds_centre.accuracy == pytest.approx(held, abs=1e-5)


def assert_averages(found: dict[str, float], expected: dict[str, float]) -> None:
    """Check the values of findings and, before them, their mean."""
    if expected:
        expected = {"mean": mean(expected.values()), **expected}
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(CASES)
def test_accuracy_falls_and_false_positives_rise_with_the_threshold(cases: list[Case]) -> None:
    scored = score(cases)
    for at in (scored.iobb, scored.iou):
        for finding in scored.findings:
            accuracy = [scores.accuracy[finding] for scores in at.values()]
            assert accuracy == sorted(accuracy, reverse=True)
            afp = [scores.afp[finding] for scores in at.values()]
            assert afp == sorted(afp)


def test_an_overlap_of_exactly_the_threshold_is_no_hit() -> None:
    quarter = score([case(found=box(32, 32, 64, 64))])
    assert quarter.iobb["0.1"].accuracy["Mass"] == 1
    assert quarter.iobb["0.25"].accuracy["Mass"] == 0
    assert quarter.iobb["0.25"].afp["Mass"] == 1
    half = score([case(found=box(0, 0, 64, 32))])
    assert (half.iou["0.4"].accuracy["Mass"], half.iou["0.5"].accuracy["Mass"]) == (1, 0)


def test_a_small_box_in_a_large_lesion_has_all_iobb_and_little_iou() -> None:
    scored = score([case(found=box(8, 8, 16, 16))])
    assert scored.iobb["0.9"].accuracy["Mass"] == 1
    assert scored.iou["0.1"].accuracy["Mass"] == 0


def test_two_boxes_on_one_lesion_are_one_hit_and_no_false_positive() -> None:
    scored = score([case(found=np.concatenate([box(0, 0, 32, 32), box(32, 32, 32, 32)]))])
    assert scored.iobb["0.5"].accuracy["Mass"] == 1
    assert scored.iobb["0.5"].afp["Mass"] == 0


def test_false_positives_come_from_all_images_called_positive_and_from_no_other() -> None:
    astray = box(512, 512, 64, 64)
    cases = [
        case(),
        case(image="b.png", truth=NO_BOXES, found=astray),
        case(image="c.png", truth=NO_BOXES, found=astray, called=False),
        case(image="d.png", found=astray, called=False),
        case(image="d.png", finding="Nodule", found=NO_BOXES),
    ]
    scores = score(cases).iobb["0.1"]
    assert scores.accuracy == {"mean": 0.25, "Mass": 0.5, "Nodule": 0}
    assert scores.afp == {"mean": 0.16667, "Mass": 0.33333, "Nodule": 0}
    assert scores.false_positives_per_image == {"mean": 0.125, "Mass": 0.25, "Nodule": 0}


def test_a_box_of_another_finding_is_no_hit() -> None:
    cases = [case(found=NO_BOXES), case(finding="Nodule", truth=NO_BOXES)]
    scored = score(cases)
    assert scored.iobb["0.1"].accuracy["Mass"] == 0
    assert list(scored.findings) == ["Mass"]


def test_the_centre_baseline_is_scored_as_a_box_of_half_the_side() -> None:
    cases = [
        case(finding="Cardiomegaly", truth=box(256, 256, 512, 256), found=NO_BOXES),
        case(truth=box(0, 0, 100, 100)),
    ]
    scored = score(cases)
    assert CENTRE.tolist() == [[256, 256, 512, 512]]
    assert scored.iobb["0.25"].centre == {"mean": 0.5, "Cardiomegaly": 1, "Mass": 0}
    assert scored.iobb["0.5"].centre["Cardiomegaly"] == 0
    assert scored.pointing.centre == {"mean": 0.5, "Cardiomegaly": 1, "Mass": 0}
    assert scored.holds_centre.centre == {"Mass": 0}


def test_without_a_threshold_there_are_no_false_positives_to_count_not_none() -> None:
    astray = box(900, 900, 100, 100)
    cases = [
        case(finding="Mass", truth=box(0, 0, 100, 100), found=astray, called=None),
        case(finding="Nodule", truth=box(0, 0, 100, 100), found=astray),
    ]
    scores = score(cases).iobb["0.25"]
    assert scores.afp == {"mean": 0.5, "Nodule": 0.5}
    assert scores.false_positives_per_image == {"mean": 1, "Nodule": 1}
    assert scores.accuracy == {"mean": 0, "Mass": 0, "Nodule": 0}
    summary = summarise_localization(score(cases[:1]))
    assert "afp" not in summary["iobb"]["0.25"]
    table = tabulate_overlaps(score(cases)).query("finding == 'Mass'")
    assert table["afp"].isna().all()


def test_noise_points_into_a_box_as_often_as_the_box_is_large() -> None:
    quarter = box(0, 0, 512, 512)
    cases = [case(image=f"{i}.png", truth=quarter, found=NO_BOXES) for i in range(200)]
    share = score(cases).pointing.random["Mass"]
    # 2,000 draws: four standard errors are 0.039.
    assert share == pytest.approx(0.25, abs=0.039)


def boxes_of(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [(*row, 128.0, 256.0, 128.0, 128.0) for row in rows], columns=["image", "finding", *SIDES]
    )


def test_cases_pair_each_map_with_the_boxes_of_its_image_and_finding() -> None:
    heatmaps = np.zeros((2, 2, 8, 8))
    heatmaps[:, :, 2, 1] = 1
    cases = make_cases(
        heatmaps,
        images=["a.png", "b.png"],
        findings=["Mass", "Nodule"],
        boxes=boxes_of(("b.png", "Nodule"), ("c.png", "Mass")),
        probabilities=np.array([[0.9, 0.2], [0.1, 0.3]]),
        thresholds=[0.9, None],
        labelled=np.array([[False, False], [False, True]]),
    )
    assert [(c.image, c.finding, len(c.truth), len(c.found)) for c in cases] == [
        ("a.png", "Mass", 0, 1),
        ("a.png", "Nodule", 0, 0),
        ("b.png", "Mass", 0, 0),
        ("b.png", "Nodule", 1, 1),
    ]
    assert [c.called for c in cases] == [True, None, False, None]
    assert [c.labelled for c in cases] == [False, False, False, True]
    assert cases[3].peak == (192, 320)
    assert cases[3].hot.tolist() == cases[3].found.tolist() == [[128, 256, 128, 128]]
    scored = score(cases)
    assert scored.iou["0.7"].accuracy == {"mean": 1, "Nodule": 1}
    assert scored.pointing.accuracy == {"mean": 1, "Nodule": 1}
    assert scored.images == 2


@pytest.mark.slow
def test_of_nihs_boxes_188_lack_the_label_in_the_original_file_and_none_in_the_new_one(
    nih_metadata: dict[str, bytes],
) -> None:
    path = SHARED / "nih-metadata/BBox_List_2017.csv"
    boxes = read_boxes(path.read_bytes(), name=str(path))
    for name, missing in (("Data_Entry_2017.csv", 188), ("Data_Entry_2017_v2020.csv", 0)):
        labels = read_labels(nih_metadata[name], name=name).set_index("image")
        labelled = labels.loc[boxes["image"].unique(), list(BOXED_FINDINGS)].astype(bool)
        cases = make_cases(
            np.zeros((*labelled.shape, 1, 1)),
            images=list(labelled.index),
            findings=BOXED_FINDINGS,
            boxes=boxes,
            probabilities=np.zeros(labelled.shape),
            thresholds=[0.5] * len(BOXED_FINDINGS),
            labelled=labelled.to_numpy(),
        )
        scored = score(cases, grid_px=1024, resolution=1)
        assert (scored.boxes, scored.images) == (984, 880)
        assert [found.boxes for found in scored.findings.values()] == [
            *(180, 146, 153, 123, 85, 79, 120, 98)
        ]
        assert sum(found.unlabelled for found in scored.findings.values()) == missing


def test_without_a_box_that_counts_nothing_is_scored_and_nothing_fails() -> None:
    for scored in (score([]), score([case(truth=NO_BOXES)])):
        assert scored.boxes == 0
        assert not scored.findings
        assert scored.shown == [PICTURE]
        assert scored.pointing.accuracy == scored.iobb["0.1"].afp == {}


@pytest.mark.parametrize(("patients", "bounded"), [(20, True), (19, False)])
def test_boxes_found_have_an_interval_over_patients_where_there_are_enough(
    patients: int, bounded: bool
) -> None:
    images = [f"{i}.png" for i in range(60)]
    hits = np.random.default_rng(0).random(60) < 0.4
    cases = [
        case(image=image, found=box(0, 0, 64, 64) if hit else NO_BOXES)
        for image, hit in zip(images, hits, strict=True)
    ]
    owners = {image: i % patients for i, image in enumerate(images)}
    scored = score(cases, patients=owners)
    assert list(scored.found) == ["mean", "Mass"]
    found = scored.found["Mass"]
    assert found.value == scored.iobb["0.25"].accuracy["Mass"] == round(hits.mean(), 5)
    if not bounded:
        assert found == Estimate(value=found.value)
        return
    counts = draw_patients([owners[image] for image in images], draws=100, seed=0).counts
    expected = np.percentile([np.repeat(hits, count).mean() for count in counts.T], [2.5, 97.5])
    assert [found.low, found.high] == pytest.approx(expected, abs=1e-5)
