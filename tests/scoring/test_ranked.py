import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from chestxray14.scoring.ranked import (
    average_precision,
    precision_recall_curve,
    roc_curve,
)

ranked = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(ranked)
def test_scores_and_curves_are_those_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    labels, scores = np.array(rows).T
    scores = scores / 9
    np.testing.assert_allclose(
        average_precision(labels, scores),
        metrics.average_precision_score(labels, scores),
        rtol=1e-13,
    )
    false, true, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(roc_curve(labels, scores), [false, true], rtol=1e-15)
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    np.testing.assert_allclose(
        precision_recall_curve(labels, scores), [recall[::-1], precision[::-1]], rtol=1e-15
    )
