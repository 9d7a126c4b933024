"""All runs beside all published numbers, as tables that keep the protocols apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chestxray14.base.errors import InputError
from chestxray14.files.metrics import Part, Prepared
from chestxray14.report.averages import (
    explain_no_difference,
    tabulate_headline,
    tabulate_published,
)
from chestxray14.report.by_finding import tabulate_leader, tabulate_side_by_side
from chestxray14.report.published import FAMILIES, Family, PublishedDecisions, System
from chestxray14.report.published_localization import PublishedTable
from chestxray14.report.ranking import tabulate_ranking
from chestxray14.report.results import Floor, Run, Transfer, mean_auroc
from chestxray14.report.sources import REFERENCES, why_finding_apart
from chestxray14.report.tables import Table


@dataclass(frozen=True)
class Group:
    """The runs that were scored on the same test images, beside what may stand there.

    `runs` are the recipes, the highest mean AUROC first, then what was pretrained elsewhere, in
    the same order. The mean is over the findings that all of them score (`shared`); where there
    are none, each run's is over its own. `ranking` is None for a single run or where nothing is
    shared. `by_finding` is the leader's table and, of several runs, that of all.
    """

    runs: tuple[Run, ...]
    shared: tuple[str, ...]
    ranking: Table | None
    references: dict[str, System]
    by_finding: tuple[Table, ...]

    @property
    def recipes(self) -> list[Run]:
        """The runs that were trained here."""
        return [run for run in self.runs if run.training]

    @property
    def leader(self) -> Run:
        """The run that stands for the group where there is room for one."""
        return self.runs[0]

    @property
    def leaky(self) -> bool:
        """Whether these test images are of patients that the networks were trained on."""
        return self.leader.leaky

    @property
    def anchor(self) -> str:
        """What the ids of its sections end with: the first of its splits by name."""
        return min(run.protocol for run in self.runs)

    @property
    def test(self) -> Part:
        """The test part."""
        return self.leader.split.test

    @property
    def splits(self) -> str:
        """The splits that have these test images, named."""
        return name_splits(self.runs)


@dataclass(frozen=True)
class Comparison:
    """Everything the report says in numbers; `no_difference` says why one is not shown.

    `groups` stand in the order of the runs, those that leak last. `floors` are the metadata
    baselines by split, `decisions` what sources say of their decisions and `localization` of the
    boxes they find, by title; `skipped` are the recipes that did not run, with the reason, and
    `transfers` the runs on other datasets.
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
    localization: Mapping[str, PublishedTable]
    skipped: Mapping[str, str] = field(default_factory=dict)
    transfers: tuple[Transfer, ...] = ()

    @property
    def honest(self) -> tuple[Group, ...]:
        """The groups whose split does not leak, or all where every one does."""
        return tuple(group for group in self.groups if not group.leaky) or self.groups


def compare(
    prepared: Prepared,
    runs: Sequence[Run],
    published: Mapping[str, System],
    *,
    floors: Mapping[str, Floor],
    decisions: Mapping[str, PublishedDecisions],
    localization: Mapping[str, PublishedTable],
    skipped: Mapping[str, str] | None = None,
    transfers: Sequence[Transfer] = (),
) -> Comparison:
    """Return the runs beside the published systems.

    A recipe's own source is the published system that carries its name. Raises `InputError` when
    there is no run, or a reference is missing from the published tables.
    """
    if not runs:
        raise InputError("params.yaml: recipes is empty, there is nothing to compare")
    needed = dict.fromkeys([*REFERENCES, *(table.source for table in localization.values())])
    if missing := [source for source in needed if source not in published]:
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
            _group(prepared, members, published, floors=floors)
            for members in sorted(groups.values(), key=lambda members: members[0].leaky)
        ),
        published={
            family: tabulate_published(prepared, runs, published, family=family)
            for family in FAMILIES
        },
        systems=tuple(published.values()),
        floors=floors,
        decisions=decisions,
        localization=localization,
        skipped=skipped or {},
        transfers=tuple(transfers),
    )


def name_splits(runs: Sequence[Run]) -> str:
    """Return the splits of some runs, each once."""
    labels = sorted({run.split_label for run in runs})
    return f"split{'s' if len(labels) > 1 else ''} {', '.join(labels)}"


def _group(
    prepared: Prepared,
    runs: Sequence[Run],
    published: Mapping[str, System],
    *,
    floors: Mapping[str, Floor],
) -> Group:
    shared = tuple(f for f in runs[0].labelled if all(f in run.scored for run in runs))
    runs = sorted(
        runs,
        key=lambda run: (run.training is None, -mean_auroc(run.auroc, shared or run.scored)),
    )
    # What may stand beside the recipes is theirs to decide.
    trained = [run for run in runs if run.training] or runs
    apart = {
        title
        for source, title in REFERENCES.items()
        if any(why_finding_apart(prepared, run, published[source]) for run in trained)
    }
    by_finding = [
        tabulate_leader(
            prepared,
            runs[0],
            published,
            apart=apart,
            # Splits with these test images may have other training parts, and so other floors.
            floor=floors.get(runs[0].protocol),
        )
    ]
    if len(runs) > 1:
        by_finding.append(tabulate_side_by_side(prepared, runs, published, shared=shared))
    ranked = shared and len(runs) > 1
    return Group(
        runs=tuple(runs),
        shared=shared,
        ranking=tabulate_ranking(runs, shared, splits=name_splits(runs)) if ranked else None,
        references={
            title: published[source] for source, title in REFERENCES.items() if title not in apart
        },
        by_finding=tuple(by_finding),
    )
