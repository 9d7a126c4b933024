"""What the runs reach: the result, finding by finding, examples, and published systems."""

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from chestxray14.base.findings import FINDINGS, NO_FINDING
from chestxray14.report.caveats import NIH
from chestxray14.report.comparison import Comparison, Group
from chestxray14.report.examples import Example
from chestxray14.report.figures import draw_auroc
from chestxray14.report.ranking import gap_text, measure_gap
from chestxray14.report.regimens import list_limits
from chestxray14.report.results import Floor, Run, mean_auroc, name_runs
from chestxray14.report.sections import Section
from chestxray14.report.tables import auroc_text, interval_text, p_text
from chestxray14.report.what_ran import KINDS
from chestxray14.report.wording import range_text, title_group
from chestxray14.scoring.evaluation import Estimate

SET_APART = (
    "In italics: reached under other conditions, with the protocol beside it. No difference to "
    "such a number is shown."
)

FEWER = (
    "A mean over other findings is another number. Only a ranking, over the same findings and the "
    "same test images, puts a recipe of fewer than 14 beside the others."
)

METADATA = (
    "Metadata alone is gradient boosting on age, sex, view and follow-up number, fitted on the "
    "training part. It sees no pixel: an AUROC that is no higher may owe nothing to disease. Much "
    "of the same can be seen in an image, so a higher one is no proof either."
)

DERIVED = (
    "No Finding is derived from the probabilities of a network that predicts all 14 findings, and "
    "is in no mean."
)


def describe_result(comparison: Comparison) -> Section:
    """Return the result in sentences, the rankings, and each run beside its source."""
    recipes = [run for run in comparison.runs if run.training]
    changed = {run.name for runs in list_limits(recipes).values() for run in runs}
    text = [line for group in comparison.groups for line in _summarise(comparison, group)]
    if limited := [run for run in recipes if run.name in changed]:
        text.append(
            f"The dataset's limits changed what {name_runs(limited, among=recipes)} asked for (see "
            "What ran), so this is a reduced run, not what was published."
        )
    rankings = [group.ranking for group in comparison.groups if group.ranking]
    return Section(
        "result",
        "Result",
        text=tuple(text),
        tables=(*rankings, comparison.headline),
        points=tuple(_explain_result(comparison)),
    )


def _explain_result(comparison: Comparison) -> Iterator[str]:
    """Yield what the numbers of the result are, and why some are not there."""
    yield (
        "An AUROC has four decimals, the bounds of its interval three. Of "
        f"{comparison.runs[0].evaluation.draws:,} bootstrap draws of the test patients, an interval "
        "holds 95 % of those in which every finding it is about has both classes; a paired one "
        "compares two networks draw by draw."
    )
    if any(group.ranking for group in comparison.groups):
        yield "The p values of a ranking are not adjusted for the number of pairs."
    for group in comparison.groups:
        test = group.test
        if one_class := [f for f in FINDINGS if test.positives(f) in (0, test.images)]:
            yield (
                f"Not scored on {group.splits}: {', '.join(one_class)}. No test image shows it, or "
                "all do, and ranking needs both."
            )
    if any(len(run.scored) < len(FINDINGS) for run in comparison.runs):
        yield FEWER
    yield from comparison.no_difference
    tables = [comparison.headline, *(t for group in comparison.groups for t in group.by_finding)]
    if any(cell.apart for table in tables for row in table.rows for cell in row.cells):
        yield SET_APART
    leaky = [run for run in comparison.runs if run.leaky]
    if leaky and not comparison.honest[0].leaky:
        yield (
            f"Not shown for {name_runs(leaky, among=comparison.runs)}: curves, decisions by finding, "
            "reliability, groups of patients and boxes by finding. Scores on patients that a network was trained on "
            "do not hold for new ones."
        )


def _summarise(comparison: Comparison, group: Group) -> Iterator[str]:
    """Yield which recipe reaches most on one set of test images, and whether that is sure."""
    where = (
        f"{group.test.images:,} test images of {group.test.patients:,} patients "
        f"({comparison.prepared.dataset}, {group.splits})"
    )
    control = " A control: patients stand on both sides of its split." if group.leaky else ""
    count = len(group.runs)
    if count == 1:
        macro, micro = (group.leader.evaluation.auroc[average] for average in ("macro", "micro"))
        yield (
            f"{group.leader.label} reaches a macro AUROC of {_estimate_text(macro)} and a micro "
            f"AUROC of {auroc_text(micro.value)}, on {where}.{control}"
        )
        return
    if not group.shared:
        yield (
            f"{count} networks were scored on {where}. No finding is scored in all of them, so they "
            f"are not ranked.{control}"
        )
        return

    def reach(runs: Sequence[Run]) -> str:
        found = sorted({auroc_text(mean_auroc(run.auroc, group.shared)) for run in runs})
        return " to ".join(dict.fromkeys((found[0], found[-1])))

    networks = "both networks" if count == 2 else f"all {count} networks"
    over = f"Over the {len(group.shared)} findings that {networks} score"
    if group.leaky or not group.recipes:
        yield f"{over}, they reach a macro AUROC of {reach(group.runs)}, on {where}.{control}"
        return
    best, *others = group.recipes
    told = [f"{over}, the recipe “{best.label}” has the highest macro AUROC, {reach([best])}"]
    if others:
        told.append(f"the other recipes reach {reach(others)}")
    if elsewhere := [run for run in group.runs if not run.training]:
        told.append(f"what was pretrained elsewhere reaches {reach(elsewhere)}")
    yield f"{'; '.join(told)}. All on {where}."
    if others:
        yield _tell_apart(group, best, others[0])


def _estimate_text(estimate: Estimate) -> str:
    bounds = interval_text(estimate.low, estimate.high)
    return auroc_text(estimate.value) + (f" (95 % interval {bounds})" if bounds else "")


def _tell_apart(group: Group, best: Run, second: Run) -> str:
    """Say whether the patients tell the two highest recipes apart."""
    gap = measure_gap(best, second, group.shared)
    told = f"The next, “{second.label}”, is {gap_text(best, second, group.shared)} below"
    if gap.p is None:
        return f"{told}; too few patients, or draws of them, to tell whether by luck."
    bounds = interval_text(gap.low, gap.high)
    told += f" (paired 95 % interval {bounds}, p {p_text(gap.p, draws=len(best.draws))})"
    verdict = "tell the two apart" if gap.told_apart else "do not tell the two apart"
    return (
        f"{told}: these patients {verdict}. Each recipe ran once, and the luck of training is in "
        "no interval (see How to read this)."
    )


def describe_findings(comparison: Comparison) -> list[Section]:
    """Return the AUROC of each finding, a figure and a table for each set of test images."""
    derived = any(NO_FINDING in run.evaluation.findings for run in comparison.runs)
    dash = " A dash: not predicted, or not scored (see Result)."
    fewer = any(len(run.scored) < len(FINDINGS) for run in comparison.runs)
    sections = [
        Section(
            "findings",
            "Finding by finding",
            text=(
                (
                    "AUROC of each of the 14 findings: the chance that a random image with the "
                    "finding is ranked above a random one without it. 0.5 is chance, 1 is perfect. "
                    "The fewer positives, the wider the 95 % interval, which stands with each value "
                    f"of ours.{dash if fewer else ''}"
                ),
                *([METADATA] if comparison.floors else []),
                *([DERIVED] if derived else []),
            ),
        )
    ]
    for group in comparison.groups:
        svg = draw_auroc(
            {run.label: {f: run.auroc[f] for f in run.scored} for run in group.runs},
            {title: system.auroc for title, system in group.references.items()},
            findings=FINDINGS,
            names=[run.label for run in comparison.runs],
            title=_title_auroc(group),
        )
        few = group.ranking and len(group.shared) < len(FINDINGS)
        shared = [f"Scored by all: {', '.join(group.shared)}."] if few else []
        sections.append(
            Section(
                f"split-{group.anchor}",
                title_group(group, KINDS[group.leader.split.kind]),
                level=3,
                text=(*shared, *_tell_floor(group, comparison.floors)),
                figures=(Markup(svg),),
                tables=group.by_finding,
            )
        )
    return sections


def _title_auroc(group: Group) -> str:
    """Return what the figure shows, with the lowest and highest AUROC and where the others are."""
    scores = {f"{run.label}, {f}": run.auroc[f] for run in group.runs for f in run.scored}
    return (
        f"AUROC by finding, {group.splits}: {range_text(scores, auroc_text)}; the tables that follow "
        "have the others."
    )


def _tell_floor(group: Group, floors: Mapping[str, Floor]) -> list[str]:
    """Say how far the leader is from metadata alone, nothing where that is not known."""
    run, floor = group.leader, floors.get(group.leader.protocol)
    shared = [finding for finding in run.scored if floor and finding in floor.scored]
    if not floor or not shared:
        return []
    theirs, ours = (auroc_text(mean_auroc(auroc, shared)) for auroc in (floor.auroc, run.auroc))
    gap = measure_gap(run, floor, shared)
    sure = (
        "too few patients, or draws of them, for an interval"
        if gap.p is None
        else f"paired 95 % interval {interval_text(gap.low, gap.high)}, "
        f"p {p_text(gap.p, draws=len(run.draws))}"
    )
    told = (
        f"In the mean of {len(shared)} findings metadata alone reaches {theirs}, {run.label} "
        f"{ours}, a difference of {gap_text(run, floor, shared)} ({sure})."
    )
    gaps = {finding: measure_gap(run, floor, [finding]) for finding in shared}
    above = [finding for finding, gap in gaps.items() if gap.told_apart and gap.value > 0]
    told += (
        f" One by one these patients put {run.label} above metadata (paired p below 0.05, not "
        f"adjusted) in {name_findings(above, among=shared)}."
    )
    return [told]


def describe_examples(comparison: Comparison, examples: Sequence[Example]) -> list[Section]:
    """Return test images with the predictions of the first group's leader, nothing for none."""
    if not examples:
        return []
    group = comparison.honest[0]
    text = (
        f"{len(examples)} test images of {group.splits}, drawn by a seed among those with and those "
        "without a finding, none of them picked. Beside each stand its labels and the highest "
        f"probabilities of “{group.leader.label}”; a predicted finding that is labelled is set in "
        "bold. A probability is no risk of a patient (see Calibration)."
    )
    real = f"Radiographs: NIH Clinical Center, {NIH}"
    drawn = "These radiographs are drawn, not taken."
    origin = drawn if comparison.prepared.source == "phantom" else real
    shown = tuple(examples)
    return [Section("examples", "Example radiographs", text=(text, origin), examples=shown)]


def describe_published(comparison: Comparison) -> list[Section]:
    """Return the published systems in a table for each protocol."""
    tables = comparison.published.values()
    ours = [row.cells[0].text for table in tables for row in table.rows if row.tone == "ours"]
    sections = [
        Section(
            "published",
            "Published systems, by protocol",
            text=(
                (
                    "Macro AUROC, each under its own protocol; compare within a table only. It is the "
                    "mean of the 14 printed findings, or the mean as stated where a source prints no "
                    "findings."
                ),
                (
                    "A recipe of this run stands among them, in bold, only where it has the same "
                    f"dataset and protocol. Here: {', '.join(ours) or 'none'}."
                ),
                (
                    "TEST SET marks a model that was chosen on the images it is scored on, which "
                    "flatters it. Evidence: primary was read at the source, secondary is quoted by "
                    "somebody else, re-scored was computed from published predictions."
                ),
            ),
        )
    ]
    for family, table in comparison.published.items():
        title = family[0].upper() + family[1:]
        anchor = f"published-{family.replace(' ', '-')}"
        sections.append(Section(anchor, title, level=3, tables=(table,)))
    return sections


def name_findings(findings: Sequence[str], *, among: Sequence[str] = FINDINGS) -> str:
    """Return findings by name, or those left out where these are fewer."""
    others = [finding for finding in among if finding not in findings]
    if not findings:
        return "no finding"
    if not others:
        return f"all {len(among)}"
    if len(others) < len(findings):
        return f"all but {', '.join(others)}"
    return ", ".join(findings)
