"""Sets of readings come back as they were written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chestxray14.base.errors import InputError
from chestxray14.files.experts import (
    READER_COLUMNS,
    ExpertSet,
    describe_set,
    read_sets,
    write_sets,
)

FIRST = ExpertSet(
    "first",
    pd.DataFrame(
        {"image": ["NA", "2.png"], "patient": [1, 2], "part": ["", "test"]}
        | {"Mass": [0, 1], "Nodule or mass": [1, 0]}
    ),
    pd.DataFrame(
        {"image": ["2.png", "2.png"], "reader": ["4295367682", "7"], "reference": [1, 0]}
        | {"Mass": [1.0, np.nan], "Nodule or mass": [0.0, 1.0]}
    ),
)
SECOND = ExpertSet(
    "second",
    pd.DataFrame({"image": ["2.png"], "patient": [2], "part": [""], "Fracture": [1]}),
    pd.DataFrame(columns=list(READER_COLUMNS)),
)


def test_sets_come_back_each_with_its_own_findings(tmp_path: Path) -> None:
    write_sets(tmp_path, [FIRST, SECOND])
    first, second = read_sets(tmp_path)
    assert [first.name, second.name] == ["first", "second"]
    pd.testing.assert_frame_equal(first.labels, FIRST.labels, check_dtype=False)
    pd.testing.assert_frame_equal(first.readers, FIRST.readers, check_dtype=False)
    pd.testing.assert_frame_equal(second.labels, SECOND.labels, check_dtype=False)
    assert second.findings == ("Fracture",)
    assert second.readers.empty


def test_a_dataset_without_experts_has_no_set(tmp_path: Path) -> None:
    write_sets(tmp_path, [])
    assert read_sets(tmp_path) == []


def test_tables_that_are_not_there_name_the_stage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"experts\.csv not found; run the prepare stage"):
        read_sets(tmp_path)


def test_a_set_of_some_images_keeps_their_readings_alone() -> None:
    chosen = FIRST.restrict(["NA", "9.png"])
    assert chosen.labels["image"].tolist() == ["NA"]
    assert chosen.readers.empty
    assert describe_set(FIRST) == {
        "images": 2,
        "patients": 2,
        "readers": 2,
        "positives": {"Mass": 1, "Nodule or mass": 1},
    }
