"""All runs beside all published numbers, as tables that keep the protocols apart."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.published import FAMILIES, MICRO, Family, System, why_apart
from chestxray14.regimens import TRAINABLE
from chestxray14.results import ELSEWHERE, Part, Prepared, Run, mean_auroc, name_runs
from chestxray14.tables import (
    NONE,
    Cell,
    Column,
    Filled,
    Row,
    Table,
    auroc_text,
    difference_column,
    difference_text,
    join_columns,
    number_column,
    text_column,
    text_table,
)

REFERENCES = {
    "wang_2017": "Wang et al. 2017",
    "yao_2017": "Yao et al. 2017",
    "chexnet_2017": "CheXNet 2017",
}
"""The published columns that stand beside every recipe, by source."""


@dataclass(frozen=True)
class Group:
    """The runs that were scored on the same test images, beside what may stand there.

    `shared` are the findings that all of them score. `ranking` is over these, None for a single
    run or where nothing is shared.
    """

    runs: tuple[Run, ...]
    shared: tuple[str, ...]
    ranking: Table | None
    references: dict[str, System]
    table: Table

    @property
    def test(self) -> Part:
        """The test part."""
        return self.runs[0].split.test

    @property
    def splits(self) -> str:
        """The splits that have these test images, named."""
        return _name_splits(self.runs)


@dataclass(frozen=True)
class Comparison:
    """Everything the report says in numbers; `no_difference` says why one is not shown."""

    prepared: Prepared
    runs: tuple[Run, ...]
    headline: Table
    no_difference: tuple[str, ...]
    groups: tuple[Group, ...]
    published: dict[Family, Table]
    systems: tuple[System, ...]


def compare(
    prepared: Prepared, runs: Sequence[Run], published: Mapping[str, System]
) -> Comparison:
    """Return the runs beside the published systems.

    A recipe's own source is the published system that carries its name. Raises `InputError` when
    there is no run, or a reference is missing from the published tables.
    """
    if not runs:
        raise InputError("params.yaml: recipes is empty, there is nothing to compare")
    if missing := [source for source in REFERENCES if source not in published]:
        raise InputError(f"data/published/auroc.csv lacks the sources {', '.join(missing)}")
    # The same test images under two names of a split are one test; a leak is kept by itself.
    groups: dict[tuple[str, bool], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.split.test.sha256, run.leaky), []).append(run)
    return Comparison(
        prepared=prepared,
        runs=tuple(runs),
        headline=_headline(prepared, runs, published),
        no_difference=_no_difference(prepared, runs, published),
        groups=tuple(_group(prepared, members, published) for members in groups.values()),
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
    if run.training is None:
        return "it was pretrained elsewhere"
    return why_apart(
        system,
        drawn=prepared.source == "phantom",
        listed=prepared.images + prepared.rejected,
        left_out=prepared.images - run.split.images,
        kind=run.split.kind,
    )


def _own_source(run: Run, published: Mapping[str, System], suffix: str = "") -> System | None:
    return published.get(run.name + suffix) if run.training else None


def _no_difference(
    prepared: Prepared, runs: Sequence[Run], published: Mapping[str, System]
) -> tuple[str, ...]:
    """Say once for each reason which recipes have no difference."""
    recipes = [run for run in runs if run.training]
    reasons: dict[str, list[Run]] = {}
    for run in recipes:
        source = _own_source(run, published)
        reason = "no AUROC of its source is in the published tables"
        if source is None or (reason := why_apart_in_mean(prepared, run, source) or ""):
            reasons.setdefault(reason, []).append(run)
    return tuple(
        f"No difference is shown for {name_runs(members, among=recipes)}: {reason}."
        for reason, members in reasons.items()
    )


def _headline(prepared: Prepared, runs: Sequence[Run], published: Mapping[str, System]) -> Table:
    counts = [len(run.scored) for run in runs]
    columns = [
        text_column("Recipe", [run.label for run in runs]),
        text_column("Split", [run.split_label for run in runs]),
        text_column(
            "Findings",
            [f"{n} of {len(FINDINGS)}" if n < len(FINDINGS) else f"{n}" for n in counts],
        ),
    ]
    theirs: list[Filled] = []
    differences: list[Filled] = []
    for average, suffix in (("macro", ""), ("micro", MICRO)):
        ours = [run.evaluated.auroc[average] for run in runs]
        systems = [_own_source(run, published, suffix) for run in runs]
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
    sources = [_own_source(run, published) for run in runs]
    titles = [
        source.title if source else NONE if run.training else f"{ELSEWHERE} ({run.pretrained})"
        for run, source in zip(runs, sources, strict=True)
    ]
    columns += [*theirs, *differences]
    columns.append(text_column("Its protocol", [s.conditions if s else NONE for s in sources]))
    columns.append(text_column("Source", titles))
    return join_columns("Each recipe and what its source reports", columns, tones=[""] * len(runs))


def _group(prepared: Prepared, runs: Sequence[Run], published: Mapping[str, System]) -> Group:
    shared = tuple(f for f in FINDINGS if all(f in run.scored for run in runs))
    # Pretrained networks come last; what may stand beside the recipes is theirs to decide.
    trained = [run for run in runs if run.training] or runs
    apart = {
        title
        for source, title in REFERENCES.items()
        if any(_why_apart(prepared, run, published[source]) for run in trained)
    }
    return Group(
        runs=tuple(runs),
        shared=shared,
        ranking=_ranking(runs, shared) if shared and len(runs) > 1 else None,
        references={
            title: published[source] for source, title in REFERENCES.items() if title not in apart
        },
        table=_by_finding(prepared, runs, published, shared=shared, apart=apart),
    )


def _name_splits(runs: Sequence[Run]) -> str:
    labels = dict.fromkeys(run.split_label for run in runs)
    return f"split{'s' if len(labels) > 1 else ''} {', '.join(labels)}"


def _ranking(runs: Sequence[Run], shared: Sequence[str]) -> Table:
    """Return the runs by their mean over the same findings, highest first."""
    reached = {run.name: mean_auroc(run.evaluated.auroc, shared) for run in runs}
    ranked = sorted(runs, key=lambda run: -reached[run.name])
    first = reached[ranked[0].name]
    rows = [
        (
            run.label,
            auroc_text(reached[run.name]),
            NONE if run is ranked[0] else difference_text(first, reached[run.name]).lstrip("+"),
            TRAINABLE[run.training.recipe.trainable] if run.training else ELSEWHERE,
            run.split_label,
            f"{run.training.trained.train_images:,}" if run.training else NONE,
        )
        for run in ranked
    ]
    headings = ("Recipe", "Macro AUROC", "Below the first", "Trained", "Split", "Training images")
    return text_table(
        f"Ranked on {_name_splits(runs)}, over the same findings ({len(shared)} of 14) and images",
        headings,
        rows,
        numeric=(1, 2, 5),
    )


def _by_finding(
    prepared: Prepared,
    runs: Sequence[Run],
    published: Mapping[str, System],
    *,
    shared: Sequence[str],
    apart: Collection[str],
) -> Table:
    """Return a row a finding and their means, of the runs that share their test images."""
    means = ["Mean of all scored"]
    if 0 < len(shared) < len(FINDINGS):
        means.append(f"Mean of the {len(shared)} shared")

    def values(auroc: Mapping[str, float], macro: float) -> list[float | None]:
        over_shared = [mean_auroc(auroc, shared) for _ in means[1:]]
        return [*(auroc.get(finding) for finding in FINDINGS), macro, *over_shared]

    test = runs[0].split.test
    positives = [f"{test.positives(finding):,}" for finding in FINDINGS]
    columns = [
        text_column("Finding", [*FINDINGS, *means]),
        (
            Column("Positives", "in the test part"),
            [Cell(n) for n in [*positives, *[""] * len(means)]],
        ),
    ]
    theirs: list[Filled] = []
    for run in runs:
        ours = values(run.evaluated.auroc, run.evaluated.auroc["macro"])
        columns.append(number_column(Column(run.label, "this run"), ours))
        if (source := _own_source(run, published)) and source.auroc:
            reported = values(source.auroc, source.mean)
            flags = [_why_apart(prepared, run, source) is not None] * len(reported)
            head = Column(f"Source of {run.label}", source.conditions)
            theirs.append(number_column(head, reported, apart=flags))
            flags[len(FINDINGS)] = why_apart_in_mean(prepared, run, source) is not None
            theirs.append(difference_column(f"{run.label} − source", ours, reported, apart=flags))
    # Ours side by side first, what others report after them.
    columns += theirs
    for source_name, title in REFERENCES.items():
        system = published[source_name]
        reported = values(system.auroc, system.mean)
        flags = [title in apart] * len(reported)
        columns.append(number_column(Column(title, system.conditions), reported, apart=flags))
    tones = [""] * len(FINDINGS) + ["total"] * len(means)
    return join_columns("AUROC by finding", columns, tones=tones)


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
        chosen = "val" if run.training and run.training.recipe.epochs else "nothing trained"
        texts = (run.label, auroc_text(macro), chosen, run.split_label, "this run")
        entries.append((macro, Row(tuple(map(Cell, texts)), "ours")))
    entries.sort(key=lambda entry: (-entry[0], entry[1].cells[0].text))
    headings = ("System", "Macro AUROC", "Selected on", "Protocol", "Evidence and remarks")
    return Table(
        caption=f"Published macro AUROC, {family}",
        columns=tuple(Column(title, numeric=title == "Macro AUROC") for title in headings),
        rows=tuple(row for _, row in entries),
    )
