"""Whether a result holds elsewhere: recipes on other datasets, beside their own test part."""

from chestxray14.report.results import Transfer
from chestxray14.report.sections import Section, Told
from chestxray14.report.tables import NONE, Cell, Row, cell, make_table
from chestxray14.scoring.evaluation import Difference
from chestxray14.scoring.transfer import compare_sets

HEADS = ("Own test", "There", "There less own", "Predicted less observed", "The same after Platt")


def describe_transfers(told: Told) -> Section | None:
    """Return what recipes reach on other datasets; None where none is asked for."""
    if not told.results.transfers:
        return None
    digits = told.digits
    rows: list[Row] = []
    singles: list[Row] = []
    first, unshared = None, []
    for transfer in told.results.transfers:
        run, there = transfer.run, transfer.evaluation
        compared = compare_sets((run.evaluation, run.scored.draws), (there, transfer.draws))
        if not compared:
            unshared.append(f"{run.label} on {transfer.name}")
            continue
        first = first or (run.label, transfer.name, len(compared) - 1, *compared["macro"])
        counts = f"{there.images:,}", f"{there.patients:,}", f"{len(compared) - 1}"
        for name, scores in compared.items():
            cells = [
                *(cell(each, digits) for each in scores),
                *_drift(transfer, name, mean_of=set(compared), digits=digits),
            ]
            if name == "macro":
                rows.append([run.label, transfer.name, *counts, *cells])
            else:
                singles.append([name, run.label, transfer.name, *cells])
    columns = ("Recipe", "On", "Images", "Patients", "Findings", *HEADS)
    tables = (
        make_table("Other datasets, mean over the findings of both", columns, rows, words=["On"]),
        make_table(
            "Other datasets by finding",
            ("Finding", "Recipe", "On", *HEADS),
            singles,
            words=["Recipe", "On"],
        ),
    )
    facts = {"first": first, "unshared": unshared}
    return Section("elsewhere", "Does it hold elsewhere?", facts, (), tables if rows else ())


def _drift(transfer: Transfer, name: str, *, mean_of: set[str], digits: int) -> list[Cell]:
    """Return the two drifts, their means only where they are over the same findings."""
    cells = []
    for drift in (transfer.drift.as_predicted, transfer.drift.after_platt):
        found: Difference | None = drift.get(name)
        whole = name != "macro" or set(drift) == mean_of
        cells.append(cell(found, digits) if found and whole else Cell(NONE))
    return cells
