import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_index

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.data.labels import read_labels, read_list
from chestxray14.data.params import AtMost, Hashes, ListSplit, OfficialSplit, RandomSplit
from chestxray14.data.splits import (
    PARTS,
    check_parts,
    count_mixed,
    describe_split,
    name_absent,
    require_patients,
    split_at_random,
    split_by_lists,
    split_by_table,
    split_officially,
)
from chestxray14.files.names import hash_names

PATIENT = RandomSplit(kind="patient", train=0.7, val=0.1, seed=0, at_most=None)
IMAGE = RandomSplit(kind="image", train=0.7, val=0.1, seed=0, at_most=None)
OFFICIAL = OfficialSplit(kind="official", val=0.125, seed=0)


def test_patients_are_divided_70_10_20_and_never_shared() -> None:
    index = make_index(100)
    parts = split_at_random(index, PATIENT)
    assert index.groupby(parts)["patient"].nunique().to_dict() == {
        "train": 70,
        "val": 10,
        "test": 20,
    }
    assert check_parts(index, parts, leaky=False) == 0


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    index = make_index(50)
    shuffled = index.sample(frac=1, random_state=3)
    first = dict(zip(index["image"], split_at_random(index, PATIENT), strict=True))
    again = dict(zip(shuffled["image"], split_at_random(shuffled, PATIENT), strict=True))
    other = split_at_random(index, PATIENT.model_copy(update={"seed": 1}))
    assert first == again
    assert list(first.values()) != other.tolist()


def test_a_cut_down_split_keeps_whole_patients_of_the_full_one() -> None:
    index = make_index(100)
    full = split_at_random(index, PATIENT)
    most = AtMost(train=20, val=1000, test=7)
    parts = split_at_random(index, PATIENT.model_copy(update={"at_most": most}))
    kept = parts.notna()
    assert (parts[kept] == full[kept]).all()
    # Three images a patient: six patients fit into 20 images, seven just into 21, two into 7.
    assert parts.value_counts().to_dict() == {"train": 18, "val": 30, "test": 6}
    assert index[kept].groupby("patient").size().unique().tolist() == [3]
    other = PATIENT.model_copy(update={"at_most": AtMost(train=21, val=1000, test=9)})
    larger = split_at_random(index, other)
    assert (larger[parts == "test"] == "test").all()
    assert larger.value_counts().to_dict() == {"train": 21, "val": 30, "test": 9}


def test_the_image_control_leaks_and_counts_whom() -> None:
    index = make_index(50)
    parts = split_at_random(index, IMAGE)
    by_hand = sum(len(set(group)) > 1 for _, group in parts.groupby(index["patient"]))
    assert check_parts(index, parts, leaky=True) == by_hand > 0


def test_a_leak_fails_the_check() -> None:
    index = make_index(50)
    parts = split_at_random(index, PATIENT)
    parts.iloc[0] = "test" if parts.iloc[0] != "test" else "train"
    with pytest.raises(InputError, match="LEAK: 1 patients are in more than one part"):
        check_parts(index, parts, leaky=False)


def test_an_empty_part_fails_the_check() -> None:
    index = make_index(50)
    with pytest.raises(InputError, match="the val part has no image"):
        check_parts(index, pd.Series("train", index=index.index), leaky=False)


def test_a_single_training_image_fails_the_check() -> None:
    index = make_index(3, studies=1)
    with pytest.raises(InputError, match="the train part has one image"):
        check_parts(index, pd.Series(["train", "val", "test"]), leaky=False)


def official_lists(index: pd.DataFrame) -> pd.DataFrame:
    test = index["patient"].isin(index["patient"].unique()[::5])
    return pd.DataFrame({"image": index["image"], "list": np.where(test, "test", "train_val")})


def test_official_lists_are_reproduced_and_validation_is_whole_patients() -> None:
    index = make_index(80)
    lists = official_lists(index)
    parts = split_officially(index, OFFICIAL, lists=lists)
    assert (parts == "test").tolist() == (lists["list"] == "test").tolist()
    assert check_parts(index, parts, leaky=False) == 0
    assert index["patient"][parts == "val"].nunique() == 8  # an eighth of 64


def test_lists_that_do_not_match_the_labels_are_refused() -> None:
    index = make_index(80)
    lists = official_lists(index)
    strange = pd.DataFrame({"image": ["strange.png"], "list": ["test"]})
    with pytest.raises(InputError, match=r"name 1 images that the label file lacks: strange\.png"):
        split_officially(index, OFFICIAL, lists=pd.concat([lists, strange]))
    name = lists["image"][0]
    with pytest.raises(InputError, match=f"names 1 images that neither official list has: {name}"):
        split_officially(index, OFFICIAL, lists=lists[1:])
    both = pd.DataFrame({"image": [name], "list": ["train_val"]})
    with pytest.raises(InputError, match=f"the official lists share 1 images: {name}"):
        split_officially(index, OFFICIAL, lists=pd.concat([lists, both]))
    assert name_absent(lists) == ""
    assert name_absent(lists[:0]) == "train_val_list.txt and test_list.txt"
    assert name_absent(lists[lists["list"] == "test"]) == "train_val_list.txt"


def test_a_dataset_may_come_in_parts_of_which_some_are_on_the_official_test_list() -> None:
    index = make_index(9, studies=1)
    own = pd.DataFrame(
        {"image": index["image"], "list": np.repeat(["own train", "own val", "own test"], 3)}
    )
    official = pd.DataFrame({"image": index["image"][5:], "list": "test"})
    parts = split_by_table(index, lists=pd.concat([official, own]))
    assert parts.tolist() == [*["train"] * 3, *["val"] * 3, *["test"] * 3]
    assert count_mixed(pd.concat([official, own])) == 1
    assert count_mixed(own) == 0
    with pytest.raises(InputError, match="does not come in train, val and test"):
        split_by_table(index, lists=official)


def test_a_split_without_patients_is_refused() -> None:
    index = make_index(9).assign(patient=np.nan)
    with pytest.raises(InputError, match=r"names no patients.*say `patient: image`"):
        require_patients(index)


def test_unknown_labels_are_counted_and_prevalence_is_of_the_others() -> None:
    index = make_index(3, studies=1).assign(Mass=[1, np.nan, 0], Edema=np.nan)
    parts = pd.Series(["train", "val", "test"])
    described = describe_split(index, parts, kind="patient")
    assert [described[part].get("unknown") for part in PARTS] == [
        {"Edema": 1},
        {"Mass": 1, "Edema": 1},
        {"Edema": 1},
    ]
    assert [described[part]["prevalence"]["Mass"] for part in PARTS] == [1, 0, 0]
    assert "unknown" not in describe_split(make_index(3, studies=1), parts, kind="patient")["val"]


def make_lists(folder: Path, index: pd.DataFrame) -> ListSplit:
    paths, hashes = {}, {}
    parts = split_at_random(index, PATIENT)
    for part in ("train", "val", "test"):
        names = index["image"][parts == part].tolist()
        paths[part] = folder / f"{part}.txt"
        paths[part].write_text("\n".join(names))
        text = "".join(f"{name}\n" for name in sorted(names))
        hashes[part] = hashlib.sha256(text.encode()).hexdigest()
    return ListSplit(
        kind="lists", sha256=Hashes(**hashes), **{k: str(v) for k, v in paths.items()}
    )


def test_somebody_elses_lists_are_followed(tmp_path: Path) -> None:
    index = make_index(50)
    parts = split_by_lists(index, make_lists(tmp_path, index))
    assert parts.tolist() == split_at_random(index, PATIENT).tolist()


def test_lists_with_another_hash_unknown_or_absent_are_refused(tmp_path: Path) -> None:
    index = make_index(50)
    protocol = make_lists(tmp_path, index)
    with pytest.raises(InputError, match="lacks"):
        split_by_lists(index[index["patient"] != 1], protocol)
    (tmp_path / "val.txt").write_text("other.png")
    with pytest.raises(InputError, match=r"val\.txt has sha256 [0-9a-f]{64}, expected"):
        split_by_lists(index, protocol)
    (tmp_path / "val.txt").unlink()
    with pytest.raises(InputError, match=r"val\.txt cannot be read: No such file"):
        split_by_lists(index, protocol)


def test_the_metrics_count_by_hand() -> None:
    index = make_index(50)
    parts = split_at_random(index, PATIENT)
    metrics = describe_split(index, parts, kind="patient")
    rows = index[parts == "val"]
    assert metrics["val"]["images"] == len(rows)
    assert metrics["val"]["sha256"] == hash_names(rows["image"])
    for finding in FINDINGS:
        assert metrics["val"]["prevalence"][finding] == pytest.approx(
            np.mean(rows[finding]), abs=1e-6
        )


def test_nih_divides_into_the_known_numbers(nih_metadata: dict[str, bytes]) -> None:
    index = read_labels(nih_metadata["Data_Entry_2017.csv"], name="labels")
    parts = split_at_random(index, PATIENT)
    patients = index.groupby(parts)["patient"].nunique()
    assert patients.to_dict() == {"train": 21_564, "val": 3_080, "test": 6_161}
    assert check_parts(index, parts, leaky=False) == 0


def test_nih_official_lists_are_reproduced_exactly(nih_metadata: dict[str, bytes]) -> None:
    index = read_labels(nih_metadata["Data_Entry_2017.csv"], name="labels")
    lists = pd.DataFrame(
        [
            (name, part)
            for part in ("train_val", "test")
            for name in read_list(nih_metadata[f"{part}_list.txt"], name=part)
        ],
        columns=["image", "list"],
    )
    parts = split_officially(index, OFFICIAL, lists=lists)
    # Hashes published with the lists' sizes, 25,596 and 86,524 images.
    test = index["image"][parts == "test"]
    rest = index["image"][parts != "test"]
    assert (len(test), len(rest)) == (25_596, 86_524)
    assert hash_names(test).startswith("3d0c44b68d287fd04f90c4f25df13428")
    assert hash_names(rest).startswith("eb8e4beb07b2018a5a9f16ba088761c0")
