"""Whom a network works for less well, in words and tables."""

from collections.abc import Sequence

from chestxray14.report.comparison import Comparison, Group
from chestxray14.report.results import Run, name_runs
from chestxray14.report.sections import Section
from chestxray14.report.tables import (
    Cell,
    Column,
    Table,
    estimate_column,
    interval_text,
    join_columns,
    text_column,
)
from chestxray14.report.wording import share_gap_text, title_group
from chestxray14.scoring.evaluation import Attribute, Estimate, Gap

GAPS = 10
"""How many gaps in sensitivity are listed, the largest first."""


def describe_groups(comparison: Comparison) -> list[Section]:
    """Return AUROC by group of patients, and the leader's gaps in sensitivity."""
    enough = comparison.runs[0].evaluation.at_least
    sections = [
        Section(
            "groups",
            "Groups of patients",
            text=(
                (
                    "A good mean can hide that a network is worse for some. Macro AUROC within each "
                    "group of test images stands here with its 95 % interval. A finding is scored in a "
                    f"group with at least {enough} patients who have it and {enough} who do not. "
                    "Within an attribute all groups are scored over the same findings, those that "
                    "each can be scored for; between attributes, and between recipes, these may differ."
                ),
                (
                    "Groups differ in more than their name: in who is ill, how ill, and how they were "
                    "X-rayed. A gap shows that something differs, not why."
                ),
                (
                    "A gap in sensitivity is the sensitivity in a group, at Youden's threshold from "
                    f"the validation part, among the groups with at least {enough} patients who have "
                    "the finding: less that in the other group, or less their median where they are "
                    "more than two. Below 0 the finding is missed more often. Of two groups only the "
                    "one that is missed more often is listed. Few positives make large gaps by luck, "
                    "and the more gaps are looked at, the larger is the largest of them."
                ),
            ),
        )
    ]
    for group in comparison.honest:
        table = _tabulate_groups(group)
        sections.append(
            Section(
                f"groups-{group.anchor}",
                title_group(group, "macro AUROC by group"),
                level=3,
                text=() if table.rows else ("No group of patients is known here.",),
                tables=(table,) if table.rows else (),
                points=tuple(
                    _describe_attribute(group, attribute) for attribute in _attributes(group)
                ),
            )
        )
        sections.append(_describe_gaps(group))
    return sections


def name_findings(findings: Sequence[str], *, among: Sequence[str]) -> str:
    """Return findings by name, or those left out where these are fewer."""
    others = [finding for finding in among if finding not in findings]
    if not findings:
        return "no finding"
    if not others:
        return f"all {len(among)}"
    if len(others) < len(findings):
        return f"all but {', '.join(others)}"
    return ", ".join(findings)


def _attributes(group: Group) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for run in group.runs for name in run.evaluation.subgroups))


def _members(group: Group, attribute: str) -> tuple[str, ...]:
    """Return the names of an attribute's groups, in the order in which they are recorded."""
    found = [run.evaluation.subgroups.get(attribute) for run in group.runs]
    return tuple(dict.fromkeys(name for entry in found if entry for name in entry.groups))


def _tabulate_groups(group: Group) -> Table:
    rows = [
        (attribute, name)
        for attribute in _attributes(group)
        for name in _members(group, attribute)
    ]
    sizes = [
        next(
            entry.groups[name]
            for run in group.runs
            if (entry := run.evaluation.subgroups.get(attribute)) and name in entry.groups
        )
        for attribute, name in rows
    ]
    columns = [
        text_column("Group", [f"{attribute}: {name}" for attribute, name in rows]),
        (Column("Images"), [Cell(f"{size.images:,}") for size in sizes]),
        (Column("Patients"), [Cell(f"{size.patients:,}") for size in sizes]),
    ]
    columns += [
        estimate_column(Column(run.label), [_macro(run, *row) for row in rows])
        for run in group.runs
    ]
    caption = f"Macro AUROC by group of test images, {group.splits}"
    return join_columns(caption, columns, tones=[""] * len(rows))


def _macro(run: Run, attribute: str, name: str) -> Estimate | None:
    entry = run.evaluation.subgroups.get(attribute)
    found = entry.groups.get(name) if entry else None
    return found.auroc.get("macro") if found else None


def _describe_attribute(group: Group, attribute: str) -> str:
    """Say over which findings an attribute's macro is, and which are too few in which group."""
    entries = [
        (run, entry) for run in group.runs if (entry := run.evaluation.subgroups.get(attribute))
    ]
    if not _members(group, attribute):
        return f"By {attribute}: not in this dataset."
    over: dict[tuple[str, ...], list[Run]] = {}
    for run, entry in entries:
        over.setdefault(entry.shared, []).append(run)
    told = []
    for shared, runs in over.items():
        of = f" ({name_runs(runs, among=group.runs)})" if len(over) > 1 else ""
        told.append(name_findings(shared, among=group.test.findings) + of)
    sentences = [f"By {attribute} the macro is over {'; '.join(told)}."]
    if not any(over):
        sentences = [
            f"By {attribute} there is no macro: no finding has enough patients in every group."
        ]
    scored = [
        finding
        for finding in group.test.findings
        if any(finding in run.scored for run in group.runs)
    ]
    if few := [
        f"{name}: {name_findings(missing, among=scored)}"
        for name in _members(group, attribute)
        if (missing := _too_few([entry for _, entry in entries], name))
    ]:
        sentences.append(f"Too few patients to be scored in {'; '.join(few)}.")
    if unknown := max(entry.unknown for _, entry in entries):
        sentences.append(f"{unknown:,} images have no known {attribute} and are in no group.")
    return " ".join(sentences)


def _too_few(entries: Sequence[Attribute], name: str) -> list[str]:
    """Return the findings that some run scores but not in this group."""
    return list(
        dict.fromkeys(
            finding
            for entry in entries
            if name in entry.groups
            for finding in entry.groups[name].too_few
        )
    )


def _describe_gaps(group: Group) -> Section:
    """Return the leader's largest gaps in sensitivity between groups."""
    run = group.leader
    known = _gaps(run)
    gaps = sorted(known, key=lambda gap: -abs(gap[2].value))[:GAPS]
    columns = [
        text_column("Finding", [finding for finding, _, _ in gaps]),
        text_column("Group", [name for _, name, _ in gaps]),
        (
            Column("Gap", "to the other group, or to the median of all; 95 % interval"),
            [
                Cell(share_gap_text(gap.value), note=interval_text(gap.low, gap.high))
                for _, _, gap in gaps
            ],
        ),
        (
            Column("Positives", "in the group"),
            [Cell(f"{gap.positives:,}") for _, _, gap in gaps],
        ),
    ]
    none = f"No gap can be told for {run.label}: no finding has a threshold and enough patients."
    caption = (
        f"Largest gaps in sensitivity of {run.label}: {len(gaps)} of {len(known)}, none adjusted for "
        "having looked at many"
    )
    return Section(
        f"gaps-{group.anchor}",
        title_group(group, f"where {run.label} misses more"),
        level=3,
        text=() if gaps else (none,),
        tables=(join_columns(caption, columns, tones=[""] * len(gaps)),) if gaps else (),
    )


def _gaps(run: Run) -> list[tuple[str, str, Gap]]:
    """Return finding, group and gap; of two groups, whose gaps mirror each other, the lower."""
    found = []
    for attribute, entry in run.evaluation.subgroups.items():
        for finding in run.scored:
            gaps = {
                f"{attribute}: {name}": group.tpr_gap[finding]
                for name, group in entry.groups.items()
                if finding in group.tpr_gap
            }
            lowest = min(gaps, key=lambda name: gaps[name].value, default=None)
            found += [
                (finding, name, gap)
                for name, gap in gaps.items()
                if len(gaps) != 2 or name == lowest
            ]
    return found
