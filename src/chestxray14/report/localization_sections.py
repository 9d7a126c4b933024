"""What networks' heatmaps find of what was boxed, in words, figures and tables."""

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from chestxray14.localization.record import HEADLINES, MEAN, THRESHOLDS, Localization
from chestxray14.report.caveats import NIH
from chestxray14.report.comparison import Comparison, Group
from chestxray14.report.localization_examples import Overlay
from chestxray14.report.localization_figures import draw_accuracy
from chestxray14.report.localization_tables import (
    tabulate_findings,
    tabulate_overlaps,
    tabulate_runs,
)
from chestxray14.report.results import Run, name_runs
from chestxray14.report.sections import Section
from chestxray14.report.sources import why_boxes_apart
from chestxray14.report.wording import share_text, title_group

LEFT_OUT = {
    "train": "on training images",
    "val": "on validation images",
    "in_no_part": "on images of no part",
    "not_predicted": "of findings that are not predicted",
}
"""The reasons of `Localization.left_out`, in words."""

MEASURED = (
    (
        "Heatmaps become boxes after Wang et al. 2017: a map is scaled to 0 to 255, and each region "
        "above 60, and each above 180, gets a box. Accuracy is the share of the {drawn} boxes that a "
        "box of the network overlaps by more than a threshold, whether or not the network calls the "
        "finding present; a mean is over the findings."
    ),
    (
        "IoU is intersection over union. IoBB is intersection over the detected box alone: it is "
        "generous to small boxes, as one anywhere inside a large lesion has 1. So two baselines stand "
        "with every accuracy: maps of noise on the same grid, and one box of 512 px in the image's "
        "centre."
    ),
    (
        "All lengths are in pixels of an image of 1024 a side. Cell is the side of a cell of the "
        "network's own map; 512 is two by two cells, too coarse for all but the largest lesions. "
        "Pointing is the share of boxes that hold the highest place of the map, its baselines the "
        "highest of noise and the image's centre. Grad-CAM and Grad-CAM++ keep what speaks for a finding: where "
        "nothing does, its map is empty and has no box. A plain CAM, as Wang et al. have, is not cut."
    ),
    (
        "AFP are boxes of the network that hit nothing, over all boxes that count. Wang et al. do not "
        "say which images they take; here these are all annotated images that the network calls "
        "positive at Youden's threshold, also where a lesion was seen and nobody drew a box: on NIH's "
        "annotated images 721 of 1,705 labels have none (v2020). Only boxes on test images count. "
        "They are few, and their number stands with every mean; there are no intervals."
    ),
)

EXACT = (
    "These boxes are drawn with the radiographs, exactly round each lesion. NIH's are by "
    "radiologists, and none of this run's numbers is about those."
)


def describe_localization(comparison: Comparison, overlays: Sequence[Overlay]) -> list[Section]:
    """Return how well heatmaps find boxes, for each set of test images; nothing without heatmaps.

    `overlays` are pictures of the first honest group's leader.
    """
    without = [run for run in comparison.runs if run.localization is None]
    if len(without) == len(comparison.runs):
        return []
    phantom = comparison.prepared.source == "phantom"
    drawn = "drawn" if phantom else "radiologists'"
    elsewhere = f"No heatmaps are drawn for {name_runs(without, among=comparison.runs)}."
    sections = [
        Section(
            "localization",
            "Localization",
            text=(
                *(line.format(drawn=drawn) for line in MEASURED),
                *([EXACT] if phantom else []),
                *([elsewhere] if without else []),
            ),
        )
    ]
    sections += [
        _describe_group(comparison, group)
        for group in comparison.groups
        if any(run.localization for run in group.runs)
    ]
    if overlays:
        sections.append(_describe_overlays(comparison, overlays, phantom=phantom))
    return sections


def _describe_group(comparison: Comparison, group: Group) -> Section:
    """Return all runs of a group and, unless it leaks beside an honest one, the leader's boxes."""
    anchor = f"localization-{group.anchor}"
    title = title_group(group, "boxes found")
    scored = [(run, run.localization) for run in group.runs if run.localization]
    points = tuple(_tell_counts(scored))
    if not any(localization.boxes for _, localization in scored):
        counted = any(n for _, localization in scored for n in localization.left_out.values())
        none = "No box counts here" if counted else "Boxes are not in this dataset"
        return Section(
            anchor, title, level=3, text=(f"{none}, so nothing is scored.",), points=points
        )
    runs = tabulate_runs(scored, splits=group.splits)
    leader, localization = group.leader, group.leader.localization
    if group not in comparison.honest:
        return Section(anchor, title, level=3, tables=(runs,), points=points)
    if localization is None or not localization.boxes:
        none = f"No box counts for {leader.label}, so it has no table by finding."
        return Section(anchor, title, level=3, text=(none,), tables=(runs,), points=points)
    systems = {system.source: system for system in comparison.systems}
    published = comparison.localization
    reasons = {
        title: why_boxes_apart(comparison.prepared, leader, table, systems[table.source])
        for title, table in published.items()
    }
    svg = draw_accuracy(
        localization,
        [table for title, table in published.items() if not reasons[title]],
        name=leader.label,
        names=[run.label for run in comparison.runs],
        title=_title_figure(leader, localization),
    )
    return Section(
        anchor,
        title,
        level=3,
        text=(_tell_leader(leader, localization), *_tell_apart(reasons)),
        figures=(Markup(svg),),
        tables=(
            runs,
            tabulate_findings(leader, localization),
            *(
                tabulate_overlaps(
                    leader,
                    localization,
                    kind=kind,
                    published=[table for table in published.values() if table.overlap == kind],
                    reasons=reasons,
                )
                for kind in THRESHOLDS
            ),
        ),
        points=points,
    )


def _tell_counts(scored: Sequence[tuple[Run, Localization]]) -> Iterator[str]:
    """Yield how many boxes count, which are left out and why, and which lack the label."""
    runs = [run for run, _ in scored]
    alike: dict[str, list[Run]] = {}
    for run, localization in scored:
        alike.setdefault(_count_text(localization), []).append(run)
    for told, members in alike.items():
        yield told if len(alike) == 1 else f"{name_runs(members, among=runs)}: {told}"


def _count_text(localization: Localization) -> str:
    """Return one network's boxes in words."""
    total = localization.boxes + sum(localization.left_out.values())
    if not total:
        return "The dataset has no box."
    told = f"{localization.boxes:,} of {total:,} boxes count"
    if localization.boxes:
        told += f", on {localization.images:,} images"
    if left_out := [
        f"{localization.left_out[reason]:,} {words}"
        for reason, words in LEFT_OUT.items()
        if localization.left_out.get(reason)
    ]:
        told += f"; left out are {', '.join(left_out)}"
    unlabelled = {
        finding: found.unlabelled
        for finding, found in localization.findings.items()
        if found.unlabelled
    }
    if unlabelled:
        named = ", ".join(f"{finding} {count:,}" for finding, count in unlabelled.items())
        told += (
            f". Of those that count, {sum(unlabelled.values()):,} are on images that lack the label "
            f"of their finding ({named})"
        )
    return f"{told}."


def _tell_leader(run: Run, localization: Localization) -> str:
    """Say what the leader reaches in the mean, and whether that is more than the baselines do."""
    found = localization.iobb[HEADLINES["IoBB"]]
    reached = {
        "maps of noise": found.random[MEAN],
        "one box in the centre": found.centre[MEAN],
    }
    beside = ", ".join(f"{words} {share_text(value)}" for words, value in reached.items())
    told = (
        f"At IoBB above {HEADLINES['IoBB']} the heatmaps of {run.label} find "
        f"{share_text(found.accuracy[MEAN])} of the boxes in the mean over "
        f"{_findings_text(localization)} ({localization.boxes:,} boxes), {beside}."
    )
    if better := [words for words, value in reached.items() if value >= found.accuracy[MEAN]]:
        told += f" That is not above {' or '.join(better)}."
    return told


def _findings_text(localization: Localization) -> str:
    count = len(localization.findings)
    return f"{count} finding{'s' if count > 1 else ''}"


def _tell_apart(reasons: Mapping[str, str | None]) -> Iterator[str]:
    """Yield once for each reason which published tables are of another protocol."""
    alike: dict[str, list[str]] = {}
    for title, reason in reasons.items():
        if reason:
            alike.setdefault(reason, []).append(title)
    for reason, titles in alike.items():
        yield f"In italics, not to be compared: {', '.join(titles)}; {reason}."
    if beside := [title for title, reason in reasons.items() if not reason]:
        yield (
            f"On the same boxes, after the same kind of split: {', '.join(beside)}. Its AFP may be of "
            "other images."
        )


def _title_figure(run: Run, localization: Localization) -> str:
    """Return what the figure shows, with the ends of its lines and where the rest is."""
    ends = []
    for kind, at in localization.overlaps.items():
        (low, most), *_, (high, least) = at.items()
        ends.append(
            f"{kind} from {share_text(most.accuracy[MEAN])} above {low} to "
            f"{share_text(least.accuracy[MEAN])} above {high}"
        )
    return (
        f"Mean share of boxes that {run.label} finds, by overlap: {'; '.join(ends)}. The tables of "
        "accuracy that follow have the rest."
    )


def _describe_overlays(
    comparison: Comparison, overlays: Sequence[Overlay], *, phantom: bool
) -> Section:
    """Return pictures of hits and misses."""
    leader = comparison.honest[0].leader
    origin = (
        "These radiographs are drawn, not taken."
        if phantom
        else f"Radiographs: NIH Clinical Center, {NIH}"
    )
    whose = "as drawn" if phantom else "of a radiologist"
    text = (
        f"Of each finding one hit and one miss, where there is any: images drawn by a seed, hit where "
        f"a box of the network has an IoBB above {HEADLINES['IoBB']}. Cyan is the box {whose}, white "
        "the network's, and the glow its heatmap. The probability is the network's own, not "
        "calibrated. More pictures are in localizations/<recipe>/overlays."
    )
    return Section(
        "localization-pictures",
        f"Hits and misses of {leader.label}",
        level=3,
        text=(text, origin),
        overlays=tuple(overlays),
    )
