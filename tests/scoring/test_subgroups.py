from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from chestxray14.scoring.bootstrap import draw_patients
from chestxray14.scoring.evaluation import Attribute
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
    draws: int = 20,
) -> dict[str, Attribute]:
    return compare_groups(
        table,
        labels,
        probabilities,
        draw_patients(table["patient"].to_numpy(), draws=draws, seed=0),
        findings=NAMES,
        thresholds=thresholds,
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
            assert group.macro is not None
            assert group.macro.value == pytest.approx(np.mean(expected), abs=6e-6)
            assert group.macro.low is not None
            assert group.macro.high is not None
            assert group.macro.low < group.macro.value < group.macro.high


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
    expected = np.percentile(np.mean(drawn, axis=1), [2.5, 97.5])
    assert women.macro is not None
    assert [women.macro.low, women.macro.high] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("few", ["positives", "negatives"])
@pytest.mark.parametrize(("women_with_it", "shared"), [(19, ("Nodule",)), (20, NAMES)])
def test_patients_of_each_class_decide_whether_a_group_scores_a_finding(
    few: str, women_with_it: int, shared: tuple[str, ...]
) -> None:
    # One image a patient, but for the first woman's, of whom there are two.
    patients = np.arange(240)
    patients[2] = patients[0]
    table = people(240).assign(patient=patients, sex=["F", "M"] * 120, age=50.0, view="PA")
    labels = np.zeros((240, 2), dtype=np.uint8)
    labels[:80, :] = 1
    women = np.flatnonzero(table["sex"] == "F")
    labels[women, 0] = 0
    labels[women[: women_with_it + 1], 0] = 1
    if few == "negatives":
        labels[women, 0] = 1 - labels[women, 0]
    probabilities = np.random.default_rng(0).random((240, 2))
    found = compare(table, labels, probabilities)["sex"]
    assert found.shared == shared
    columns = [NAMES.index(name) for name in shared]
    for name, letter in (("women", "F"), ("men", "M")):
        rows = np.flatnonzero(table["sex"] == letter)
        expected = np.mean(
            [roc_auc_score(labels[rows, i], probabilities[rows, i]) for i in columns]
        )
        told = found.groups[name].macro
        assert told is not None
        assert told.value == pytest.approx(expected)


def test_a_group_too_small_for_any_finding_is_named_and_keeps_the_others_comparable() -> None:
    table = people(300).assign(
        patient=np.arange(300), age=np.repeat([10.0, 30, 50], [20, 140, 140])
    )
    rng = np.random.default_rng(0)
    found = compare(table, (rng.random((300, 2)) < 0.3).astype(int), rng.random((300, 2)))["age"]
    assert found.too_few == ("under 20",)
    assert found.shared == NAMES
    assert [group.macro is None for group in found.groups.values()] == [True, False, False]


def test_groups_that_share_no_finding_have_no_mean() -> None:
    table = people(160).assign(patient=np.arange(160), sex=["F", "M"] * 80)
    labels = np.zeros((160, 2), dtype=np.uint8)
    labels[np.flatnonzero(table["sex"] == "F")[:40], 0] = 1
    labels[np.flatnonzero(table["sex"] == "M")[:40], 1] = 1
    found = compare(table, labels, np.random.default_rng(0).random((160, 2)))["sex"]
    assert found.shared == ()
    assert found.groups["women"].macro is None
    assert found.groups["men"].macro is None


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
    table = people(100).assign(patient=np.arange(100), sex=["F"] * 50 + ["M"] * 50)
    labels = np.zeros((100, 2), dtype=np.uint8)
    labels[[*range(40), *range(50, 80)], 0] = 1
    labels[[*range(19), *range(50, 80)], 1] = 1  # Of a nodule, one woman too few.
    probabilities = np.full((100, 2), 0.1)
    probabilities[:30] = 0.4  # Thirty of forty women with a mass, at the threshold itself.
    probabilities[50:60] = 0.9  # Ten of thirty men.
    thresholds = {"Mass": 0.4, "Nodule": 0.4}
    groups = compare(table, labels, probabilities, thresholds=thresholds)["sex"].groups
    assert set(groups["women"].tpr_gap) == set(groups["men"].tpr_gap) == {"Mass"}
    for name, gap, positives in (("women", 3 / 4 - 1 / 3, 40), ("men", 1 / 3 - 3 / 4, 30)):
        found = groups[name].tpr_gap["Mass"]
        assert (found.value, found.positives) == (pytest.approx(gap), positives)
    without = compare(table, labels, probabilities)["sex"].groups
    assert without["women"].tpr_gap == without["men"].tpr_gap == {}


@pytest.mark.parametrize(("women", "gaps"), [(19, set()), (20, {"Mass", "Nodule"})])
def test_a_rate_takes_patients_and_not_images_with_the_finding(women: int, gaps: set[str]) -> None:
    # Forty images with the finding of women; of as many men.
    table = people(80).assign(
        patient=[*(np.arange(40) % women), *range(40, 80)], sex=["F"] * 40 + ["M"] * 40
    )
    labels, probabilities = np.ones((80, 2), dtype=np.uint8), np.full((80, 2), 0.5)
    found = compare(table, labels, probabilities, thresholds=dict.fromkeys(NAMES, 0.4))["sex"]
    assert set(found.groups["women"].tpr_gap) == set(found.groups["men"].tpr_gap) == gaps


def test_the_gap_of_two_of_several_groups_is_their_difference_and_not_half_of_it() -> None:
    table = people(120).assign(patient=np.arange(120), age=np.repeat([10.0, 30, 50], 40))
    labels = np.zeros((120, 2), dtype=np.uint8)
    labels[:80:2] = 1  # Twenty under 20 and twenty from 20 to 39; nobody from 40 to 59.
    probabilities = np.full((120, 2), 0.1)
    probabilities[:32:2] = 0.9  # Sixteen of the twenty under 20.
    probabilities[40:52:2] = 0.9  # Six of the twenty from 20 to 39.
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
