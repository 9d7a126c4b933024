"""The AUROC of each finding: the leader beside what others report, then all runs side by side."""

from collections.abc import Collection, Mapping, Sequence

from chestxray14.base.findings import NO_FINDING
from chestxray14.files.metrics import Prepared
from chestxray14.report.published import System
from chestxray14.report.ranking import estimate_mean
from chestxray14.report.results import Floor, Run, mean_auroc
from chestxray14.report.sources import REFERENCES, own_source, why_finding_apart, why_mean_apart
from chestxray14.report.tables import (
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
from chestxray14.scoring.evaluation import Estimate

DERIVED = f"{NO_FINDING} (derived)"

Line = str | tuple[str, ...]
"""What a row is of: a finding, `macro`, the derived No Finding, or the mean of these findings."""


def tabulate_leader(
    prepared: Prepared,
    run: Run,
    published: Mapping[str, System],
    *,
    apart: Collection[str],
    floor: Floor | None,
) -> Table:
    """Return a run beside metadata alone (`floor`), its own source and the references.

    `apart` are the titles of the references that are of another protocol.
    """
    lines = _list_lines([run], run.scored)
    columns = [
        *_name_lines([run], lines, mean="scored here"),
        estimate_column(Column(run.label, "this run"), [_of_run(run, line) for line in lines]),
    ]
    if floor:
        head = Column("Metadata alone", "age, sex, view, follow-up")
        columns.append(estimate_column(head, [_of_floor(floor, line) for line in lines]))
    columns += _set_beside_source(prepared, run, published, lines)
    for source, title in REFERENCES.items():
        system = published[source]
        reported = [_of_system(system, line) for line in lines]
        flags = [title in apart] * len(lines)
        columns.append(number_column(Column(title, system.conditions), reported, apart=flags))
    caption = f"AUROC by finding: {run.label} and published numbers"
    return join_columns(caption, columns, tones=_tone_lines(lines))


def tabulate_side_by_side(
    prepared: Prepared,
    runs: Sequence[Run],
    published: Mapping[str, System],
    *,
    shared: Sequence[str],
) -> Table:
    """Return the runs side by side as given, then the sources of all but the first.

    `shared` are the findings that all of them score.
    """
    lines = _list_lines(runs, shared)
    columns = _name_lines(runs, lines, mean="shared")
    columns += [
        estimate_column(Column(run.label), [_of_run(run, line) for line in lines]) for run in runs
    ]
    for run in runs[1:]:
        columns += _set_beside_source(prepared, run, published, lines)
    caption = f"AUROC by finding: all {len(runs)} networks, the leader first"
    return join_columns(caption, columns, tones=_tone_lines(lines))


def _list_lines(runs: Sequence[Run], mean_of: Sequence[str]) -> list[Line]:
    lines: list[Line] = [*runs[0].labelled, "macro"]
    if 0 < len(mean_of) < len(runs[0].labelled):
        lines.append(tuple(mean_of))
    if any(NO_FINDING in run.evaluation.findings for run in runs):
        lines.append(NO_FINDING)
    return lines


def _name_lines(runs: Sequence[Run], lines: Sequence[Line], *, mean: str) -> list[Filled]:
    """Return the name of each line and how many test images show it; `mean` is of which ones."""
    named = {"macro": "Mean of all scored", NO_FINDING: DERIVED}
    names = [
        f"Mean of the {len(line)} {mean}" if isinstance(line, tuple) else named.get(line, line)
        for line in lines
    ]
    test = runs[0].split.test
    positives: dict[Line, int] = {finding: test.positives(finding) for finding in test.findings}
    for run in runs:
        if scores := run.evaluation.findings.get(NO_FINDING):
            positives[NO_FINDING] = scores.positives
    cells = [Cell(f"{positives[line]:,}" if line in positives else "") for line in lines]
    return [text_column("Finding", names), (Column("Positives", "in the test part"), cells)]


def _tone_lines(lines: Sequence[Line]) -> list[str]:
    return ["total" if isinstance(line, tuple) or line == "macro" else "" for line in lines]


def _set_beside_source(
    prepared: Prepared, run: Run, published: Mapping[str, System], lines: Sequence[Line]
) -> list[Filled]:
    """Return what a run's own source reports and the differences, nothing where it has none."""
    source = own_source(run, published)
    if source is None or not source.auroc:
        return []
    reported = [_of_system(source, line) for line in lines]
    flags = [why_finding_apart(prepared, run, source) is not None] * len(lines)
    head = Column(f"Source of {run.label}", source.conditions)
    theirs = number_column(head, reported, apart=flags)
    flags[lines.index("macro")] = why_mean_apart(prepared, run, source) is not None
    ours = [estimate.value if (estimate := _of_run(run, line)) else None for line in lines]
    return [theirs, difference_column(f"{run.label} − source", ours, reported, apart=flags)]


def _of_run(run: Run, line: Line) -> Estimate | None:
    if isinstance(line, tuple):
        return estimate_mean(run, line)
    if line == "macro":
        return run.evaluation.auroc["macro"]
    scores = run.evaluation.findings.get(line)
    return scores.auroc if scores else None


def _of_floor(floor: Floor, line: Line) -> Estimate | None:
    if isinstance(line, tuple):
        return estimate_mean(floor, line) if set(line) <= set(floor.scored) else None
    return floor.estimates.get(line)


def _of_system(system: System, line: Line) -> float | None:
    if isinstance(line, tuple):
        return mean_auroc(system.auroc, line) if set(line) <= set(system.auroc) else None
    return system.mean if line == "macro" else system.auroc.get(line)
