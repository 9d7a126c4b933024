"""The AUROC of each finding: ours side by side, then the sources' and the references'."""

from collections.abc import Collection, Mapping, Sequence

from chestxray14.evaluation import Estimate
from chestxray14.findings import FINDINGS, NO_FINDING
from chestxray14.published import System
from chestxray14.ranking import estimate_mean
from chestxray14.results import Floor, Prepared, Run, mean_auroc
from chestxray14.sources import REFERENCES, own_source, why_finding_apart, why_mean_apart
from chestxray14.tables import (
    Cell,
    Column,
    Filled,
    Table,
    difference_column,
    estimate_column,
    join_columns,
    number_column,
    text_column,
)

DERIVED = f"{NO_FINDING} (derived)"


def tabulate_findings(
    prepared: Prepared,
    runs: Sequence[Run],
    published: Mapping[str, System],
    *,
    shared: Sequence[str],
    apart: Collection[str],
    floor: Floor | None,
) -> Table:
    """Return a row a finding, then their means, of the runs that share their test images.

    Last comes the derived No Finding, which is in no mean, where a run has it. `apart` are the
    titles of the references that are of another protocol, `floor` what metadata alone reaches.
    """
    derived = [
        run.evaluation.findings[NO_FINDING]
        for run in runs
        if NO_FINDING in run.evaluation.findings
    ]
    over_shared = [shared] if 0 < len(shared) < len(FINDINGS) else []
    rows = [
        *FINDINGS,
        "Mean of all scored",
        *(f"Mean of the {len(findings)} shared" for findings in over_shared),
        *(DERIVED for _ in derived[:1]),
    ]
    macro = len(FINDINGS)

    def values(auroc: Mapping[str, float], mean: float) -> list[float | None]:
        means = [mean_auroc(auroc, findings) for findings in over_shared]
        named = [auroc.get(finding) for finding in FINDINGS]
        return [*named, mean, *means, *(auroc.get(NO_FINDING) for _ in derived[:1])]

    test = runs[0].split.test
    positives = [f"{test.positives(finding):,}" for finding in FINDINGS]
    positives += [""] * (1 + len(over_shared)) + [f"{one.positives:,}" for one in derived[:1]]
    columns = [
        text_column("Finding", rows),
        (Column("Positives", "in the test part"), [Cell(n) for n in positives]),
    ]
    theirs: list[Filled] = []
    for run in runs:
        scores = run.evaluation.findings
        estimates = [scores[f].auroc if f in scores else None for f in FINDINGS]
        estimates.append(run.evaluation.auroc["macro"])
        estimates += [estimate_mean(run, findings) for findings in over_shared]
        estimates += [scores[NO_FINDING].auroc if NO_FINDING in scores else None] * bool(derived)
        columns.append(estimate_column(Column(run.label, "this run"), estimates))
        if (source := own_source(run, published)) and source.auroc:
            reported = values(source.auroc, source.mean)
            flags = [why_finding_apart(prepared, run, source) is not None] * len(reported)
            head = Column(f"Source of {run.label}", source.conditions)
            theirs.append(number_column(head, reported, apart=flags))
            flags[macro] = why_mean_apart(prepared, run, source) is not None
            ours = [e.value if e else None for e in estimates]
            theirs.append(difference_column(f"{run.label} − source", ours, reported, apart=flags))
    if floor:
        reached = [_floor_estimate(floor, name) for name in (*FINDINGS, "macro")]
        reached += [_floor_mean(floor, findings) for findings in over_shared]
        reached += [None] * bool(derived)
        head = Column("Metadata alone", "age, sex, view, follow-up")
        columns.append(estimate_column(head, reached))
    # Ours side by side first, what others report after them.
    columns += theirs
    for source_name, title in REFERENCES.items():
        system = published[source_name]
        reported = values(system.auroc, system.mean)
        flags = [title in apart] * len(reported)
        columns.append(number_column(Column(title, system.conditions), reported, apart=flags))
    tones = [""] * macro + ["total"] * (1 + len(over_shared)) + [""] * bool(derived)
    return join_columns("AUROC by finding", columns, tones=tones)


def _floor_estimate(floor: Floor, name: str) -> Estimate | None:
    if name not in floor.auroc:
        return None
    low, high = floor.auroc_low.get(name), floor.auroc_high.get(name)
    return Estimate(value=floor.auroc[name], low=low, high=high)


def _floor_mean(floor: Floor, findings: Sequence[str]) -> Estimate | None:
    """Return the mean over some findings, which has no interval: the floor keeps no draws."""
    if not set(findings) <= set(floor.auroc):
        return None
    return Estimate(value=mean_auroc(floor.auroc, findings))
