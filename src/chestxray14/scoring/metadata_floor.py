"""How far age, sex, view and follow-up number alone get: what a network must beat."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import model_validator

from chestxray14.base.findings import FINDINGS
from chestxray14.files.metrics import Count, _Metrics
from chestxray14.scoring.evaluation import Estimate

SETTINGS: dict[str, Any] = {"learning_rate": 0.05, "max_iter": 100, "max_leaf_nodes": 4}
"""Small trees: four columns hold little, and scikit-learn's default of 31 leaves overfits it."""


def predict_from_metadata(
    train: pd.DataFrame, test: pd.DataFrame, *, seed: int, findings: Sequence[str] = FINDINGS
) -> pd.DataFrame:
    """Return the probability of each finding of the `test` rows, without a look at a pixel.

    Both tables are as of `labels.read_labels`; the result has `test`'s index and a column a
    finding. One boosted ensemble of trees a finding is fitted on `train`; an unknown age is a
    value of its own. A finding that all or none of `train` show gets that share, 1 or 0.
    """
    # Imported here: who reads the scores alone need not wait for it.
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    known, asked = _encode(train), _encode(test)
    probabilities = pd.DataFrame(index=test.index)
    for finding in findings:
        labels = train[finding].to_numpy()
        if labels.min() == labels.max():
            probabilities[finding] = float(labels[0])
            continue
        # Early stopping would draw its validation rows by image, across patients.
        model = HistGradientBoostingClassifier(**SETTINGS, early_stopping=False, random_state=seed)
        # Threads that wait for one another take longer than four columns do, much longer beside
        # other work.
        with threadpool_limits(1):
            probabilities[finding] = model.fit(known, labels).predict_proba(asked)[:, 1]
    return probabilities


def _encode(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return age, sex, view and follow-up number as numbers (n, 4), NaN where unknown."""
    columns = (
        table["age"],
        table["sex"].map({"F": 0, "M": 1}),
        table["view"].map({"PA": 0, "AP": 1}),
        table["follow_up"],
    )
    return np.column_stack([column.to_numpy(np.float64) for column in columns])


class FloorScores(_Metrics):
    """evaluations/metadata/<split>.json: the AUROC that metadata alone reaches on a split.

    `estimates` has `macro` and each scored finding, `patients` those of each finding's rarer class.
    """

    estimates: dict[str, Estimate]
    patients: dict[str, Count]
    split_sha256: str
    label_version: str

    @property
    def scored(self) -> tuple[str, ...]:
        """The findings that are scored, in the dataset's order."""
        return tuple(name for name in self.estimates if name != "macro")

    @model_validator(mode="after")
    def _known_names(self) -> "FloorScores":
        if "macro" not in self.estimates:
            raise ValueError("estimates must have macro")
        return self
