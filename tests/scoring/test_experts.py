"""Scores against radiologists, held against scikit-learn and plain loops."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_index
from made_predictions import PARAMS, predicted
from sklearn.metrics import roc_auc_score, roc_curve

from chestxray14.base.draws import generator
from chestxray14.base.findings import FINDINGS
from chestxray14.files.experts import READER_COLUMNS, ExpertSet
from chestxray14.files.predictions import Predicted, match
from chestxray14.scoring.expert_scores import ExpertScores
from chestxray14.scoring.experts import COMPOSITES, find_members, score_experts

NO_READERS = pd.DataFrame(columns=list(READER_COLUMNS))
OF_THREE = ("Atelectasis", "Mass", "Nodule or mass")


def make_experts(
    test: Predicted, *, findings: tuple[str, ...] = OF_THREE, share: float = 0.8, seed: int = 1
) -> ExpertSet:
    """Return a panel that read most of the images, in an order of its own, and some others."""
    rng = np.random.default_rng(seed)
    images = test.known["image"].to_numpy()
    read = rng.permutation(images)[: round(share * len(images))]
    labels = pd.DataFrame({"image": [*read, "elsewhere.png"], "patient": -1, "part": ""})
    for finding in findings:
        labels[finding] = rng.integers(0, 2, len(labels))
    rows = []
    for reader, reference in (("7", 1), ("8", 0), ("9", 0)):
        own = labels[["image"]].assign(reader=reader, reference=reference)
        for finding in findings:
            errs = rng.random(len(labels)) < 0.25
            own[finding] = np.where(errs, 1 - labels[finding], labels[finding]).astype(float)
            own.loc[rng.random(len(labels)) < 0.1, finding] = np.nan
        rows.append(own)
    return ExpertSet("made", labels, pd.concat(rows, ignore_index=True))


def align(test: Predicted, experts: ExpertSet) -> pd.DataFrame:
    """Return image, patient, reference label, NIH's and score of each image read, one finding each."""
    table = test.known[["image", "patient"]].copy()
    for finding in experts.findings:
        parts = {"Nodule or mass": ["Nodule", "Mass"]}.get(finding, [finding])
        table[f"nih {finding}"] = test.known[parts].max(axis=1)
        table[f"score {finding}"] = test.probabilities[parts].max(axis=1)
    return table.merge(experts.labels.drop(columns=["patient", "part"]), on="image")


def draw(table: pd.DataFrame, *, draws: int, seed: int) -> list[pd.DataFrame]:
    """Return the resampled tables, patient by patient, from the same draws as the bootstrap's."""
    patients = np.unique(table["patient"])
    rng = generator("bootstrap", seed)
    by_patient = dict(iter(table.groupby("patient")))
    return [
        pd.concat(
            [by_patient[patients[i]] for i in rng.integers(len(patients), size=len(patients))]
        )
        for _ in range(draws)
    ]


TEST = predicted(60)
EXPERTS = make_experts(TEST)
TABLE = align(TEST, EXPERTS)
DRAWS = draw(TABLE, draws=PARAMS.draws, seed=PARAMS.seed)
SCORING = score_experts(TEST, EXPERTS, val=predicted(30, seed=5), params=PARAMS)
SCORES, CURVES = SCORING.scores, SCORING.curves


def bounds(values: list[float]) -> list[float]:
    return [pytest.approx(b, abs=1e-5) for b in np.nanpercentile(values, [2.5, 97.5])]


@pytest.mark.parametrize("finding", OF_THREE)
def test_auroc_and_difference_equal_scikit_learns_draw_by_draw(finding: str) -> None:
    found = SCORES[finding]
    own = [roc_auc_score(t[finding], t[f"score {finding}"]) for t in (TABLE, *DRAWS)]
    nih = [roc_auc_score(t[f"nih {finding}"], t[f"score {finding}"]) for t in (TABLE, *DRAWS)]
    assert found.auroc.value == pytest.approx(own[0], abs=1e-5)
    assert [found.auroc.low, found.auroc.high] == bounds(own[1:])
    assert found.auroc_nih.value == pytest.approx(nih[0], abs=1e-5)
    assert [found.auroc_nih.low, found.auroc_nih.high] == bounds(nih[1:])
    gaps = [a - b for a, b in zip(own, nih, strict=True)]
    assert found.difference.value == pytest.approx(gaps[0], abs=1e-5)
    assert [found.difference.low, found.difference.high] == bounds(gaps[1:])


def test_the_least_p_of_a_set_is_multiplied_by_the_number_of_findings() -> None:
    alone = []
    for finding in OF_THREE:
        gaps = np.array(
            [
                roc_auc_score(t[finding], t[f"score {finding}"])
                - roc_auc_score(t[f"nih {finding}"], t[f"score {finding}"])
                for t in DRAWS
            ]
        )
        alone.append(2 * (min((gaps <= 0).sum(), (gaps >= 0).sum()) + 1) / (len(gaps) + 1))
    told = [SCORES[finding].difference.p for finding in OF_THREE]
    assert min(told) == pytest.approx(min(1, 3 * min(alone)), abs=1e-4)


def test_images_patients_and_positives_are_of_the_images_both_have() -> None:
    found = SCORES["Mass"]
    assert (found.images, found.patients) == (len(TABLE), TABLE["patient"].nunique())
    assert (found.positives, found.positives_nih) == (
        TABLE["Mass"].sum(),
        TABLE["nih Mass"].sum(),
    )


def sensitivity_at(table: pd.DataFrame, finding: str, reader: str) -> tuple[float, float, float]:
    """Return a reader's sensitivity and specificity, and the network's best sensitivity there."""
    read = table.dropna(subset=[reader])
    present, called = read[finding] == 1, read[reader] == 1
    specificity = (~called & ~present).sum() / (~present).sum()
    false, true, _ = roc_curve(present, read[f"score {finding}"], drop_intermediate=False)
    reached = true[1 - false >= specificity - 1e-12].max()
    return (called & present).sum() / present.sum(), specificity, reached


@pytest.mark.parametrize("finding", OF_THREE)
@pytest.mark.parametrize("reader", ["8", "9"])
def test_a_readers_point_and_the_networks_sensitivity_there(finding: str, reader: str) -> None:
    said = EXPERTS.readers[EXPERTS.readers["reader"] == reader].set_index("image")[finding]
    tables = [t.assign(**{reader: t["image"].map(said)}) for t in (TABLE, *DRAWS)]
    points = [sensitivity_at(table, finding, reader) for table in tables]
    found = SCORES[finding].readers[reader]
    assert found.images == said.reindex(TABLE["image"]).notna().sum()
    assert [found.sensitivity, found.specificity, found.network] == [
        pytest.approx(value, abs=1e-5) for value in points[0]
    ]
    gaps = [reached - own for own, _, reached in points]
    assert found.difference.value == pytest.approx(gaps[0], abs=1e-5)
    assert [found.difference.low, found.difference.high] == bounds(gaps[1:])


def test_who_made_the_labels_is_no_reader_to_compare_with() -> None:
    assert {reader for found in SCORES.values() for reader in found.readers} == {"8", "9"}


def test_thresholds_come_from_nihs_labels_of_the_validation_part() -> None:
    val = predicted(30, seed=5)
    label = val.known[["Nodule", "Mass"]].max(axis=1)
    score = val.probabilities[["Nodule", "Mass"]].max(axis=1)
    false, true, cuts = roc_curve(label, score, drop_intermediate=False)
    found = SCORES["Nodule or mass"]
    assert found.thresholds["youden"] == pytest.approx(cuts[np.argmax(true - false)])
    called = TABLE["score Nodule or mass"] >= found.thresholds["youden"]
    present = TABLE["Nodule or mass"] == 1
    decided = found.decisions["youden"]
    assert decided.sensitivity.value == pytest.approx(called[present].mean(), abs=1e-5)
    assert decided.specificity.value == pytest.approx((~called)[~present].mean(), abs=1e-5)
    shares = [
        (t["score Nodule or mass"] >= found.thresholds["youden"])[t["Nodule or mass"] == 1].mean()
        for t in DRAWS
    ]
    assert [decided.sensitivity.low, decided.sensitivity.high] == bounds(shares)


def test_without_validation_there_is_no_threshold() -> None:
    scores = score_experts(TEST, EXPERTS, val=None, params=PARAMS).scores
    assert not scores["Mass"].thresholds
    assert not scores["Mass"].decisions
    assert scores["Mass"].auroc == SCORES["Mass"].auroc


def score_positives(patients: int, images_each: int = 1) -> ExpertScores:
    """Return the scores of Mass where so many patients have it by the radiologists."""
    known = make_index(60)
    chosen = known["patient"].isin(range(1, patients + 1)) & (known["follow_up"] < images_each)
    labels = known[["image"]].assign(patient=-1, part="", Mass=chosen.astype(int))
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"Mass": rng.random(len(known))}, index=known["image"])
    test = match(table, known, path=Path("p.csv"))
    readers = labels[["image", "Mass"]].assign(reader="1", reference=0)
    readers["Mass"] ^= rng.random(len(known)) < 0.2
    readers = readers[["image", "reader", "reference", "Mass"]]
    found = score_experts(test, ExpertSet("s", labels, readers), val=predicted(30), params=PARAMS)
    return found.scores["Mass"]


@pytest.mark.parametrize(
    ("patients", "images", "scored", "bounded"),
    [(9, 3, False, False), (10, 1, True, False), (19, 3, True, False), (20, 1, True, True)],
)
def test_few_patients_have_no_interval_and_fewer_no_score(
    patients: int, images: int, scored: bool, bounded: bool
) -> None:
    found = score_positives(patients, images)
    assert found.positives == patients * images
    assert (found.auroc is not None, bool(found.readers)) == (scored, scored)
    told = [found.auroc, found.readers["1"].difference] if scored else []
    told += [found.decisions["youden"].sensitivity, found.difference] if scored else []
    assert all(each is not None and (each.low is not None) == bounded for each in told)


def test_composites_are_scored_where_all_of_their_parts_are_predicted() -> None:
    assert find_members(OF_THREE, predicted=FINDINGS)["Nodule or mass"] == ("Nodule", "Mass")
    assert "Nodule or mass" not in find_members(OF_THREE, predicted=("Mass", "Atelectasis"))
    assert set(COMPOSITES["Airspace opacity"]) == {
        *("Consolidation", "Infiltration", "Pneumonia", "Edema", "Atelectasis")
    }
    assert find_members(("Fracture", "Abnormal", "Hernia"), predicted=FINDINGS) == {
        "Hernia": ("Hernia",)
    }


def test_labels_alone_are_enough() -> None:
    alone = ExpertSet("alone", EXPERTS.labels, NO_READERS)
    found = score_experts(TEST, alone, val=None, params=PARAMS).scores["Mass"]
    assert found.readers == {}
    assert found.auroc == SCORES["Mass"].auroc


def test_a_set_of_other_images_has_no_scores() -> None:
    labels = EXPERTS.labels.assign(image=[f"o{i}.png" for i in range(len(EXPERTS.labels))])
    found = score_experts(TEST, ExpertSet("o", labels, NO_READERS), val=None, params=PARAMS)
    assert (found.scores, found.means) == ({}, None)
    assert found.curves.empty


def test_means_are_over_findings_in_the_same_draws_of_patients() -> None:
    means = SCORING.means
    gaps = [
        np.mean(
            [
                roc_auc_score(t[f], t[f"score {f}"])
                - roc_auc_score(t[f"nih {f}"], t[f"score {f}"])
                for f in OF_THREE
            ]
        )
        for t in (TABLE, *DRAWS)
    ]
    assert means is not None
    assert means.findings == OF_THREE
    assert means.difference.value == pytest.approx(gaps[0], abs=2e-5)
    assert [means.difference.low, means.difference.high] == bounds(gaps[1:])


def test_the_curve_is_against_radiologists() -> None:
    curve = CURVES[CURVES["finding"] == "Mass"]
    area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
    assert area == pytest.approx(roc_auc_score(TABLE["Mass"], TABLE["score Mass"]), abs=2e-3)
