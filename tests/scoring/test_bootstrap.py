import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from chestxray14.scoring.bootstrap import (
    Resamples,
    bootstrap_auroc,
    bootstrap_findings,
    bootstrap_sums,
    draw_patients,
)
from chestxray14.scoring.claims import interval, p_value

Floats = NDArray[np.float64]


def reference(labels: NDArray[np.int_], scores: Floats, counts: NDArray[np.uint8]) -> Floats:
    """Return scikit-learn's weighted AUROC of every draw."""
    return np.array(
        [
            roc_auc_score(labels, scores, sample_weight=weights)
            if len(np.unique(labels[weights > 0])) == 2
            else np.nan
            for weights in counts.T
        ]
    )


def make_problem(seed: int = 0, *, images: int = 400) -> tuple[NDArray[np.int_], Floats]:
    """Return labels and scores, many of them tied, of three findings."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((images, 3)) < [0.02, 0.2, 0.6]).astype(int)
    return labels, np.round(rng.normal(size=(images, 3)) + labels, 1)


def test_all_images_of_a_patient_are_drawn_together_and_patients_are_as_many_as_there_are() -> (
    None
):
    patients = np.array([7, 3, 7, 7, 1, 3, 9])
    counts = draw_patients(patients, draws=50, seed=0).counts
    assert counts.shape == (7, 50)
    assert counts.dtype == np.uint8
    _, first = np.unique(patients, return_index=True)
    for patient in patients:
        rows = counts[patients == patient]
        assert (rows == rows[0]).all()
    assert (counts[first].sum(axis=0) == 4).all()


def test_a_patient_is_drawn_as_often_as_with_replacement() -> None:
    counts = draw_patients(np.arange(200), draws=500, seed=0).counts
    # Binomial(200, 1/200): the share never drawn is (1 - 1/200)^200, the variance 1 - 1/200.
    assert (counts == 0).mean() == pytest.approx(0.995**200, abs=0.005)
    assert counts.astype(float).var() == pytest.approx(0.995, abs=0.03)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_draws_depend_on_the_set_of_patients_and_not_on_the_rows(
    patients: list[int],
) -> None:
    def by_patient(rows: list[int]) -> dict[int, list[int]]:
        counts = draw_patients(rows, draws=5, seed=3).counts
        return {row: count.tolist() for row, count in zip(rows, counts, strict=True)}

    once = sorted(set(patients), reverse=True)
    assert by_patient(patients) == by_patient(once) == by_patient([*patients, *once])


def test_draws_depend_on_the_seed_and_fewer_draws_are_the_first_ones() -> None:
    patients = np.arange(50)
    counts = draw_patients(patients, draws=20, seed=1).counts
    assert (draw_patients(patients, draws=20, seed=1).counts == counts).all()
    assert (draw_patients(patients, draws=8, seed=1).counts == counts[:, :8]).all()
    assert (draw_patients(patients, draws=20, seed=2).counts != counts).any()


def test_auroc_of_every_draw_equals_scikit_learn_weighted_by_counts() -> None:
    labels, scores = make_problem()
    # More draws than one chunk has, the last chunk not full.
    drawn = draw_patients(np.arange(400) // 3, draws=75, seed=0)
    found, precision = bootstrap_findings(labels, scores, drawn)
    assert found.shape == precision.shape == (75, 3)
    for i in range(3):
        expected = reference(labels[:, i], scores[:, i], drawn.counts)
        np.testing.assert_allclose(found[:, i], expected, rtol=0, atol=1e-12)
        average = [
            average_precision_score(labels[:, i], scores[:, i], sample_weight=weights)
            if labels[weights > 0, i].any()
            else np.nan
            for weights in drawn.counts.T
        ]
        np.testing.assert_allclose(precision[:, i], average, rtol=0, atol=1e-12)
        single = bootstrap_auroc(labels[:, i], scores[:, i], drawn)
        np.testing.assert_array_equal(single, found[:, i])


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 3)),
        min_size=1,
        max_size=25,
    )
)
def test_any_weights_and_ties_give_the_auroc_of_scikit_learn_and_one_class_gives_nan(
    rows: list[tuple[int, int, int]],
) -> None:
    labels, scores, weights = np.array(rows).T
    counts = np.column_stack([weights, np.ones_like(weights), labels]).astype(np.uint8)
    found = bootstrap_auroc(labels, scores / 4, Resamples(np.arange(len(labels)), counts))
    np.testing.assert_allclose(found, reference(labels, scores / 4, counts), rtol=0, atol=1e-12)
    assert np.isnan(found[2])


def test_floats_as_labels_do_as_well_as_integers() -> None:
    labels, scores = make_problem()
    drawn = draw_patients(np.arange(400), draws=5, seed=0)
    np.testing.assert_array_equal(
        bootstrap_findings(labels.astype(np.float32), scores, drawn)[0],
        bootstrap_findings(labels, scores, drawn)[0],
    )


def test_interval_by_patient_is_wider_than_by_image_where_patients_are_alike() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 2, 150), 6)
    scores = np.repeat(rng.normal(size=150), 6) + labels
    widths = []
    for patients in (np.arange(900) // 6, np.arange(900)):
        drawn = draw_patients(patients, draws=400, seed=0)
        found = interval(bootstrap_auroc(labels, scores, drawn))
        assert found is not None
        widths.append(found[1] - found[0])
    # Six copies of everything have the error of one: wider by the root of 6.
    assert widths[0] / widths[1] == pytest.approx(6**0.5, rel=0.15)


def test_paired_interval_of_correlated_scores_is_narrower_than_the_unpaired_one() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500)
    shared = rng.normal(size=500) + labels
    first, second = shared + 0.2 * rng.normal(size=(2, 500))
    paired, other = (draw_patients(np.arange(500), draws=400, seed=seed) for seed in (0, 1))
    ours = bootstrap_auroc(labels, first, paired)
    widths = []
    for drawn in (paired, other):
        found = interval(ours - bootstrap_auroc(labels, second, drawn))
        assert found is not None
        widths.append(found[1] - found[0])
    assert widths[0] < widths[1] / 2


def test_a_paired_difference_agrees_with_one_computed_by_hand() -> None:
    labels = np.array([1, 1, 0, 0])
    first, second = np.array([[4, 2, 3, 1], [4, 3, 2, 1]])
    # The draws: every image once; the first positive and negative twice; the second ones twice;
    # no negative. The first network has one of four pairs wrong: (2, 3).
    counts = np.array([[1, 2, 0, 2], [1, 0, 2, 2], [1, 2, 0, 0], [1, 0, 2, 0]], dtype=np.uint8)
    drawn = Resamples(np.arange(4), counts)
    differences = bootstrap_auroc(labels, first, drawn) - bootstrap_auroc(labels, second, drawn)
    np.testing.assert_array_equal(differences, [-0.25, 0, 0, np.nan])
    # Of three draws, three are <= 0 and two >= 0: 2 * (2 + 1) / (3 + 1) is above 1.
    assert p_value(differences) == 1


def test_patients_are_counted_once_and_restricted_with_their_draws() -> None:
    drawn = draw_patients([7, 3, 7, 1], draws=6, seed=0)
    rows = np.array([True, False, True, True])
    assert drawn.count_patients(rows) == 2
    assert drawn.count_patients(np.zeros(4, dtype=bool)) == 0
    some = drawn.restrict(np.flatnonzero(rows))
    np.testing.assert_array_equal(some.counts, drawn.counts[[0, 2, 3]])
    assert some.count_patients(np.array([True, True, False])) == 1


def test_sums_of_a_draw_are_those_of_its_images_repeated() -> None:
    numbers = np.random.default_rng(0).random((60, 2))
    drawn = draw_patients(np.arange(60) // 3, draws=40, seed=0)
    found = bootstrap_sums(numbers, drawn)
    for draw in range(40):
        again = np.repeat(np.arange(60), drawn.counts[:, draw])
        assert found[draw] == pytest.approx(numbers[again].sum(axis=0))


def test_the_rarer_class_is_counted_in_patients() -> None:
    drawn = draw_patients([7, 7, 3, 1], draws=2, seed=0)
    # Both classes occur in patient 7; one more lacks the finding in the first column alone.
    assert drawn.count_rarer(np.array([1, 0, 0, 0])) == 1
    assert drawn.count_rarer(np.array([1, 0, 1, 0])) == 2
    assert drawn.count_rarer(np.array([1, 1, 1, 0])) == 1


def test_p_of_networks_that_do_not_differ_is_below_005_about_one_time_in_twenty() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    drawn = draw_patients(np.arange(200), draws=200, seed=0)
    shares = []
    for _ in range(200):
        scores = rng.normal(size=(200, 2)) + labels[:, None]
        draws, _ = bootstrap_findings(np.column_stack([labels, labels]), scores, drawn)
        shares.append(p_value(draws[:, 0] - draws[:, 1]) < 0.05)
    assert 0.01 < np.mean(shares) < 0.10
