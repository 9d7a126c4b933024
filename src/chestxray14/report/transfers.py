"""Whether a result holds elsewhere: recipes on other datasets, beside their own test part."""

from chestxray14.report.comparison import Comparison
from chestxray14.report.results import Transfer
from chestxray14.report.sections import Section
from chestxray14.report.tables import (
    NONE,
    Cell,
    Column,
    Filled,
    difference_text,
    estimate_column,
    interval_text,
    join_columns,
    text_column,
)
from chestxray14.report.wording import share_gap_text
from chestxray14.scoring.evaluation import Difference
from chestxray14.scoring.transfer import compare_sets


def describe_transfers(comparison: Comparison) -> list[Section]:
    """Return what recipes reach on other datasets, nothing where none is asked for."""
    if not comparison.transfers:
        return []
    return [
        Section(
            "elsewhere",
            "Does it hold elsewhere?",
            text=(
                (
                    "Trained recipes on all images of another dataset, scored on the findings that both "
                    "have; thresholds and calibration stay those of the recipe's own validation part. "
                    "Images of the training dataset are not among them."
                ),
                (
                    "The two tests have different patients, so the difference is of independent draws "
                    "of both, and its interval is wider than a paired one. What differs may be patients, "
                    "machines, or what a label means: the same name is not always the same finding."
                ),
                (
                    "Predicted less observed is the mean probability less the share of images with the "
                    "finding: above 0, more disease is promised than there is."
                ),
            ),
        ),
        *(_describe(transfer) for transfer in comparison.transfers),
    ]


def _describe(transfer: Transfer) -> Section:
    run, there = transfer.run, transfer.evaluation
    compared = compare_sets((run.evaluation, run.draws), (there, transfer.draws))
    title = f"{run.label} on {transfer.name}"
    anchor = f"elsewhere-{transfer.name}-{run.name}"
    if not compared:
        text = f"No finding is scored both on {transfer.name} and on split {run.split_label}."
        return Section(anchor, title, level=3, text=(text,))
    names = list(compared)
    own, elsewhere, differences = zip(*compared.values(), strict=True)
    columns = [
        text_column("Finding", [f"Mean of {len(names) - 1}", *names[1:]]),
        estimate_column(Column("Own test", f"split {run.split_label}"), own),
        estimate_column(Column("There", transfer.name), elsewhere),
        (
            Column("There − own", "independent, 95 % interval"),
            [
                Cell(
                    difference_text(theirs.value, ours.value),
                    note=interval_text(gap.low, gap.high),
                )
                for ours, theirs, gap in zip(own, elsewhere, differences, strict=True)
            ],
        ),
        _drift("as predicted", transfer.drift.as_predicted, names),
        _drift("after Platt", transfer.drift.after_platt, names),
    ]
    where = f"{there.images:,} images of {there.patients:,} patients"
    tones = ["total", *[""] * (len(names) - 1)]
    table = join_columns(f"AUROC of {title}: {where}", columns, tones=tones)
    return Section(anchor, title, level=3, tables=(table,))


def _drift(what: str, drift: dict[str, Difference], names: list[str]) -> Filled:
    """Return a column of drifts; their mean only where it is over the same findings."""
    shown = drift if set(drift) == set(names) else {k: v for k, v in drift.items() if k != "macro"}
    return Column("Predicted less observed", f"{what}, 95 % interval"), [
        Cell(share_gap_text(gap.value), note=interval_text(gap.low, gap.high))
        if gap
        else Cell(NONE)
        for gap in map(shown.get, names)
    ]
