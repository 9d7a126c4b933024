"""What one network reaches against radiologists: the record of evaluations/<name>/experts.json."""

from pydantic import RootModel

from chestxray14.files.metrics import Count, Share
from chestxray14.scoring.evaluation import Difference, Estimate, Evaluated, Rule


class Reader(Evaluated):
    """A reader as a point on the ROC, and the network at this reader's specificity.

    `network` is the highest sensitivity of a threshold whose specificity is not below the reader's,
    `difference` that less the reader's, its p by Holm over the readers and findings of the set.
    `images` are those the reader read without hedging.
    """

    images: Count
    sensitivity: Share
    specificity: Share
    network: Share
    difference: Difference


class Decided(Evaluated):
    """What calling a finding present from a threshold on reaches against radiologists."""

    sensitivity: Estimate
    specificity: Estimate


class ExpertScores(Evaluated):
    """One finding against radiologists.

    `positives` are their images with the finding, `positives_nih` those of NIH's labels, both among
    the `images`. `auroc` is None where too few patients have the finding, or lack it, by the
    radiologists, `auroc_nih` the same by NIH; `difference` is the first less the second, in the
    same draws of patients, its p by Holm over the findings of the set. `thresholds` are chosen on the
    validation part against NIH's labels, `decisions` are what they reach. `readers` are those whose readings did not make the labels.
    Only what has an `auroc` has the rest.
    """

    images: Count
    patients: Count
    positives: Count
    positives_nih: Count
    auroc: Estimate | None = None
    auroc_nih: Estimate | None = None
    difference: Difference | None = None
    thresholds: dict[Rule, Share]
    decisions: dict[Rule, Decided]
    readers: dict[str, Reader]


class ExpertMeans(Evaluated):
    """Means over the `findings` that have an interval against radiologists and against NIH's labels."""

    findings: tuple[str, ...]
    auroc: Estimate
    auroc_nih: Estimate
    difference: Difference


class ExpertEvaluation(RootModel[dict[str, dict[str, ExpertScores]]]):
    """The scores by set, then by finding; a set of which no image was predicted is absent."""
