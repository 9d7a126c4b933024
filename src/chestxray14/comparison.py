"""All runs beside all published numbers, as tables that keep the protocols apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chestxray14.averages import explain_no_difference, tabulate_headline, tabulate_published
from chestxray14.by_finding import tabulate_findings
from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS
from chestxray14.published import FAMILIES, Family, PublishedDecisions, System
from chestxray14.ranking import rank, tabulate_ranking
from chestxray14.results import Floor, Part, Prepared, Run, mean_auroc
from chestxray14.sources import REFERENCES, why_finding_apart
from chestxray14.tables import Table


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
    def recipes(self) -> list[Run]:
        """The runs that were trained here, the highest mean over `shared` first."""
        trained = [run for run in self.runs if run.training]
        return rank(trained, self.shared) if self.shared else trained

    @property
    def leader(self) -> Run:
        """The run that stands for the group where there is room for one."""
        return choose_leader(self.runs, self.shared)

    @property
    def test(self) -> Part:
        """The test part."""
        return self.runs[0].split.test

    @property
    def splits(self) -> str:
        """The splits that have these test images, named."""
        return name_splits(self.runs)


@dataclass(frozen=True)
class Comparison:
    """Everything the report says in numbers; `no_difference` says why one is not shown.

    `floors` are the metadata baselines by split, `decisions` what sources say of their decisions.
    """

    prepared: Prepared
    runs: tuple[Run, ...]
    headline: Table
    no_difference: tuple[str, ...]
    groups: tuple[Group, ...]
    published: dict[Family, Table]
    systems: tuple[System, ...]
    floors: Mapping[str, Floor]
    decisions: Mapping[str, PublishedDecisions]


def compare(
    prepared: Prepared,
    runs: Sequence[Run],
    published: Mapping[str, System],
    *,
    floors: Mapping[str, Floor],
    decisions: Mapping[str, PublishedDecisions],
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
        headline=tabulate_headline(prepared, runs, published),
        no_difference=explain_no_difference(prepared, runs, published),
        groups=tuple(
            _group(prepared, members, published, floors=floors) for members in groups.values()
        ),
        published={
            family: tabulate_published(prepared, runs, published, family=family)
            for family in FAMILIES
        },
        systems=tuple(published.values()),
        floors=floors,
        decisions=decisions,
    )


def choose_leader(runs: Sequence[Run], shared: Sequence[str]) -> Run:
    """Return the trained run with the highest mean AUROC over `shared`, the first if none was.

    Where nothing is shared, each mean is over a run's own findings.
    """
    trained = [run for run in runs if run.training] or runs[:1]
    return max(trained, key=lambda run: mean_auroc(run.auroc, shared or run.scored))


def name_splits(runs: Sequence[Run]) -> str:
    """Return the splits of some runs, each once."""
    labels = dict.fromkeys(run.split_label for run in runs)
    return f"split{'s' if len(labels) > 1 else ''} {', '.join(labels)}"


def _group(
    prepared: Prepared,
    runs: Sequence[Run],
    published: Mapping[str, System],
    *,
    floors: Mapping[str, Floor],
) -> Group:
    shared = tuple(f for f in FINDINGS if all(f in run.scored for run in runs))
    # Pretrained networks come last; what may stand beside the recipes is theirs to decide.
    trained = [run for run in runs if run.training] or runs
    apart = {
        title
        for source, title in REFERENCES.items()
        if any(why_finding_apart(prepared, run, published[source]) for run in trained)
    }
    # Splits with these test images may have other training parts, and so other floors.
    floor = floors.get(choose_leader(runs, shared).protocol)
    ranked = shared and len(runs) > 1
    return Group(
        runs=tuple(runs),
        shared=shared,
        ranking=tabulate_ranking(runs, shared, splits=name_splits(runs)) if ranked else None,
        references={
            title: published[source] for source, title in REFERENCES.items() if title not in apart
        },
        table=tabulate_findings(
            prepared, runs, published, shared=shared, apart=apart, floor=floor
        ),
    )
