"""The averages over findings: each run's beside its source's, and among the published ones."""

from collections.abc import Mapping, Sequence

from chestxray14.files.metrics import Prepared
from chestxray14.report.published import MICRO, Family, System
from chestxray14.report.results import ELSEWHERE, Run, name_runs
from chestxray14.report.sources import own_source, why_mean_apart
from chestxray14.report.tables import (
    NONE,
    Cell,
    Column,
    Filled,
    Row,
    Table,
    auroc_text,
    difference_column,
    estimate_cell,
    estimate_column,
    join_columns,
    number_column,
    text_column,
)


def explain_no_difference(
    prepared: Prepared, runs: Sequence[Run], published: Mapping[str, System]
) -> tuple[str, ...]:
    """Say once for each reason which recipes have no difference to their source."""
    recipes = [run for run in runs if run.training]
    reasons: dict[str, list[Run]] = {}
    for run in recipes:
        source = own_source(run, published)
        reason = "no AUROC of its source is in the published tables"
        if source is None or (reason := why_mean_apart(prepared, run, source) or ""):
            reasons.setdefault(reason, []).append(run)
    return tuple(
        f"No difference is shown for {name_runs(members, among=recipes)}: {reason}."
        for reason, members in reasons.items()
    )


def tabulate_headline(
    prepared: Prepared, runs: Sequence[Run], published: Mapping[str, System]
) -> Table:
    """Return each run's averages, those of its source, and differences where there may be one."""
    counts = [(len(run.scored), len(run.labelled)) for run in runs]
    columns = [
        text_column("Recipe", [run.label for run in runs]),
        text_column("Split", [run.split_label for run in runs]),
        text_column(
            "Findings",
            [f"{n} of {most}" if n < most else f"{n}" for n, most in counts],
        ),
    ]
    theirs: list[Filled] = []
    differences: list[Filled] = []
    for average, suffix in (("macro", ""), ("micro", MICRO)):
        systems = [own_source(run, published, suffix) for run in runs]
        apart = [
            system is None or why_mean_apart(prepared, run, system) is not None
            for run, system in zip(runs, systems, strict=True)
        ]
        means = [system.mean if system else None for system in systems]
        title = f"{average.title()} AUROC"
        columns.append(
            estimate_column(
                Column(title, "this run, 95 % interval"),
                [run.evaluation.auroc[average] for run in runs],
            )
        )
        theirs.append(number_column(Column(title, "its source"), means, apart=apart))
        ours = [run.auroc[average] for run in runs]
        differences.append(
            difference_column(f"{average}, this run − source", ours, means, apart=apart)
        )
    sources = [own_source(run, published) for run in runs]
    titles = [
        source.title if source else NONE if run.training else f"{ELSEWHERE} ({run.pretrained})"
        for run, source in zip(runs, sources, strict=True)
    ]
    columns += [*theirs, *differences]
    columns.append(text_column("Its protocol", [s.conditions if s else NONE for s in sources]))
    columns.append(text_column("Source", titles))
    return join_columns("Each recipe and what its source reports", columns, tones=[""] * len(runs))


def tabulate_published(
    prepared: Prepared, runs: Sequence[Run], published: Mapping[str, System], *, family: Family
) -> Table:
    """Return the macro means of one protocol, highest first, ours among them where they may be."""
    members = [s for s in published.values() if s.family == family and not s.micro]
    ours = [
        run
        for run in runs
        if members and not any(why_mean_apart(prepared, run, system) for system in members)
    ]
    entries = []
    for system in members:
        doubtful = system.selected_on_test or system.implausible
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
        macro = run.evaluation.auroc["macro"]
        chosen = "val" if run.training and run.training.recipe.epochs else "nothing trained"
        texts = (chosen, run.split_label, "this run")
        named = (Cell(run.label), estimate_cell(macro), *map(Cell, texts))
        entries.append((macro.value, Row(named, "ours")))
    entries.sort(key=lambda entry: (-entry[0], entry[1].cells[0].text))
    headings = ("System", "Macro AUROC", "Selected on", "Protocol", "Evidence and remarks")
    return Table(
        caption=f"Published macro AUROC, {family}",
        columns=tuple(Column(title, numeric=title == "Macro AUROC") for title in headings),
        rows=tuple(row for _, row in entries),
    )
