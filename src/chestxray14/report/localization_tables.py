"""Boxes found, as tables: every run in the mean, and one run finding by finding."""

from collections.abc import Mapping, Sequence

from chestxray14.localization.record import (
    HEADLINES,
    MEAN,
    THRESHOLDS,
    Kind,
    Localization,
    Overlap,
    Pointing,
)
from chestxray14.report.published_localization import PublishedTable
from chestxray14.report.results import Run
from chestxray14.report.tables import NONE, Cell, Column, Row, Table, join_columns, text_column
from chestxray14.report.wording import share_text

METHODS = {"cam": "CAM", "grad_cam": "Grad-CAM", "grad_cam_plus_plus": "Grad-CAM++"}
"""What `Localization.method` says, in words."""


def tabulate_runs(scored: Sequence[tuple[Run, Localization]], *, splits: str) -> Table:
    """Return the means of every run of a group; dashes where no box counts."""
    records = [localization for _, localization in scored]
    columns = [
        text_column("Recipe", [run.label for run, _ in scored]),
        text_column("Method", [METHODS.get(record.method, record.method) for record in records]),
        (Column("Cell", "px of 1024"), [Cell(f"{record.grid_px:.0f}") for record in records]),
        (Column("Findings"), [Cell(str(len(record.findings))) for record in records]),
        (Column("Boxes"), [Cell(f"{record.boxes:,}") for record in records]),
    ]
    note = "mean accuracy, with noise and centre"
    columns += [
        (
            Column(f"{kind} > {HEADLINES[kind]}", note),
            [_scores_cell(record.overlaps[kind][HEADLINES[kind]], MEAN) for record in records],
        )
        for kind in THRESHOLDS
    ]
    columns += [
        (
            Column("Pointing", note),
            [_scores_cell(record.pointing, MEAN) for record in records],
        ),
        (
            Column("AFP", f"at IoBB > {HEADLINES['IoBB']}"),
            [
                Cell(_false_text(record.iobb[HEADLINES["IoBB"]], MEAN) if record.boxes else NONE)
                for record in records
            ],
        ),
    ]
    caption = f"Boxes found, {splits}: means over each network's findings"
    return join_columns(caption, columns, tones=[""] * len(scored))


def tabulate_findings(run: Run, localization: Localization) -> Table:
    """Return what was boxed and what was predicted, finding by finding."""
    rows = list(localization.findings.items())
    columns = [
        text_column("Finding", [finding for finding, _ in rows]),
        (Column("Boxes", "that count"), [Cell(f"{found.boxes:,}") for _, found in rows]),
        (
            Column("Unlabelled", "boxes on images that lack the label"),
            [Cell(f"{found.unlabelled:,}") for _, found in rows],
        ),
        (
            Column("Called", "annotated images called positive"),
            [Cell(f"{found.called:,}") for _, found in rows],
        ),
        (
            Column("Predicted boxes", "on images boxed for the finding"),
            [Cell(f"{found.predicted:,}") for _, found in rows],
        ),
        (
            Column("Median area", "of predicted boxes, % of the image"),
            [
                Cell(NONE if found.median_area is None else f"{found.median_area:.1f}")
                for _, found in rows
            ],
        ),
        (
            Column("Pointing", "with noise and centre"),
            [_scores_cell(localization.pointing, finding) for finding, _ in rows],
        ),
        (
            Column("Centre held", "by a box of the upper cut, with noise and centre"),
            [_scores_cell(localization.holds_centre, finding) for finding, _ in rows],
        ),
    ]
    caption = f"Boxes by finding: {run.label}"
    return join_columns(caption, columns, tones=[""] * len(rows))


def _scores_cell(scores: Overlap | Pointing, name: str) -> Cell:
    """Return a share with its baselines in small print, a dash where nothing is scored."""
    if name not in scores.accuracy:
        return Cell(NONE)
    random, centre = (share_text(who[name]) for who in (scores.random, scores.centre))
    return Cell(share_text(scores.accuracy[name]), note=f"noise {random}, centre {centre}")


def _false_text(scores: Overlap, name: str) -> str:
    """Return the false positives, a dash where the network has no threshold to call by."""
    return share_text(scores.afp[name]) if name in scores.afp else NONE


def tabulate_overlaps(
    run: Run,
    localization: Localization,
    *,
    kind: Kind,
    published: Sequence[PublishedTable],
    reasons: Mapping[str, str | None],
) -> Table:
    """Return accuracy at each threshold in the layout of Wang et al.: a column a finding.

    Below the run stand its baselines and the published tables of this overlap, those with one of
    the `reasons` set apart.
    """
    findings = list(localization.findings)
    boxes = [localization.findings[finding].boxes for finding in findings]
    rows = [Row((Cell("Boxes"), *(Cell(f"{n:,}") for n in [*boxes, localization.boxes])))]
    for threshold, scores in localization.overlaps[kind].items():
        above = f"> {threshold}"
        names = [*findings, MEAN]
        afp = [f"AFP {_false_text(scores, name)}" for name in names]
        for who, shares, notes, tone in (
            ("this run", scores.accuracy, afp, "ours"),
            ("noise", scores.random, [""] * len(names), ""),
            ("centre", scores.centre, [""] * len(names), ""),
        ):
            cells = [
                Cell(share_text(shares[name]), note=note)
                for name, note in zip(names, notes, strict=True)
            ]
            rows.append(Row((Cell(f"{above} {who}"), *cells), tone))
        for table in published:
            theirs = table.scores[float(threshold)]
            accuracy = {**theirs.accuracy, MEAN: theirs.mean_accuracy}
            false = {**theirs.afp, MEAN: theirs.mean_afp}
            cells = [
                Cell(
                    share_text(accuracy[name]),
                    apart=bool(reasons[table.title]),
                    note=f"AFP {share_text(false[name])}",
                )
                for name in names
            ]
            rows.append(Row((Cell(f"{above} {table.title}", note=table.dataset), *cells)))
    columns = [Column(kind, "above which a box is found", numeric=False)]
    columns += [Column(finding) for finding in findings]
    return Table(
        caption=f"Accuracy by {kind}: {run.label} on {localization.boxes:,} boxes, its baselines, "
        "and Wang et al. 2017",
        columns=(*columns, Column("Mean")),
        rows=tuple(rows),
    )
