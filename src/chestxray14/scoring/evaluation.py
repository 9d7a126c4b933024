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


TOO_NARROW = "over images, too narrow"
"""What is said of an interval where patients are not known: images of one patient are alike."""


NO_INTERVAL = "no interval: too few patients, or all draws alike"
"""What is said of a score without bounds."""


class Evaluated(BaseModel):
    """A part of a record: strict, frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, extra="forbid")


class Estimate(Evaluated):
    """A score from 0 to 1 with its 95 % interval over the draws of patients that have both classes.

    Bounds are None where too few draws, or too few patients, have a score (`claims.suffice`).
    """

    value: Share
    low: Share | None = None
    high: Share | None = None


class Bounded(Evaluated):
    """Any number with its 95 % interval, bounds None as in `Estimate`."""

    value: float
    low: float | None = None
    high: float | None = None


class Difference(Bounded):
    """One network less another in the same draws of patients, with the two-sided p value.

    The interval and p are over the draws that have both classes, and None as in `Estimate`.
    """

    p: Share | None = None

    @property
    def told_apart(self) -> bool:
        """Whether p, as it is printed, is below 0.05."""
        return self.p is not None and round(self.p, 3) < 0.05

    @property
    def turned(self) -> "Difference":
        """The other network less the one."""
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return Difference(value=-self.value, low=low, high=high, p=self.p)


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


class Gap(Bounded):
    """A group's sensitivity less that of others; `positives` are its images with the finding."""

    positives: Count


class Calibration(Evaluated):
    """Whether probabilities of one finding mean what they say, on test.

    `ece` is the expected calibration error over bins of equally many images, `ece_floor` the mean of
    it where labels are drawn anew from the probabilities: what perfect calibration has at this size.
    `slope` and `intercept` are of `calibration.fit_line`: 1 and 0 where calibration is perfect.
    """

    brier: Estimate
    ece: Share
    ece_floor: Share
    slope: Bounded | None = None
    intercept: Bounded | None = None


class Calibrated(Evaluated):
    """Platt's sigmoid(slope * logit + intercept), fitted on the validation part, and what it gives.

    `slope` is never below 0, which would turn the order round: it is 0 where validation says so.
    """

    slope: float
    intercept: float
    calibration: Calibration


class FindingScores(Evaluated):
    """The scores of one finding, or of the derived No Finding, that is both present and absent.

    `patients` have an image of the rarer class: they decide whether there are intervals.
    `average_precision` is to be read beside `prevalence`, which is what chance reaches.
    Images whose label is not known are left out of all, and counted in `unknown` where there are any.
    `calibrated` is None where the validation part has one class only, or is absent.
    """

    positives: Count
    patients: Count
    unknown: Count | None = None
    prevalence: Share
    auroc: Estimate
    average_precision: Estimate
    calibration: Calibration
    calibrated: Calibrated | None = None


class Decision(Evaluated):
    """What calling images above a threshold gives, shares 0 where they are 0 / 0.

    `npv` is the share of the images not called that lack the finding, `precision` that of the called
    that show it.
    """

    true_positives: Count
    false_positives: Count
    false_negatives: Count
    true_negatives: Count
    sensitivity: Estimate
    specificity: Estimate
    precision: Estimate
    npv: Estimate
    f1: Estimate


class OperatingPoint(Evaluated):
    """Thresholds and decisions by finding; `macro` has the mean of each share over them."""

    thresholds: dict[str, Share]
    decisions: dict[str, Decision]
    macro: dict[str, Estimate]


class Subgroup(Evaluated):
    """One group of test images, say of women.

    `macro` is the mean AUROC over the findings that all groups of the attribute can score, None where
    there are none. `tpr_gap` is the sensitivity at Youden's threshold less that of the other group,
    or less the median where more than two groups have enough patients with the finding.
    """

    images: Count
    patients: Count
    macro: Estimate | None = None
    tpr_gap: dict[str, Gap]


class Attribute(Evaluated):
    """The groups by one attribute; `unknown` images have no value, `shared` findings are scored.

    `too_few` has the groups that are too small for any finding and so in no mean.
    """

    shared: tuple[str, ...]
    groups: dict[str, Subgroup]
    too_few: tuple[str, ...] = ()
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

    `auroc` has macro and micro, this one without an interval; `average_precision` is the macro one.
    `one_class` names predicted findings that no test image shows, or all do. Without a validation
    part there is only the operating point `half`, no calibration and no gap. `patients` is 0 where
    they are not known: intervals are over images then. `draws`, `bins` and `sensitivity` are those
    of params.yaml. `doubts` are the lines of
    `plausibility.list_doubts`.
    """

    label_version: str
    split_sha256: str
    images: Count
    patients: Count
    draws: Count
    bins: Count
    sensitivity: Share
    auroc: dict[str, Estimate]
    average_precision: Estimate
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
    def units(self) -> int:
        """How many patients there are to draw, or images where patients are not known."""
        return self.patients or self.images

    @property
    def youden(self) -> dict[str, float]:
        """The thresholds of Youden's rule, by finding; none without a validation part."""
        point = self.operating_points.get("youden")
        return point.thresholds if point else {}

    @model_validator(mode="after")
    def _known_scores(self) -> "Evaluation":
        if set(self.auroc) != {"macro", "micro"}:
            raise ValueError(f"auroc must have macro and micro, not {sorted(self.auroc)}")
        return self
