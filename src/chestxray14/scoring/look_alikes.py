"""What is mistaken for a macro AUROC, of one network's own predictions."""

from collections.abc import Sequence

from chestxray14.base.findings import NO_FINDING
from chestxray14.base.scores import auroc, rank_auroc
from chestxray14.files.predictions import Predicted
from chestxray14.scoring.evaluation import LookAlikes
from chestxray14.scoring.ranked import drop_unknown


def find_look_alikes(
    test: Predicted, train: Predicted | None, *, findings: Sequence[str]
) -> LookAlikes:
    """Return what is mistaken for a macro AUROC, over all that is predicted."""
    labels = test.labels(test.findings)
    pooled = (*test.findings, NO_FINDING)
    on_training = {}
    if train is not None:
        on_training = auroc(train.labels(findings), train.scores(findings), findings=findings)
    scores = test.scores(test.findings)
    known, given = drop_unknown(labels.ravel(), scores.ravel())
    return LookAlikes(
        label_accuracy=float(((given >= 0.5) == known).mean()),
        all_negative=float(1 - known.mean()),
        micro_15=(
            rank_auroc(test.labels(pooled).ravel(), test.scores(pooled).ravel())
            if NO_FINDING in test.probabilities
            else None
        ),
        # Over the same findings or not at all: a mean over others is another number.
        training_images=on_training.get("macro") if set(findings) <= set(on_training) else None,
    )
