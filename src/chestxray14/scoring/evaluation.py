"""What one network reaches on the test part: the records of evaluations/<name>/detail.json."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from chestxray14.base.findings import NO_FINDING
from chestxray14.files.metrics import Count, Share

Rule = Literal["half", "youden", "max_f1", "sensitivity"]

RULES: tuple[Rule, ...] = get_args(Rule)
"""How a probability becomes a decision: present from a threshold on.

`half` is 0.5 for every finding. The others are chosen on the validation part: the threshold with the
highest sensitivity + specificity − 1 (Youden), with the highest F1, and the highest one that
reaches the asked sensitivity.
"""

AVERAGES = ("micro avg", "macro avg", "weighted avg", "samples avg")
"""The averages of scikit-learn's classification report, below its findings."""


class Evaluated(BaseModel):
    """A part of a record: strict, frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, extra="forbid")


class Estimate(Evaluated):
    """A score with its 95 % interval over the draws of patients that have both classes.

    Bounds are None where too few draws, or too few patients, have a score.
    """

    value: Share
    low: Share | None = None
    high: Share | None = None


class Difference(Evaluated):
    """One network less another in the same draws of patients, with the two-sided p value.

    The interval and p are over the draws that have both classes, and None where too few draws, or
    too few patients, have a score.
    """

    value: float
    low: float | None = None
    high: float | None = None
    p: Share | None = None

    @property
    def told_apart(self) -> bool:
        """Whether p is below 0.05."""
        return self.p is not None and self.p < 0.05


class Differences(Evaluated):
    """difference.json: one network less another, over the `findings` that both score.

    `differences` has each of these and `macro`, their mean.
    """

    findings: Count
    images: Count
    patients: Count
    draws: Count
    split_sha256: str
    label_version: str
    differences: dict[str, Difference]


class Gap(Evaluated):
    """A group's sensitivity less that of others, with its 95 % interval.

    Bounds are None as in `Estimate`. `positives` are the group's images with the finding.
    """

    value: float
    low: float | None = None
    high: float | None = None
    positives: Count


class Calibrated(Evaluated):
    """The scores after Platt's sigmoid(slope * logit + intercept), fitted on the validation part.

    `slope` is never below 0, which would turn the order round: it is 0 where validation says so.
    """

    slope: float
    intercept: float
    brier: Share
    ece_width: Share
    ece_mass: Share


class FindingScores(Evaluated):
    """The scores of one finding, or of the derived No Finding, that is both present and absent.

    `lift` is average precision over prevalence, which is what chance reaches. `ece_width` and
    `ece_mass` are expected calibration errors over bins of equal width and of equally many images.
    `label_accuracy` is the share of right labels at 0.5, `all_negative` that of calling nobody.
    Images whose label is not known are left out of all, and counted in `unknown` where there are any.
    `calibrated` is None where the validation part has one class only, or is absent;
    `val_positives` are its images with the finding.
    """

    positives: Count
    unknown: Count | None = None
    val_positives: Count | None = None
    prevalence: Share
    auroc: Estimate
    average_precision: Share
    lift: float
    brier: Share
    ece_width: Share
    ece_mass: Share
    label_accuracy: Share
    all_negative: Share
    calibrated: Calibrated | None = None


class Decision(Evaluated):
    """Precision, recall and F1, 0 where they are 0 / 0, as scikit-learn's report has them."""

    precision: Share
    recall: Share
    f1: Share
    positives: Count


class OperatingPoint(Evaluated):
    """Thresholds by finding; decisions by finding and by `AVERAGES`."""

    thresholds: dict[str, Share]
    decisions: dict[str, Decision]


class Subgroup(Evaluated):
    """One group of test images, say of women.

    `auroc` has each finding with enough patients with an image that shows it and enough with one
    that does not, and `macro`, over the findings that all groups of the attribute have, where there
    are any. `too_few` names the other findings. `tpr_gap` is the sensitivity at Youden's threshold
    less that of the other group, or less the median where more than two groups have enough patients
    with the finding.
    """

    images: Count
    patients: Count
    auroc: dict[str, Estimate]
    too_few: tuple[str, ...]
    tpr_gap: dict[str, Gap]


class Attribute(Evaluated):
    """The groups by one attribute; `unknown` images have no value. `shared` as in `Subgroup`."""

    shared: tuple[str, ...]
    groups: dict[str, Subgroup]
    unknown: Count


class LookAlikes(Evaluated):
    """Numbers that are mistaken for a macro AUROC; None where they cannot be had.

    `label_accuracy` is the share of right labels at 0.5 over all findings, `all_negative` that of
    calling nobody, `micro_15` the AUROC of the 14 findings and No Finding pooled, and
    `training_images` the macro AUROC over images of the training part.
    """

    label_accuracy: Share
    all_negative: Share
    micro_15: Share | None = None
    training_images: Share | None = None


class Evaluation(Evaluated):
    """Everything `evaluate` says of one network; `findings` in the dataset's order.

    `auroc` has macro, micro and weighted (by positives), `average_precision` macro and micro.
    `one_class` names predicted findings that no test image shows, or all do. Without a validation
    part there is only the operating point `half`, no calibration and no gap. `draws`, `bins`,
    `sensitivity` and `at_least` are those of params.yaml. `doubts` are the lines of
    `plausibility.list_doubts`.
    """

    label_version: str
    split_sha256: str
    images: Count
    patients: Count
    draws: Count
    bins: Count
    sensitivity: Share
    at_least: Count
    auroc: dict[str, Estimate]
    average_precision: dict[str, Share]
    findings: dict[str, FindingScores]
    one_class: tuple[str, ...]
    operating_points: dict[Rule, OperatingPoint]
    subgroups: dict[str, Attribute]
    look_alikes: LookAlikes
    doubts: tuple[str, ...] = ()

    @property
    def scored(self) -> tuple[str, ...]:
        """The findings that are scored, without the derived No Finding."""
        return tuple(name for name in self.findings if name != NO_FINDING)

    @property
    def youden(self) -> dict[str, float]:
        """The thresholds of Youden's rule, by finding; none without a validation part."""
        point = self.operating_points.get("youden")
        return point.thresholds if point else {}

    @model_validator(mode="after")
    def _known_scores(self) -> "Evaluation":
        if set(self.auroc) != {"macro", "micro", "weighted"}:
            raise ValueError(
                f"auroc must have macro, micro and weighted, not {sorted(self.auroc)}"
            )
        return self
