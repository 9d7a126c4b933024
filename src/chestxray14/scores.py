"""How well probabilities rank images: the area under the ROC curve."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from chestxray14.findings import FINDINGS

DIGITS = 5
"""Decimals in metrics files: finer than any interval, coarse enough to read a diff."""


def auroc(
    labels: ArrayLike, scores: ArrayLike, *, findings: tuple[str, ...] = FINDINGS
) -> dict[str, float]:
    """Return the AUROC of each finding, their mean as `macro`, and of all pooled as `micro`.

    `labels` are zeros and ones and `scores` any numbers that grow with the finding, both
    (n, len(findings)). A finding of which only one class occurs has no AUROC and is left out,
    also of `macro` and `micro`; where all are, so are those.
    """
    truth: NDArray[np.uint8] = np.asarray(labels).astype(np.uint8)
    given = np.asarray(scores, dtype=np.float64)
    scored = [i for i in range(len(findings)) if 0 < truth[:, i].sum() < len(truth)]
    if not scored:
        return {}
    single = {findings[i]: float(roc_auc_score(truth[:, i], given[:, i])) for i in scored}
    micro = roc_auc_score(truth[:, scored].ravel(), given[:, scored].ravel())
    macro = float(np.mean(list(single.values())))
    return {"macro": macro, "micro": float(micro), **single}
