"""The runs on one test part by their mean AUROC, and how sure their order is."""

from collections.abc import Sequence
from dataclasses import dataclass

from chestxray14.bootstrap import interval, p_value
from chestxray14.evaluation import Estimate
from chestxray14.regimens import TRAINABLE
from chestxray14.results import ELSEWHERE, Run, mean_auroc
from chestxray14.tables import (
    NONE,
    Cell,
    Column,
    Table,
    difference_text,
    estimate_column,
    interval_text,
    join_columns,
    p_text,
    text_column,
)


@dataclass(frozen=True)
class Gap:
    """How far the mean AUROC of `lower` is below that of `upper`, over the same test images.

    `low` and `high` hold 95 % of the draws of patients, each drawn for both; `p` is two-sided. All
    three are None where too few draws have a score.
    """

    upper: float
    lower: float
    draws: int
    low: float | None
    high: float | None
    p: float | None

    @property
    def text(self) -> str:
        """The gap as printed, positive where `upper` is the higher one."""
        return difference_text(self.upper, self.lower).lstrip("+")

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


def measure_gap(upper: Run, lower: Run, findings: Sequence[str]) -> Gap:
    """Return the paired gap between two runs that share their test images and so their draws."""
    differences = upper.draw_mean(findings) - lower.draw_mean(findings)
    low, high = interval(differences) or (None, None)
    return Gap(
        upper=mean_auroc(upper.auroc, findings),
        lower=mean_auroc(lower.auroc, findings),
        draws=len(differences),
        low=low,
        high=high,
        p=None if low is None else p_value(differences),
    )


def estimate_mean(run: Run, findings: Sequence[str]) -> Estimate:
    """Return a run's mean AUROC over some of the scored findings with its interval."""
    low, high = interval(run.draw_mean(findings)) or (None, None)
    return Estimate(value=mean_auroc(run.auroc, findings), low=low, high=high)


def rank(runs: Sequence[Run], findings: Sequence[str]) -> list[Run]:
    """Return runs by their mean AUROC over the same findings, highest first."""
    return sorted(runs, key=lambda run: -mean_auroc(run.auroc, findings))


def tabulate_ranking(runs: Sequence[Run], findings: Sequence[str], *, splits: str) -> Table:
    """Return the ranked runs, each with its paired gap to the first; `splits` names their splits."""
    ranked = rank(runs, findings)
    gaps = [measure_gap(ranked[0], run, findings) for run in ranked[1:]]
    columns = [
        text_column("Recipe", [run.label for run in ranked]),
        estimate_column(
            Column("Macro AUROC", "95 % interval"),
            [estimate_mean(run, findings) for run in ranked],
        ),
        (
            Column("Below the first", "paired, 95 % interval"),
            [Cell(NONE), *(Cell(gap.text, note=interval_text(gap.low, gap.high)) for gap in gaps)],
        ),
        (
            Column("p", "paired"),
            [
                Cell(NONE),
                *(Cell(NONE if g.p is None else p_text(g.p, draws=g.draws)) for g in gaps),
            ],
        ),
        text_column(
            "Trained",
            [
                TRAINABLE[run.training.recipe.trainable] if run.training else ELSEWHERE
                for run in ranked
            ],
        ),
        text_column("Split", [run.split_label for run in ranked]),
        (
            Column("Training images"),
            [
                Cell(f"{run.training.trained.train_images:,}" if run.training else NONE)
                for run in ranked
            ],
        ),
    ]
    caption = f"Ranked on {splits}, over the same findings ({len(findings)} of 14) and images"
    return join_columns(caption, columns, tones=[""] * len(ranked))
