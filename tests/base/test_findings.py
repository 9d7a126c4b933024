import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chestxray14.base.errors import InputError
from chestxray14.base.findings import (
    FINDINGS,
    NO_FINDING,
    check_findings,
    format_label,
    parse_label,
)


@given(st.lists(st.integers(0, 1), min_size=14, max_size=14))
def test_every_vector_survives_the_way_through_a_label(vector: list[int]) -> None:
    assert parse_label(format_label(vector)).tolist() == vector


def test_findings_are_in_the_order_of_wang_et_al() -> None:
    assert parse_label("Hernia|Atelectasis").tolist() == [1, *[0] * 12, 1]
    assert FINDINGS[:3] == ("Atelectasis", "Cardiomegaly", "Effusion")


def test_no_finding_is_all_zeros() -> None:
    assert not parse_label(NO_FINDING).any()
    assert format_label(np.zeros(14, dtype=np.uint8)) == NO_FINDING


@pytest.mark.parametrize("label", ["Masss", "", "No Finding|Mass", "Mass|", "Mas s|x"])
def test_an_unknown_finding_is_refused_by_name(label: str) -> None:
    with pytest.raises(InputError, match="unknown finding"):
        parse_label(label)


@pytest.mark.parametrize(
    "name",
    ["Pleural effusion", "Nodule/Mass", "A|B", "A, B", 'the "bat wing"', "Ödem", "µ" * 80, "5"],
)
def test_a_finding_may_have_blanks_marks_and_umlauts(name: str) -> None:
    assert check_findings(["Mass", name]) == ("Mass", name)


@pytest.mark.parametrize(
    "name",
    [*("", " ", " Mass", "Edema\n", "a\tb", "+++", "$x$", "x" * 81), "mass", "No Finding", "Age"],
)
def test_a_name_that_a_file_cannot_hold_or_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"finding|in another case"):
        check_findings(["Mass", name])
