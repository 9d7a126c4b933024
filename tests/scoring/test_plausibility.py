from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.special import expit, ndtri
from sklearn.metrics import roc_auc_score

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.data.labels import read_labels, read_list
from chestxray14.files.predictions import Predicted, match
from chestxray14.scoring.plausibility import list_doubts, rank, refuse_labels

Floats = NDArray[np.float64]


def make_known(patients: int = 300, *, seed: int = 0) -> pd.DataFrame:
    """Return two images a patient; findings go together in the same ill patients."""
    rng = np.random.default_rng(seed)
    ill = np.repeat(rng.normal(size=patients), 2)[:, None]
    present = rng.normal(size=(2 * patients, len(FINDINGS))) + ill > 1.5
    return pd.DataFrame(present.astype(np.uint8), columns=list(FINDINGS)).assign(
        image=[f"{i:05d}.png" for i in range(2 * patients)],
        patient=np.repeat(np.arange(patients), 2),
    )


def predict(known: pd.DataFrame, *, auroc: float = 0.8, seed: int = 1) -> Floats:
    """Return values of about this AUROC that share half of their noise among findings."""
    rng = np.random.default_rng(seed)
    labels = known[list(FINDINGS)].to_numpy()
    noise = rng.normal(size=labels.shape) + rng.normal(size=(len(known), 1))
    values: Floats = expit(noise + 2 * ndtri(auroc) * labels - 2)
    return values


def doubt(known: pd.DataFrame, values: Floats, *, names: tuple[str, ...] = FINDINGS) -> str:
    """Return the lines of a file whose rows have another order than the label file."""
    table = pd.DataFrame(values, columns=list(names), index=known["image"])
    shuffled = table.sample(frac=1, random_state=0)
    return "\n".join(list_doubts(matched(shuffled, known), listed=known["image"].to_list()))


def matched(table: pd.DataFrame, known: pd.DataFrame) -> Predicted:
    return match(table, known, path=Path("p.csv"))


def test_an_auroc_is_scikit_learns_also_of_ties() -> None:
    known = make_known()
    labels, values = known[list(FINDINGS)].to_numpy(), predict(known).round(1)
    auroc, _ = rank(labels, values[:, 0])
    expected = [roc_auc_score(labels[:, i], values[:, 0]) for i in range(len(FINDINGS))]
    np.testing.assert_allclose(auroc, expected)


def test_the_errors_of_a_mean_rank_are_those_of_leaving_out_an_image() -> None:
    known = make_known(60)
    labels, values = known[["Mass"]].to_numpy(), predict(known)[:, 0].round(2)
    auroc, error = rank(labels, values)
    without = [
        roc_auc_score(np.delete(labels, i), np.delete(values, i)) for i in range(len(labels))
    ]
    # The jackknife, whose steps an image's share of its class makes a little larger.
    size = np.where(labels[:, 0] == 1, labels.sum(), len(labels) - labels.sum())
    np.testing.assert_allclose((auroc - without) * (size - 1) / size, error[:, 0], atol=1e-12)


def test_what_ranks_its_own_labels_is_not_doubted() -> None:
    for seed in range(5):
        known = make_known(seed=seed)
        assert doubt(known, predict(known, seed=seed)) == ""
        assert doubt(known, predict(known, auroc=0.55, seed=seed)) == ""
        some = predict(known, seed=seed)[:, :8]
        assert doubt(known, some, names=FINDINGS[:8]) == ""


def test_chance_gets_the_line_about_chance_alone() -> None:
    known = make_known()
    for seed in range(20):
        values = np.random.default_rng(seed).random((len(known), len(FINDINGS)))
        lines = doubt(known, values).splitlines()
        below = roc_auc_score(known[list(FINDINGS)], values) < 0.5
        assert [line[:10] for line in lines] == ["mean AUROC"] * below


def test_a_hard_finding_that_goes_with_an_easy_one_is_not_doubted() -> None:
    # Ill patients have both; the values of the hard one show little more than that.
    known = make_known(2000)
    ill = known[list(FINDINGS)].sum(axis=1).to_numpy()
    rng = np.random.default_rng(0)
    hard, easy = (rng.normal(size=len(known)) for _ in range(2))
    hard += 0.1 * known["Infiltration"].to_numpy() + known["Edema"].to_numpy() + 0.1 * ill
    easy += 3 * known["Edema"].to_numpy()
    labels = known[["Infiltration", "Edema"]].to_numpy()
    auroc, _ = rank(labels, hard)
    assert auroc[1] > auroc[0] + 0.1
    values = expit(np.column_stack([hard, easy]))
    assert doubt(known, values, names=("Infiltration", "Edema")) == ""


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (lambda values: (values > 0.3).astype(float), "two distinct values"),
        (lambda values: expit(values), "all values are from 0.5 to 0.7311"),
        (lambda values: np.full_like(values, 0.6), "one value for all images"),
        (lambda values: 1 - values, "mean AUROC 0.1"),
        (lambda values: np.roll(values, 1, axis=0), "moved up by one row of the label file"),
        (lambda values: np.roll(values, -1, axis=0), "moved down by one row of the label file"),
    ],
)
def test_a_fault_of_the_whole_file_is_told_in_its_line_alone(
    fault: Callable[[Floats], Floats], line: str
) -> None:
    known = make_known()
    [told] = doubt(known, fault(predict(known, auroc=0.85))).splitlines()
    assert line in told


def test_a_fault_of_one_column_is_told_by_its_name() -> None:
    known = make_known()
    faults = {
        "one value for all": np.full(len(known), 0.2),
        "two distinct values": predict(known)[:, 4] > 0.5,
        "AUROC 0.1": 1 - predict(known, auroc=0.85)[:, 4],
    }
    for line, column in faults.items():
        values = predict(known)
        values[:, FINDINGS.index("Mass")] = column
        [told] = doubt(known, values).splitlines()
        assert told.startswith("Mass: ")
        assert line in told


def test_rows_shifted_in_the_files_own_order_are_told_too() -> None:
    known = make_known().sample(frac=1, random_state=3)
    table = pd.DataFrame(predict(known), columns=list(FINDINGS), index=known["image"])
    moved = pd.DataFrame(np.roll(table, 1, axis=0), columns=table.columns, index=table.index)
    found = [
        [doubt for doubt in list_doubts(matched(values, known), listed=listed) if "row" in doubt]
        for values in (table, moved)
        for listed in [sorted(known["image"])]
    ]
    assert not found[0]
    assert ["up by one row of the prediction file" in doubt for doubt in found[1]] == [True]


def test_swapped_columns_name_each_other() -> None:
    known = make_known()
    values = predict(known, auroc=0.9)
    swapped = [FINDINGS.index(name) for name in ("Mass", "Cardiomegaly")]
    values[:, swapped] = values[:, swapped[::-1]]
    lines = doubt(known, values).splitlines()
    assert [line.split(", AUROC")[0] for line in lines] == [
        "Cardiomegaly: its values rank Mass better",
        "Mass: its values rank Cardiomegaly better",
    ]


def test_a_lone_column_of_another_finding_names_it() -> None:
    known = make_known(1000)
    values = predict(known, auroc=0.95)[:, [FINDINGS.index("Cardiomegaly")]]
    assert "Mass: its values rank Cardiomegaly better" in doubt(known, values, names=("Mass",))


def test_fewer_than_twenty_patients_with_a_finding_swap_in_silence() -> None:
    for patients, lines in ((19, 0), (20, 1)):
        known = make_known(200)
        ill = known["patient"] < patients
        known = known.assign(Mass=ill.astype(np.uint8))
        values = np.column_stack([known["Edema"], ill]) * 0.8 + np.linspace(0, 0.1, 400)[:, None]
        told = doubt(known, values, names=("Mass", "Edema")).splitlines()
        assert sum(line.startswith("Edema: its values") for line in told) == lines


def test_a_column_of_labels_is_refused_unless_there_is_one_class_only() -> None:
    known = make_known()
    table = pd.DataFrame(predict(known), columns=list(FINDINGS), index=known["image"])
    refuse_labels(matched(table, known), name="p.csv")
    table["Mass"] = known["Mass"].to_numpy()
    with pytest.raises(InputError, match=r"p\.csv: the column Mass repeats the label Mass in all"):
        refuse_labels(matched(table, known), name="p.csv")
    absent = (known["Mass"] == 0).to_numpy()
    refuse_labels(matched(table[absent], known), name="p.csv")


def test_one_image_is_no_reason_for_doubt() -> None:
    known = make_known(1)[:1]
    assert doubt(known, np.full((1, len(FINDINGS)), 0.6)).count("\n") == 0


def test_the_real_label_file_gives_each_fault_its_line_alone(
    nih_metadata: dict[str, bytes],
) -> None:
    # Among real labels findings go together and neighbouring rows are of one patient.
    known = read_labels(nih_metadata["Data_Entry_2017.csv"], name="labels")
    listed = read_list(nih_metadata["test_list.txt"], name="list")
    known = known[known["image"].isin(listed)].reset_index(drop=True)
    values = predict(known, auroc=0.8)
    assert doubt(known, values) == ""
    [moved] = doubt(known, np.roll(values, 1, axis=0)).splitlines()
    assert moved.startswith("moved up by one row")
    [turned] = doubt(known, 1 - values).splitlines()
    assert "below 0.5" in turned
