"""All runs beside all published numbers, as tables that keep the protocols apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.published import FAMILIES, MICRO, Family, System, why_apart
from chestxray14.results import Prepared, Run
from chestxray14.tables import (
    NONE,
    Cell,
    Column,
    Filled,
    Row,
    Table,
    auroc_text,
    difference_column,
    join_columns,
    number_column,
    text_column,
)

REFERENCES = {
    "wang_2017": "Wang et al. 2017",
    "yao_2017": "Yao et al. 2017",
    "chexnet_2017": "CheXNet 2017",
}
"""The published columns that stand beside every recipe, by source."""


@dataclass(frozen=True)
class ByFinding:
    """The runs of one split, finding by finding, beside the references that may stand there."""

    split: str
    runs: tuple[Run, ...]
    references: dict[str, System]
    table: Table


@dataclass(frozen=True)
class Comparison:
    """Everything the report says in numbers; `no_difference` says why one is not shown."""

    prepared: Prepared
    runs: tuple[Run, ...]
    headline: Table
    no_difference: tuple[str, ...]
    by_finding: tuple[ByFinding, ...]
    published: dict[Family, Table]
    systems: tuple[System, ...]


def compare(
    prepared: Prepared, runs: Sequence[Run], published: Mapping[str, System]
) -> Comparison:
    """Return the runs beside the published systems.

    A run's own source is the published system that carries the recipe's name. Raises
    `InputError` when there is no run, or a reference is missing from the published tables.
    """
    if not runs:
        raise InputError("params.yaml: recipes is empty, there is nothing to compare")
    if missing := [source for source in REFERENCES if source not in published]:
        raise InputError(f"data/published/auroc.csv lacks the sources {', '.join(missing)}")
    splits = dict.fromkeys(run.recipe.split for run in runs)
    return Comparison(
        prepared=prepared,
        runs=tuple(runs),
        headline=_headline(prepared, runs, published),
        no_difference=_no_difference(prepared, runs, published),
        by_finding=tuple(
            _by_finding(prepared, [run for run in runs if run.recipe.split == split], published)
            for split in splits
        ),
        published={
            family: _published(prepared, runs, published, family=family) for family in FAMILIES
        },
        systems=tuple(published.values()),
    )


def why_apart_in_mean(prepared: Prepared, run: Run, system: System) -> str | None:
    """Return why a run's averages cannot be compared with a published one, None where they can."""
    if reason := _why_apart(prepared, run, system):
        return reason
    if (scored := len(run.scored)) < len(FINDINGS):
        return f"{scored} of 14 findings are scored, the published mean is over all"
    return None


def _why_apart(prepared: Prepared, run: Run, system: System) -> str | None:
    listed, drawn = prepared.images + prepared.rejected, prepared.source == "phantom"
    return why_apart(system, drawn=drawn, listed=listed, kind=run.split.kind)


def _no_difference(
    prepared: Prepared, runs: Sequence[Run], published: Mapping[str, System]
) -> tuple[str, ...]:
    """Say once for each reason which recipes have no difference."""
    reasons: dict[str, list[str]] = {}
    for run in runs:
        source = published.get(run.name)
        reason = "its source is not in the published tables"
        if source is None or (reason := why_apart_in_mean(prepared, run, source) or ""):
            reasons.setdefault(reason, []).append(run.label)
    return tuple(
        f"No difference is shown for {', '.join(labels)}: {reason}."
        for reason, labels in reasons.items()
    )


def _headline(prepared: Prepared, runs: Sequence[Run], published: Mapping[str, System]) -> Table:
    columns = [text_column("Recipe", [run.label for run in runs])]
    columns.append(text_column("Split", [run.split_label for run in runs]))
    theirs: list[Filled] = []
    differences: list[Filled] = []
    for average, suffix in (("macro", ""), ("micro", MICRO)):
        ours = [run.evaluated.auroc[average] for run in runs]
        systems = [published.get(run.name + suffix) for run in runs]
        apart = [
            system is None or why_apart_in_mean(prepared, run, system) is not None
            for run, system in zip(runs, systems, strict=True)
        ]
        means = [system.mean if system else None for system in systems]
        title = f"{average.title()} AUROC"
        columns.append(number_column(Column(title, "this run"), ours))
        theirs.append(number_column(Column(title, "its source"), means, apart=apart))
        differences.append(
            difference_column(f"{average}, this run − source", ours, means, apart=apart)
        )
    sources = [published.get(run.name) for run in runs]
    protocols = [source.conditions if source else NONE for source in sources]
    titles = [source.title if source else NONE for source in sources]
    columns += [*theirs, *differences]
    columns += [text_column("Its protocol", protocols), text_column("Source", titles)]
    return join_columns(
        "Each recipe and what its source reports", columns, tones=["ours"] * len(runs)
    )


def _by_finding(
    prepared: Prepared, runs: Sequence[Run], published: Mapping[str, System]
) -> ByFinding:
    """Return the 14 rows, and their means, of the runs that share one split."""
    first = runs[0]
    references = {title: published[source] for source, title in REFERENCES.items()}
    positives = [f"{first.split.test.positives(finding):,}" for finding in FINDINGS]
    columns = [text_column("Finding", [*FINDINGS, "Macro mean"])]
    columns.append((Column("Positives", "in the test part"), [*map(Cell, positives), Cell("")]))
    for run in runs:
        ours = [run.evaluated.auroc.get(key) for key in (*FINDINGS, "macro")]
        columns.append(number_column(Column(run.label, "this run"), ours))
        if (source := published.get(run.name)) and source.auroc:
            columns.append(_published_column(prepared, run, source, title="Its source"))
            theirs = [*source.auroc.values(), source.mean]
            apart = [_why_apart(prepared, run, source) is not None] * len(FINDINGS)
            apart.append(why_apart_in_mean(prepared, run, source) is not None)
            columns.append(difference_column("this run − source", ours, theirs, apart=apart))
    for title, system in references.items():
        columns.append(_published_column(prepared, first, system, title=title))
    return ByFinding(
        split=first.split_label,
        runs=tuple(runs),
        references={
            title: system
            for title, system in references.items()
            if not _why_apart(prepared, first, system)
        },
        table=join_columns(
            f"AUROC by finding, split {first.split_label}",
            columns,
            tones=[""] * len(FINDINGS) + ["total"],
        ),
    )


def _published(
    prepared: Prepared, runs: Sequence[Run], published: Mapping[str, System], *, family: Family
) -> Table:
    """Return the macro means of one protocol, highest first, ours among them where they may be."""
    members = [s for s in published.values() if s.family == family and not s.micro]
    ours = [
        run
        for run in runs
        if members and not any(why_apart_in_mean(prepared, run, system) for system in members)
    ]
    entries = []
    for system in members:
        doubtful = system.selected_on_test or "implausible" in system.evidence
        stated = "" if system.auroc else "mean as stated"
        cells = (
            Cell(system.title),
            Cell(auroc_text(system.mean), apart=not ours),
            Cell("TEST SET" if system.selected_on_test else system.selected_on),
            Cell(system.protocol),
            Cell("; ".join(filter(None, (system.evidence, stated, system.note)))),
        )
        entries.append((system.mean, Row(cells, "doubtful" if doubtful else "")))
    for run in ours:
        macro = run.evaluated.auroc["macro"]
        texts = (run.label, auroc_text(macro), "val", run.split_label, "this run")
        entries.append((macro, Row(tuple(map(Cell, texts)), "ours")))
    entries.sort(key=lambda entry: (-entry[0], entry[1].cells[0].text))
    headings = ("System", "Macro AUROC", "Selected on", "Protocol", "Evidence and remarks")
    return Table(
        caption=f"Published macro AUROC, {family}",
        columns=tuple(Column(title, numeric=title == "Macro AUROC") for title in headings),
        rows=tuple(row for _, row in entries),
    )


def _published_column(prepared: Prepared, run: Run, system: System, *, title: str) -> Filled:
    values = [*system.auroc.values(), system.mean]
    apart = [_why_apart(prepared, run, system) is not None] * len(values)
    return number_column(Column(title, system.conditions), values, apart=apart)
