"""The runs on one test part by their mean AUROC, and how sure their order is."""

from collections.abc import Sequence

from chestxray14.report.regimens import TRAINABLE
from chestxray14.report.results import ELSEWHERE, Floor, Run, mean_auroc
from chestxray14.report.tables import (
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
from chestxray14.scoring.claims import estimate, estimate_difference, suffice_for_mean
from chestxray14.scoring.evaluation import Difference, Estimate


def measure_gap(upper: Run, lower: Run | Floor, findings: Sequence[str]) -> Difference:
    """Return the paired difference of two mean AUROC over some findings that both score.

    Both are of the same test images and so share their draws.
    """
    value = mean_auroc(upper.auroc, findings) - mean_auroc(lower.auroc, findings)
    return estimate_difference(
        value,
        upper.draw_mean(findings) - lower.draw_mean(findings),
        enough=_suffice(upper, findings),
    )


def _suffice(run: Run | Floor, findings: Sequence[str]) -> bool:
    if isinstance(run, Floor):
        return True
    patients = [run.evaluation.findings[finding].patients for finding in findings]
    return suffice_for_mean(patients, in_all=run.evaluation.patients)


def gap_text(upper: Run, lower: Run | Floor, findings: Sequence[str]) -> str:
    """Return how far `lower` is below `upper` as printed, positive where `upper` is the higher."""
    means = (mean_auroc(each.auroc, findings) for each in (upper, lower))
    return difference_text(*means).lstrip("+")


def estimate_mean(run: Run | Floor, findings: Sequence[str]) -> Estimate:
    """Return a mean AUROC over some of the scored findings with its interval."""
    return estimate(
        mean_auroc(run.auroc, findings), run.draw_mean(findings), enough=_suffice(run, findings)
    )


def rank(runs: Sequence[Run], findings: Sequence[str]) -> list[Run]:
    """Return runs by their mean AUROC over the same findings, highest first."""
    return sorted(runs, key=lambda run: -mean_auroc(run.auroc, findings))


def tabulate_ranking(runs: Sequence[Run], findings: Sequence[str], *, splits: str) -> Table:
    """Return the ranked runs, each with its paired gap to the first; `splits` names their splits."""
    ranked = rank(runs, findings)
    gaps = [measure_gap(ranked[0], run, findings) for run in ranked[1:]]
    draws = len(ranked[0].draws)
    columns = [
        text_column("Recipe", [run.label for run in ranked]),
        estimate_column(
            Column("Macro AUROC", "95 % interval"),
            [estimate_mean(run, findings) for run in ranked],
        ),
        (
            Column("Below the first", "paired, 95 % interval"),
            [
                Cell(NONE),
                *(
                    Cell(gap_text(ranked[0], run, findings), note=interval_text(gap.low, gap.high))
                    for run, gap in zip(ranked[1:], gaps, strict=True)
                ),
            ],
        ),
        (
            Column("p", "paired"),
            [
                Cell(NONE),
                *(Cell(NONE if gap.p is None else p_text(gap.p, draws=draws)) for gap in gaps),
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
