import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chestxray14.base.scores import auroc

NAMES = ("Mass", "Nodule")


def pairs(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of (present, absent) pairs in the right order, ties one half."""
    present, absent = scores[labels == 1], scores[labels == 0]
    right = (present[:, None] > absent).sum() + 0.5 * (present[:, None] == absent).sum()
    return float(right / (len(present) * len(absent)))


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 4), st.integers(0, 4)),
        min_size=2,
        max_size=30,
    )
)
def test_auroc_is_the_share_of_pairs_in_the_right_order(
    rows: list[tuple[int, int, int, int]],
) -> None:
    table = np.array(rows)
    labels, scores = table[:, :2], table[:, 2:] / 4
    found = auroc(labels, scores, findings=NAMES)
    usable = [i for i in range(2) if 0 < labels[:, i].sum() < len(labels)]
    assert set(found) == {NAMES[i] for i in usable} | ({"macro", "micro"} if usable else set())
    for i in usable:
        assert found[NAMES[i]] == pytest.approx(pairs(labels[:, i], scores[:, i]))
    if usable:
        assert found["macro"] == pytest.approx(np.mean([found[NAMES[i]] for i in usable]))
        assert found["micro"] == pytest.approx(
            pairs(labels[:, usable].ravel(), scores[:, usable].ravel())
        )


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_scores_that_are_no_numbers_rank_nothing(odd: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        auroc(np.array([[0], [1]]), np.array([[0.5], [odd]]), findings=("Mass",))
