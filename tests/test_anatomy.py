"""The normal chest: same draw, same picture; dark lungs, bright heart; the patient persists."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from chestxray14 import anatomy
from chestxray14.anatomy import Body, Pose


def body(seed: int = 0, *, age: float = 50, sex: str = "M") -> Body:
    return anatomy.draw_body(np.random.default_rng(seed), age=age, sex=sex)


def pose(seed: int = 0, *, portable: bool = False) -> Pose:
    drawn = anatomy.draw_pose(np.random.default_rng(seed), portable=portable)
    return replace(drawn, border=(0, 0, 0, 0), wires=0, marker=None)


def film(who: Body, how: Pose, px: int = 128) -> NDArray[np.uint8]:
    return anatomy.expose(anatomy.lay_out(who, how, px))


def test_the_same_seeds_draw_the_same_picture_and_others_another() -> None:
    first = film(body(1), pose(1))
    assert first.dtype == np.uint8
    assert first.shape == (128, 128)
    np.testing.assert_array_equal(first, film(body(1), pose(1)))
    assert (first != film(body(2), pose(1))).mean() > 0.5


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_lungs_are_dark_and_heart_and_abdomen_bright(seed: int, portable: bool) -> None:
    who, how = body(seed, sex="FM"[seed % 2]), pose(seed, portable=portable)
    chest = anatomy.lay_out(who, how, 128)
    grey = anatomy.expose(chest).astype(float)
    clear = (chest.wall > 0.04) & (np.abs(chest.x) > 0.17)
    lungs = grey[(chest.lungs[-1] + chest.lungs[1] > 0.99) & clear].mean()
    floor = max(chest.body.dome)
    heart = grey[(abs(chest.x - 0.06) < 0.05) & (abs(chest.y - floor + 0.08) < 0.05)].mean()
    abdomen = grey[(abs(chest.x) < 0.2) & (abs(chest.y - floor - 0.14) < 0.03)].mean()
    assert lungs + 60 < heart
    assert lungs + 80 < abdomen


@pytest.mark.parametrize("other", [256, 512])
def test_the_picture_is_the_same_at_every_size(other: int) -> None:
    calm = replace(pose(3), noise=0.0)
    small, large = film(body(3), calm).astype(float), film(body(3), calm, other)
    times = other // 128
    reduced = large.reshape(128, times, 128, times).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), reduced.ravel())[0, 1] > 0.995
    assert np.abs(small - reduced).mean() < 5


def test_two_studies_of_a_patient_are_more_alike_than_two_patients() -> None:
    def alike(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        middle = np.s_[20:100, 20:108]
        return float(np.corrcoef(a[middle].ravel(), b[middle].ravel())[0, 1])

    poses = [pose(seed) for seed in range(4)]
    firsts = [film(body(seed), poses[0]) for seed in range(4)]
    others = [[film(body(seed), how) for how in poses[1:]] for seed in range(4)]
    same = np.mean([alike(first, other) for first, row in zip(firsts, others, strict=True)
                    for other in row])  # fmt: skip
    strangers = np.mean([alike(firsts[i], other) for i in range(4) for j in range(4) if i != j
                         for other in others[j]])  # fmt: skip
    assert same > strangers + 0.01


def test_an_ap_film_magnifies_the_heart_and_raises_the_domes() -> None:
    who = body(5)
    upright = anatomy.lay_out(who, pose(5), 128)
    lying = anatomy.lay_out(who, replace(pose(5), portable=True, breath=0.05), 128)
    spans = [np.ptp(anatomy.mediastinum_outline(chest.body)[:, 0]) for chest in (upright, lying)]
    assert spans[1] / spans[0] == pytest.approx(1.1, abs=0.02)
    assert max(lying.body.dome) < max(upright.body.dome)


def test_a_spline_passes_through_its_points() -> None:
    points = np.array([(0.0, 0.0), (1.0, 2.0), (3.0, 1.0)])
    np.testing.assert_allclose(anatomy.spline(points)[::8], points)
    np.testing.assert_allclose(anatomy.spline(points, closed=True)[::8], points)


def test_a_painted_square_covers_its_area_where_it_lies() -> None:
    still = replace(pose(), dx=0.0, dy=0.0, angle=0.0, zoom=1.0, stretch=1.0)
    chest = anatomy.lay_out(body(), still, 128)
    square = np.array([(-0.25, 0.25), (0.0, 0.25), (0.0, 0.5), (-0.25, 0.5)])
    cover = anatomy.paint(chest, [anatomy.Stroke(square)], blur=0.0)
    assert cover.mean() == pytest.approx(0.25**2, rel=0.04)
    rows, columns = np.nonzero(cover > 0.5)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == pytest.approx(
        (32, 63, 32, 63), abs=1
    )
