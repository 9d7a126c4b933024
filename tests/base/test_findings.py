import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS, NO_FINDING, format_label, parse_label


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
