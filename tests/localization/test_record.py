import json
from typing import Any

import pytest
from pydantic import ValidationError

from chestxray14.localization.record import (
    THRESHOLDS,
    FindingBoxes,
    Localization,
    Overlap,
    Pointing,
    Shown,
    summarise_localization,
    tabulate_overlaps,
)
from chestxray14.scoring.evaluation import Estimate

SCORES = {
    "accuracy": {"mean": 0.3, "Mass": 0.2, "Nodule": 0.4},
    "random": {"mean": 0.1, "Mass": 0.1, "Nodule": 0.1},
    "centre": {"mean": 0.15, "Mass": 0.3, "Nodule": 0.0},
}
FALSE = {
    "afp": {"mean": 0.6, "Mass": 1.2, "Nodule": 0.0},
    "false_positives_per_image": {"mean": 0.5, "Mass": 1.0, "Nodule": 0.0},
}


def localization(**changes: Any) -> Localization:
    overlap = Overlap(**SCORES, **FALSE)
    content: dict[str, Any] = {
        "method": "cam",
        "label_version": "v2020",
        "split_sha256": "0" * 64,
        "grid_px": 146.28571,
        "images": 6,
        "boxes": 5,
        "left_out": {"train": 3, "val": 0},
        "findings": {
            "Mass": FindingBoxes(
                boxes=3,
                unlabelled=1,
                unlabelled_images=["b.png"],
                called=2,
                predicted=4,
                median_area=1.5,
            ),
            "Nodule": FindingBoxes(
                boxes=2, unlabelled=0, unlabelled_images=[], called=2, predicted=0
            ),
        },
        "iobb": {str(threshold): overlap for threshold in THRESHOLDS["IoBB"]},
        "iou": {str(threshold): overlap for threshold in THRESHOLDS["IoU"]},
        "pointing": Pointing(**SCORES),
        "holds_centre": Pointing(accuracy={}, random={}, centre={}),
        "found": {"mean": Estimate(value=0.5, low=0.25, high=0.75)},
        "shown": [
            Shown(
                file="Mass_hit_1.jpg",
                image="a.png",
                finding="Mass",
                hit=True,
                probability=0.7,
                iobb=0.5,
            )
        ],
    }
    return Localization(**content | changes)


def leaves(content: Any) -> list[Any]:
    if isinstance(content, dict):
        return [leaf for value in content.values() for leaf in leaves(value)]
    return [content]


def test_the_record_is_read_back_from_its_own_json() -> None:
    text = localization().model_dump_json(exclude_none=True)
    assert Localization.model_validate_json(text) == localization()


def test_the_summary_has_words_and_numbers_alone() -> None:
    told = json.loads(json.dumps(summarise_localization(localization())))
    assert all(isinstance(leaf, str | int | float) for leaf in leaves(told))


def test_a_record_without_a_list_of_pictures_is_refused() -> None:
    content = localization().model_dump()
    assert Localization.model_validate(content | {"shown": []}).shown == []
    del content["shown"]
    with pytest.raises(ValidationError, match="shown"):
        Localization.model_validate(content)


@pytest.mark.parametrize(
    "change",
    [{"boxes": -1}, {"boxes": 1.0}, {"seconds": 1}, {"grid_px": float("nan")}, {"grid_px": -1.0}],
)
def test_a_record_takes_nothing_strange(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        localization(**change)


def test_the_summary_has_the_means_at_iobb_25_and_iou_30() -> None:
    hits = {"accuracy": 0.3, "random": 0.1, "centre": 0.15}
    overlap = {**hits, "afp": 0.6, "false_positives_per_image": 0.5}
    assert summarise_localization(localization()) == {
        "method": "cam",
        "label_version": "v2020",
        "split_sha256": "0" * 64,
        "grid_px": 146.28571,
        "images": 6,
        "boxes": 5,
        "left_out": {"train": 3, "val": 0},
        "median_area": {"Mass": 1.5},
        "iobb": {"0.25": overlap},
        "iou": {"0.3": overlap},
        "pointing": hits,
    }


def test_without_boxes_the_summary_has_the_counts_alone() -> None:
    summary = summarise_localization(localization(boxes=0, findings={}))
    assert set(summary) == {
        *("method", "label_version", "split_sha256", "grid_px", "images", "boxes", "left_out")
    }


def test_the_table_has_a_row_for_each_threshold_and_finding_and_their_mean() -> None:
    table = tabulate_overlaps(localization())
    assert list(table.columns) == [
        *("overlap", "threshold", "finding", "boxes", "accuracy", "random", "centre"),
        *("afp", "false_positives_per_image"),
    ]
    assert len(table) == (5 + 7) * 3
    assert table.iloc[0].tolist() == ["IoBB", 0.1, "mean", 5, 0.3, 0.1, 0.15, 0.6, 0.5]
    assert table.iloc[-2].tolist() == ["IoU", 0.7, "Mass", 3, 0.2, 0.1, 0.3, 1.2, 1.0]


def test_the_table_of_no_box_is_empty_and_keeps_its_columns() -> None:
    nothing: dict[str, dict[str, float]] = {key: {} for key in (*SCORES, *FALSE)}
    empty = {"0.1": Overlap(**nothing)}
    table = tabulate_overlaps(localization(boxes=0, findings={}, iobb=empty, iou=empty))
    assert (len(table), len(table.columns)) == (0, 9)
