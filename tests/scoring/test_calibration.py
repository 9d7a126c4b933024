import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from chestxray14.scoring.calibration import (
    CLIP,
    apply_platt,
    bin_reliability,
    calibration_floor,
    expected_calibration_error,
    fit_line,
    fit_platt,
)

Floats = NDArray[np.float64]

rows = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


def make_calibrated(images: int, *, seed: int = 0) -> tuple[NDArray[np.int_], Floats]:
    """Return labels and the probabilities that they were drawn with."""
    rng = np.random.default_rng(seed)
    probabilities = expit(rng.normal(-2.5, 1.5, images))
    return (rng.random(images) < probabilities).astype(int), probabilities


def fit_reference(labels: NDArray[np.int_], probabilities: Floats) -> tuple[float, float]:
    """Return slope and intercept of logistic regression on both classes, weighted by target."""
    positives = labels.sum()
    negatives = len(labels) - positives
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12)
    twice = np.tile(logit(probabilities), 2)[:, None]
    classes = np.repeat([1, 0], len(labels))
    model.fit(twice, classes, sample_weight=np.concatenate([targets, 1 - targets]))
    return float(model.coef_[0, 0]), float(model.intercept_[0])


@pytest.mark.parametrize("images", [12, 300, 11_000])
def test_the_fit_equals_weighted_logistic_regression(images: int) -> None:
    labels, probabilities = make_calibrated(images)
    assert fit_platt(labels, probabilities) == pytest.approx(
        fit_reference(labels, probabilities), abs=1e-5
    )


def test_the_fit_holds_for_a_rare_finding_and_for_probabilities_almost_alike() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(11_000) < 0.002).astype(int)
    probabilities = 0.5 + 1e-4 * rng.normal(size=11_000) + 1e-4 * labels
    slope, intercept = fit_platt(labels, probabilities)
    assert (slope, intercept) == pytest.approx(fit_reference(labels, probabilities), rel=1e-4)


def test_calibrated_probabilities_keep_a_slope_of_about_one() -> None:
    slope, intercept = fit_platt(*make_calibrated(50_000))
    assert slope == pytest.approx(1, abs=0.05)
    assert intercept == pytest.approx(0, abs=0.08)


def test_the_shift_of_a_class_weighted_loss_is_taken_back() -> None:
    labels, probabilities = make_calibrated(50_000)
    # Positives that weigh 20 times as much move the logit up by log 20.
    weighted = expit(logit(probabilities) + np.log(20))
    slope, intercept = fit_platt(labels, weighted)
    assert slope == pytest.approx(1, abs=0.05)
    assert intercept == pytest.approx(-np.log(20), abs=0.2)
    calibrated = apply_platt(weighted, slope=slope, intercept=intercept)
    np.testing.assert_allclose(calibrated, probabilities, atol=0.02)
    before, after = (
        expected_calibration_error(labels, given, bins=15) for given in (weighted, calibrated)
    )
    assert before > 0.3
    assert after < 0.01


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]),
        ([0, 1], [0.0, 1.0]),
        ([0, 0, 0], [0.1, 0.2, 0.3]),
        ([1], [0.7]),
        ([0, 1, 0], [0.3, 0.3, 0.3]),
        ([0, 1, 0], [0.0, 0.0, 1.0]),
    ],
)
def test_separable_tiny_and_constant_parts_have_a_finite_fit(
    labels: list[int], probabilities: list[float]
) -> None:
    slope, intercept = fit_platt(labels, probabilities)
    assert np.isfinite([slope, intercept]).all()
    # Whatever the fit, its mean is that of Platt's targets.
    positives, negatives = sum(labels), len(labels) - sum(labels)
    mean = positives * (positives + 1) / (positives + 2) + negatives / (negatives + 2)
    calibrated = apply_platt(probabilities, slope=slope, intercept=intercept)
    assert calibrated.mean() == pytest.approx(mean / len(labels), abs=1e-6)


def test_equal_probabilities_have_slope_zero() -> None:
    assert fit_platt([0, 1, 0, 0], [0.1] * 4)[0] == 0


@pytest.mark.parametrize("positives", [1, 3, 40])
def test_ranks_are_never_reversed_and_a_reversed_fit_gives_everyone_the_smoothed_base_rate(
    positives: int,
) -> None:
    rng = np.random.default_rng(0)
    probabilities = np.sort(rng.random(200))
    # Those with the finding are the lowest: the free fit has a negative slope.
    labels = (np.arange(200) < positives).astype(int)
    assert fit_reference(labels, probabilities)[0] < 0
    slope, intercept = fit_platt(labels, probabilities)
    assert slope == 0
    negatives = 200 - positives
    mean = positives * (positives + 1) / (positives + 2) + negatives / (negatives + 2)
    calibrated = apply_platt(probabilities, slope=slope, intercept=intercept)
    assert calibrated == pytest.approx([mean / 200] * 200)


@given(rows=rows)
def test_no_validation_part_turns_the_order_round(rows: list[tuple[int, float]]) -> None:
    labels, probabilities = np.array(rows).T
    slope, intercept = fit_platt(labels, probabilities)
    calibrated = apply_platt(np.sort(probabilities), slope=slope, intercept=intercept)
    assert slope >= 0
    assert (np.diff(calibrated) >= 0).all()


def test_two_separated_groups_reach_platts_targets_exactly() -> None:
    slope, intercept = fit_platt([0, 0, 0, 1, 1], [0.2, 0.2, 0.2, 0.6, 0.6])
    calibrated = apply_platt([0.2, 0.6], slope=slope, intercept=intercept)
    assert calibrated == pytest.approx([1 / 5, 3 / 4], abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.floats(0.01, 10), st.floats(-10, 10))
def test_platt_with_a_positive_slope_keeps_the_order(
    probabilities: list[float], slope: float, intercept: float
) -> None:
    calibrated = apply_platt(np.sort(probabilities), slope=slope, intercept=intercept)
    assert (np.diff(calibrated) >= 0).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


def test_slope_one_and_intercept_zero_change_nothing_but_the_ends() -> None:
    found = apply_platt([0, 0.25, 0.5, 1], slope=1, intercept=0)
    assert found == pytest.approx([CLIP, 0.25, 0.5, 1 - CLIP], rel=1e-9)


@pytest.mark.parametrize("decimals", [2, 12])
def test_bins_equal_the_calibration_curve_of_scikit_learn(decimals: int) -> None:
    labels, probabilities = make_calibrated(500)
    probabilities = probabilities.round(decimals)
    observed, predicted = calibration_curve(labels, probabilities, n_bins=15, strategy="quantile")
    table = bin_reliability(labels, probabilities, bins=15)
    assert table["observed"].to_list() == pytest.approx(observed.tolist())
    assert table["predicted"].to_list() == pytest.approx(predicted.tolist())
    assert table["labels"].sum() == 500


def test_bins_of_equal_mass_have_equally_many_images() -> None:
    labels, probabilities = make_calibrated(1000)
    table = bin_reliability(labels, probabilities, bins=10)
    assert table["labels"].to_list() == [100] * 10


def test_a_case_done_by_hand() -> None:
    labels, probabilities = [0, 1, 0, 1], [0.1, 0.3, 0.3, 0.9]
    table = bin_reliability(labels, probabilities, bins=3)
    # The edges between the thirds are 0.3 and 0.3: nothing is between them.
    assert list(table.columns) == ["predicted", "observed", "labels"]
    assert table["predicted"].to_list() == pytest.approx([0.7 / 3, 0.9])
    assert table["observed"].to_list() == pytest.approx([1 / 3, 1])
    assert table["labels"].to_list() == [3, 1]
    found = expected_calibration_error(labels, probabilities, bins=3)
    assert found == pytest.approx((0.3 + 0.1) / 4)


def test_the_error_is_zero_for_the_truth_and_one_for_its_opposite() -> None:
    labels = np.array([0, 1, 1, 0, 1])
    assert expected_calibration_error(labels, labels, bins=15) == 0
    assert expected_calibration_error(labels, 1 - labels, bins=15) == 1


@given(rows=rows, bins=st.integers(1, 20))
def test_every_label_is_in_one_bin_and_the_error_from_zero_to_one(
    rows: list[tuple[int, float]], bins: int
) -> None:
    labels, probabilities = np.array(rows).T
    table = bin_reliability(labels, probabilities, bins=bins)
    assert table["labels"].sum() == len(rows)
    assert (table["labels"] > 0).all()
    assert len(table) <= bins
    error = expected_calibration_error(labels, probabilities, bins=bins)
    assert 0 <= error <= 1
    # No binning makes the error smaller than a single bin does.
    assert error >= abs(labels.mean() - probabilities.mean()) - 1e-9


@pytest.mark.parametrize("images", [360, 22_433])
def test_the_floor_is_the_error_of_labels_drawn_from_the_probabilities(images: int) -> None:
    errors = [
        expected_calibration_error(
            np.random.default_rng(seed).random(images) < probabilities, probabilities, bins=15
        )
        for probabilities in [make_calibrated(images)[1]]
        for seed in range(200)
    ]
    floor = calibration_floor(make_calibrated(images)[1], bins=15, seed=0)
    assert floor == pytest.approx(np.mean(errors), rel=0.05)
    # At 360 images perfect calibration looks worse by the root of the sizes.
    assert floor == pytest.approx(0.0433 if images == 360 else 0.0057, abs=2e-4)


def test_the_line_equals_plain_logistic_regression() -> None:
    labels, probabilities = make_calibrated(3000)
    stretched = expit(1.7 * logit(probabilities) + 0.4)
    found = fit_line(labels, stretched, np.arange(3000))
    assert found is not None
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(stretched)[:, None], labels)
    assert found[0].value == pytest.approx(model.coef_[0, 0], abs=1e-5)
    # With slope 1 the intercept makes predicted and observed equal in the mean.
    shifted = expit(logit(stretched) + found[1].value)
    assert shifted.mean() == pytest.approx(labels.mean(), abs=1e-9)


def test_the_lines_intervals_hold_the_truth_also_where_patients_have_several_images() -> None:
    held = []
    for seed in range(150):
        labels, probabilities = make_calibrated(600, seed=seed)
        # Three copies of each image: an interval by image would be too narrow by the root of 3.
        found = fit_line(
            np.repeat(labels, 3), np.repeat(probabilities, 3), np.repeat(np.arange(600), 3)
        )
        assert found is not None
        held.append(
            [line.low <= truth <= line.high for line, truth in zip(found, (1, 0), strict=True)]
        )
    assert (np.mean(held, axis=0) > 0.88).all()
    assert (np.mean(held, axis=0) < 1).all()


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), ([0, 1, 0], [0.3] * 3), ([0, 0, 0], [0.1, 0.2, 0.3])],
)
def test_a_line_without_a_finite_solution_is_none(
    labels: list[int], probabilities: list[float]
) -> None:
    assert fit_line(labels, probabilities, np.arange(len(labels))) is None
