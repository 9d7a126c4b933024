import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chestxray14.localization.boxes import Boxes, find_boxes, find_peak, hold, intersect, iobb, iou


def spans(most: float) -> st.SearchStrategy[tuple[float, float]]:
    """Return a start and a length that end within `most`."""
    return st.tuples(st.floats(0, most - 1), st.floats(1, most)).map(
        lambda span: (span[0], min(span[1], most - span[0]))
    )


BOX = st.tuples(spans(1024), spans(1024)).map(lambda b: (b[0][0], b[1][0], b[0][1], b[1][1]))
BOXES = st.lists(BOX, max_size=5).map(lambda rows: np.array(rows).reshape(-1, 4))


def paint(box: list[int]) -> np.ndarray:
    """Return the pixels of a box in a picture of 12 pixels a side."""
    x, y, width, height = box
    picture = np.zeros((12, 12), dtype=bool)
    picture[y : y + height, x : x + width] = True
    return picture


WHOLE = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 6), st.integers(1, 6)),
    max_size=5,
).map(lambda rows: np.array(rows, dtype=float).reshape(-1, 4))


@given(WHOLE, WHOLE)
def test_overlaps_are_those_of_counted_pixels(first: Boxes, second: Boxes) -> None:
    shared, union, detected = (f(first, second) for f in (intersect, iou, iobb))
    assert shared.shape == union.shape == detected.shape == (len(first), len(second))
    for i, a in enumerate(map(paint, first.astype(int).tolist())):
        for j, b in enumerate(map(paint, second.astype(int).tolist())):
            assert shared[i, j] == (a & b).sum()
            assert union[i, j] == (a & b).sum() / (a | b).sum()
            assert detected[i, j] == (a & b).sum() / a.sum()


@given(BOXES, BOXES)
def test_iou_is_symmetric_a_share_and_never_above_iobb(first: Boxes, second: Boxes) -> None:
    found = iou(first, second)
    np.testing.assert_array_equal(found, iou(second, first).T)
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()
    assert (iobb(first, second) >= found - 1e-12).all()
    assert (iobb(first, second) <= 1).all()
    np.testing.assert_allclose(np.diag(iou(first, first)), 1)


def test_iobb_divides_by_the_detected_box_alone() -> None:
    small, large = np.array([[10.0, 10, 20, 20]]), np.array([[0.0, 0, 40, 40]])
    assert iobb(small, large) == 1
    assert iobb(large, small) == 0.25
    assert iou(small, large) == 0.25


def test_points_on_the_edge_are_held_and_nan_is_not() -> None:
    box = np.array([[10.0, 20, 30, 40]])
    points = np.array([[10.0, 20], [40, 60], [40.1, 30], [25, 19.9], [np.nan, np.nan]])
    assert hold(box, points).tolist() == [[True, True, False, False, False]]


def flood(lit: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return the box of each region of lit cells, corners touching, walked cell by cell."""
    left = {(int(r), int(c)) for r, c in np.argwhere(lit)}
    boxes = []
    while left:
        todo = [left.pop()]
        region = list(todo)
        while todo:
            r, c = todo.pop()
            near = {(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            todo += near
            region += near
        rows, columns = [r for r, _ in region], [c for _, c in region]
        x, y = min(columns), min(rows)
        boxes.append((x, y, max(columns) + 1 - x, max(rows) + 1 - y))
    return boxes


GREY = arrays(np.float64, (8, 8), elements=st.sampled_from([0, 59, 60, 61, 180, 181, 255]))


@given(GREY)
def test_boxes_surround_what_a_walk_finds_above_60_and_above_180(heatmap: np.ndarray) -> None:
    heatmap[0, 0], heatmap[7, 7] = 0, 255  # The map's own range is then 0 to 255.
    expected = {box for cut in (60, 180) for box in flood(heatmap > cut)}
    assert find_boxes(heatmap)[0].tolist() == [
        [128.0 * side for side in box] for box in sorted(expected)
    ]


@given(GREY, st.sampled_from([0.25, 4.0, 1024.0]), st.integers(-64, 64))
def test_boxes_do_not_depend_on_a_maps_scale_and_turn_with_it(
    heatmap: np.ndarray, factor: float, shift: int
) -> None:
    found, _ = find_boxes(heatmap)
    np.testing.assert_array_equal(find_boxes(heatmap * factor + shift)[0], found)
    turned = find_boxes(heatmap.T)[0][:, [1, 0, 3, 2]]
    assert sorted(turned.tolist()) == found.tolist()


def test_a_hand_drawn_map_has_a_box_for_each_cut_in_1024_pixel_coordinates() -> None:
    heatmap = np.full((32, 32), -5.0, dtype=np.float32)
    heatmap[4:8, 10:20] = 0  # 127.5 of 255
    heatmap[5, 12:14] = 5
    assert find_boxes(heatmap)[0].tolist() == [[320, 128, 320, 128], [384, 160, 64, 32]]
    assert find_boxes(heatmap)[1].tolist() == [[384, 160, 64, 32]]
    assert find_peak(heatmap) == (13.5 * 32, 5.5 * 32)


def test_one_box_of_both_cuts_occurs_once_and_corners_join() -> None:
    heatmap = np.zeros((4, 4))
    heatmap[1, 1] = heatmap[2, 2] = 1
    assert find_boxes(heatmap)[0].tolist() == [[256, 256, 512, 512]]


@pytest.mark.parametrize("value", [0.0, -3.5, np.nan])
def test_a_flat_map_has_no_box_and_points_nowhere(value: float) -> None:
    heatmap = np.full((4, 4), value)
    assert [boxes.shape for boxes in find_boxes(heatmap)] == [(0, 4), (0, 4)]
    assert np.isnan(find_peak(heatmap)).all()


@settings(deadline=None)
@given(arrays(np.int8, (6, 6), elements=st.integers(0, 2)))
def test_a_map_and_its_mirror_image_point_to_mirrored_places(heatmap: np.ndarray) -> None:
    x, y = find_peak(heatmap)
    mirrored = find_peak(heatmap[::-1, ::-1])
    # Among equals as far from the centre, which one counts is free.
    for place, other in zip((x, y), mirrored, strict=True):
        assert np.isnan(place) == np.isnan(other)
    if not np.isnan(x):
        away = {round(np.hypot(a - 512, b - 512), 6) for a, b in ((x, y), mirrored)}
        assert len(away) == 1


def test_where_a_plateau_goes_on_to_the_edge_its_inner_end_counts() -> None:
    heatmap = np.zeros((8, 8))
    heatmap[:3, :3] = 1
    assert find_peak(heatmap) == (2.5 * 128, 2.5 * 128)
    assert find_peak(heatmap[::-1, ::-1]) == (5.5 * 128, 5.5 * 128)


def test_what_the_network_did_not_see_is_in_no_box() -> None:
    heatmap = np.full((8, 8), np.nan)
    heatmap[1:7, 1:7] = 2
    heatmap[3, 4] = 3
    assert find_boxes(heatmap)[0].tolist() == [[512, 384, 128, 128]]
    assert find_peak(heatmap) == (4.5 * 128, 3.5 * 128)
