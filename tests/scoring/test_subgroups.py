from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from chestxray14.scoring.bootstrap import draw_patients
from chestxray14.scoring.evaluation import Attribute, Gap
from chestxray14.scoring.subgroups import compare_groups, group_images

NAMES = ("Mass", "Nodule")


def people(n: int, *, seed: int = 0) -> pd.DataFrame:
    """Return `n` images, three a patient."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "patient": np.arange(n) // 3,
            "follow_up": np.arange(n) % 3,
            "age": rng.uniform(1, 95, n),
            "sex": rng.choice(["F", "M"], n),
            "view": rng.choice(["PA", "AP"], n),
        }
    )


def compare(
    table: pd.DataFrame,
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    thresholds: Mapping[str, float] | None = None,
    at_least: int = 10,
    draws: int = 20,
) -> dict[str, Attribute]:
    return compare_groups(
        table,
        labels,
        probabilities,
        draw_patients(table["patient"].to_numpy(), draws=draws, seed=0),
        findings=NAMES,
        thresholds=thresholds,
        at_least=at_least,
    )


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0.04, "under 20"),
        (19, "under 20"),
        (19.9, "under 20"),
        (20, "20 to 39"),
        (39, "20 to 39"),
        (40, "40 to 59"),
        (60, "60 to 79"),
        (79, "60 to 79"),
        (80, "80 and over"),
        (119, "80 and over"),
    ],
)
def test_an_age_is_in_its_band(age: float, band: str) -> None:
    assert group_images(people(3).assign(age=age))["age"].tolist() == [band] * 3


def test_groups_have_words_and_an_order() -> None:
    table = people(3).assign(sex=["M", "F", "M"], view=["AP", "PA", "AP"], age=[90, 5, np.nan])
    groups = group_images(table)
    assert groups["sex"].tolist() == ["men", "women", "men"]
    assert groups["view"].tolist() == ["AP", "PA", "AP"]
    assert groups["study"].tolist() == ["first study", "follow-up", "follow-up"]
    assert groups["age"].isna().tolist() == [False, False, True]
    found = compare(table, np.zeros((3, 2)), np.zeros((3, 2)))
    assert {attribute: list(found[attribute].groups) for attribute in found} == {
        "sex": ["women", "men"],
        "age": ["under 20", "80 and over"],
        "view": ["PA", "AP"],
        "study": ["first study", "follow-up"],
    }


def test_each_group_is_scored_on_its_own_rows() -> None:
    table = people(600)
    rng = np.random.default_rng(1)
    labels = (rng.random((600, 2)) < 0.3).astype(np.uint8)
    probabilities = (0.3 * labels + rng.random((600, 2)).round(2)) / 1.3
    # Rows are matched by place: a table that was filtered keeps its old row names.
    table.index = pd.Index(np.arange(600)[::-1] + 5)
    found = compare(table, labels, probabilities, draws=200)
    for attribute, names in group_images(table).items():
        assert list(found[attribute].groups) == list(names.cat.categories)
        assert found[attribute].shared == NAMES
        assert found[attribute].unknown == 0
        for name, group in found[attribute].groups.items():
            rows = (names == name).to_numpy()
            expected = [roc_auc_score(labels[rows, i], probabilities[rows, i]) for i in range(2)]
            assert group.images == rows.sum()
            assert group.patients == len(set(table["patient"].to_numpy()[rows]))
            assert group.too_few == ()
            assert group.auroc["Mass"].value == pytest.approx(expected[0], abs=6e-6)
            assert group.auroc["Nodule"].value == pytest.approx(expected[1], abs=6e-6)
            assert group.auroc["macro"].value == pytest.approx(np.mean(expected), abs=6e-6)
            for estimate in group.auroc.values():
                assert estimate.low is not None
                assert estimate.high is not None
                assert 0 <= estimate.low < estimate.value < estimate.high <= 1


def test_the_interval_is_of_the_draws_of_the_groups_rows() -> None:
    table = people(300)
    rng = np.random.default_rng(1)
    labels = (rng.random((300, 2)) < 0.4).astype(np.uint8)
    probabilities = rng.random((300, 2)).round(2)
    counts = draw_patients(table["patient"].to_numpy(), draws=100, seed=0).counts
    women = compare(table, labels, probabilities, draws=100)["sex"].groups["women"]
    rows = np.flatnonzero(table["sex"] == "F")
    drawn = [
        [roc_auc_score(labels[again, i], probabilities[again, i]) for i in range(2)]
        for again in (np.repeat(rows, counts[rows, draw]) for draw in range(100))
    ]
    for name, values in (("Mass", [d[0] for d in drawn]), ("macro", np.mean(drawn, axis=1))):
        expected = np.percentile(values, [2.5, 97.5])
        assert [women.auroc[name].low, women.auroc[name].high] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("few", ["positives", "negatives"])
def test_nine_patients_are_too_few_where_ten_are_asked(few: str) -> None:
    # One image a patient, but for the ninth woman's: she has two, which makes ten images.
    patients = np.arange(120)
    patients[18] = patients[16]
    table = people(120).assign(patient=patients, sex=["F", "M"] * 60, age=50.0, view="PA")
    labels = np.zeros((120, 2), dtype=np.uint8)
    labels[:40, :] = 1
    women = np.flatnonzero(table["sex"] == "F")
    labels[women, 0] = 0
    labels[women[:10], 0] = 1
    if few == "negatives":
        labels[women, 0] = 1 - labels[women, 0]
    probabilities = np.random.default_rng(0).random((120, 2))
    found = compare(table, labels, probabilities)["sex"]
    assert found.shared == ("Nodule",)
    assert found.groups["women"].too_few == ("Mass",)
    assert set(found.groups["women"].auroc) == {"macro", "Nodule"}
    assert found.groups["men"].too_few == ()
    assert set(found.groups["men"].auroc) == {"macro", "Mass", "Nodule"}
    for group in found.groups.values():
        assert group.auroc["macro"] == group.auroc["Nodule"]
    enough = compare(table, labels, probabilities, at_least=9)["sex"]
    assert enough.shared == NAMES


def test_groups_that_share_no_finding_have_no_mean() -> None:
    table = people(80).assign(sex=["F", "M"] * 40)
    labels = np.zeros((80, 2), dtype=np.uint8)
    labels[np.flatnonzero(table["sex"] == "F")[:20], 0] = 1
    labels[np.flatnonzero(table["sex"] == "M")[:20], 1] = 1
    found = compare(table, labels, np.random.default_rng(0).random((80, 2)))["sex"]
    assert found.shared == ()
    assert set(found.groups["women"].auroc) == {"Mass"}
    assert set(found.groups["men"].auroc) == {"Nodule"}


def test_unknown_ages_are_counted_and_in_no_band() -> None:
    table = people(60)
    table.loc[10:16, "age"] = np.nan
    found = compare(table, np.zeros((60, 2)), np.zeros((60, 2)))
    assert found["age"].unknown == 7
    assert sum(group.images for group in found["age"].groups.values()) == 53
    assert found["sex"].unknown == 0


def test_where_no_age_is_known_there_is_no_band() -> None:
    table = people(6).assign(age=np.nan)
    found = compare(table, np.zeros((6, 2)), np.zeros((6, 2)))["age"]
    assert found == Attribute(shared=(), groups={}, unknown=6)


def test_the_gap_between_two_groups_is_the_difference_of_their_rates() -> None:
    table = people(10).assign(patient=np.arange(10), sex=["F"] * 5 + ["M"] * 5)
    labels = np.array([[1, 1, 1, 1, 0, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 1, 1, 1, 0, 0]]).T
    # Women: three of four at or above 0.4. Men: one of three. One woman has a nodule: too few.
    mass = [0.9, 0.4, 0.5, 0.1, 0.9, 0.6, 0.3, 0.2, 0.9, 0.1]
    probabilities = np.array([mass, mass]).T
    thresholds = {"Mass": 0.4, "Nodule": 0.4}
    groups = compare(table, labels, probabilities, thresholds=thresholds, at_least=3)["sex"].groups
    # Five patients a group are too few for an interval.
    assert set(groups["women"].tpr_gap) == set(groups["men"].tpr_gap) == {"Mass"}
    for name, gap, positives in (("women", 3 / 4 - 1 / 3, 4), ("men", 1 / 3 - 3 / 4, 3)):
        found = groups[name].tpr_gap["Mass"]
        assert found == Gap(value=found.value, positives=positives)
        assert found.value == pytest.approx(gap)
    without = compare(table, labels, probabilities, at_least=3)["sex"].groups
    assert without["women"].tpr_gap == without["men"].tpr_gap == {}


def test_a_rate_takes_patients_and_not_images_with_the_finding() -> None:
    # Ten images with the finding, of four women; of ten men.
    table = people(20).assign(
        patient=[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, *range(10, 20)], sex=["F"] * 10 + ["M"] * 10
    )
    labels, probabilities = np.ones((20, 2), dtype=np.uint8), np.full((20, 2), 0.5)
    for at_least, gaps in ((5, set()), (4, {"Mass"})):
        found = compare(table, labels, probabilities, thresholds={"Mass": 0.4}, at_least=at_least)[
            "sex"
        ].groups
        assert set(found["women"].tpr_gap) == set(found["men"].tpr_gap) == gaps


def test_the_gap_of_two_of_several_groups_is_their_difference_and_not_half_of_it() -> None:
    table = people(60).assign(patient=np.arange(60), age=np.repeat([10.0, 30, 50], 20))
    labels = np.zeros((60, 2), dtype=np.uint8)
    labels[:40:2] = 1  # Ten under 20 and ten from 20 to 39; nobody from 40 to 59.
    probabilities = np.full((60, 2), 0.1)
    probabilities[:16:2] = 0.9  # Eight of the ten under 20.
    probabilities[20:26:2] = 0.9  # Three of the ten from 20 to 39.
    found = compare(table, labels, probabilities, thresholds={"Mass": 0.5})["age"].groups
    assert found["under 20"].tpr_gap["Mass"].value == pytest.approx(0.8 - 0.3)
    assert found["20 to 39"].tpr_gap["Mass"].value == pytest.approx(0.3 - 0.8)
    assert found["40 to 59"].tpr_gap == {}


@pytest.mark.parametrize("attribute", ["sex", "age"])
def test_the_interval_of_a_gap_is_of_the_draws_of_the_images_repeated(attribute: str) -> None:
    table = people(600)
    rng = np.random.default_rng(1)
    labels = (rng.random((600, 2)) < 0.4).astype(np.uint8)
    probabilities = rng.random((600, 2))
    counts = draw_patients(table["patient"].to_numpy(), draws=60, seed=0).counts
    names = group_images(table)[attribute]
    drawn = {
        name: np.array(
            [
                recall_score(labels[again, 0], probabilities[again, 0] >= 0.3)
                for draw in range(60)
                for again in [np.repeat(rows, counts[rows, draw])]
            ]
        )
        for name in names.cat.categories
        for rows in [np.flatnonzero(names == name)]
    }
    found = compare(table, labels, probabilities, thresholds={"Mass": 0.3}, draws=60)
    for name, group in found[attribute].groups.items():
        others = [drawn[other] for other in drawn if len(drawn) > 2 or other != name]
        gaps = drawn[name] - np.median(others, axis=0)
        told = group.tpr_gap["Mass"]
        assert [told.low, told.high] == pytest.approx(np.percentile(gaps, [2.5, 97.5]))
        assert told.positives == labels[(names == name).to_numpy(), 0].sum()


def test_the_gap_among_more_groups_is_to_the_median_of_their_rates() -> None:
    table = people(400).assign(patient=np.arange(400))
    rng = np.random.default_rng(1)
    labels = (rng.random((400, 2)) < 0.4).astype(np.uint8)
    probabilities = rng.random((400, 2))
    names = group_images(table)["age"]
    few = np.flatnonzero(names == "80 and over")
    labels[few, 0] = 0
    labels[few[:9], 0] = 1
    rates = {
        name: recall_score(labels[names == name, 0], probabilities[names == name, 0] >= 0.3)
        for name in names.cat.categories[:-1]
    }
    found = compare(table, labels, probabilities, thresholds={"Mass": 0.3})["age"].groups
    for name, rate in rates.items():
        gap = rate - np.median(list(rates.values()))
        assert found[name].tpr_gap["Mass"].value == pytest.approx(gap, abs=6e-6)
    assert found["80 and over"].tpr_gap == {}
