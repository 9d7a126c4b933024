"""What the runs reach: the result, finding by finding, examples, and published systems."""

from collections.abc import Sequence

from markupsafe import Markup

from chestxray14.comparison import Comparison, Group
from chestxray14.evaluation import Estimate
from chestxray14.examples import Example
from chestxray14.figures import draw_auroc
from chestxray14.findings import FINDINGS, NO_FINDING
from chestxray14.ranking import measure_gap
from chestxray14.regimens import list_limits
from chestxray14.results import Run, mean_auroc, name_runs
from chestxray14.sections import Section
from chestxray14.tables import auroc_text, interval_text, p_text
from chestxray14.what_ran import KINDS

SET_APART = (
    "Numbers that were reached under other conditions are set apart (shaded, in italics), with "
    "their protocol beside them; no difference to them is shown."
)

FEWER = (
    "A mean over other findings is another number. Only a ranking, over the same findings and the "
    "same test images, puts a recipe of fewer than 14 beside the others."
)

METADATA = (
    "Metadata alone is a classifier that sees no image, only the patient's age and sex, the view "
    "and the follow-up number. An AUROC that is no higher may owe nothing to the image."
)


DERIVED = (
    "No Finding is derived from the probabilities of a network that predicts all 14 findings, and "
    "is in no mean."
)

NIH = "https://nihcc.app.box.com/v/ChestXray-NIHCC"
"""Where NIH gives the dataset away."""


def describe_result(comparison: Comparison) -> Section:
    """Return the result in sentences, the rankings, and each run beside its source."""
    text = [_summarise(comparison, group) for group in comparison.groups]
    text.append(
        "An interval holds 95 % of "
        f"{comparison.runs[0].evaluation.draws:,} bootstrap draws of the test patients; a "
        "paired one compares two networks draw by draw. Values have four decimals, bounds three."
    )
    for group in comparison.groups:
        test = group.test
        if one_class := [f for f in FINDINGS if test.positives(f) in (0, test.images)]:
            text.append(
                f"Not scored on {group.splits}: {', '.join(one_class)}. No test image shows it, or "
                "all do, and ranking needs both."
            )
    recipes = [run for run in comparison.runs if run.training]
    changed = {run.name for runs in list_limits(recipes).values() for run in runs}
    if limited := [run for run in recipes if run.name in changed]:
        text.append(
            f"The dataset's limits changed what {name_runs(limited, among=recipes)} asked for (see "
            "What ran), so this is a reduced run, not what was published."
        )
    if any(len(run.scored) < len(FINDINGS) for run in comparison.runs):
        text.append(FEWER)
    text.extend(comparison.no_difference)
    if any(cell.apart for row in comparison.headline.rows for cell in row.cells):
        text.append(SET_APART)
    rankings = [group.ranking for group in comparison.groups if group.ranking]
    return Section("result", "Result", text=tuple(text), tables=(*rankings, comparison.headline))


def _summarise(comparison: Comparison, group: Group) -> str:
    """Say what the runs on one set of test images reach, and which recipe reaches most."""
    where = (
        f"{group.test.images:,} test images of {group.test.patients:,} patients "
        f"({comparison.prepared.dataset}, {group.splits})"
    )
    if len(group.runs) == 1:
        [run] = group.runs
        return (
            f"{run.label} reaches a macro AUROC of {_estimate_text(run.evaluation.auroc['macro'])} "
            f"and a micro AUROC of {auroc_text(run.auroc['micro'])}, on {where}."
        )
    elsewhere = [run for run in group.runs if not run.training]
    count = f"{len(group.runs)} networks were scored on {where}"
    if not group.shared:
        return f"{count}. No finding is scored in all of them, so they are not ranked."

    def reach(runs: Sequence[Run]) -> str:
        found = sorted({auroc_text(mean_auroc(r.auroc, group.shared)) for r in runs})
        return " to ".join(dict.fromkeys((found[0], found[-1])))

    over = f"{count}. Over the findings that all of them score ({len(group.shared)} of 14)"
    if group.runs[0].leaky or not group.recipes:
        why = ", too high on purpose (see What ran)" if group.runs[0].leaky else ""
        return f"{over} they reach a macro AUROC of {reach(group.runs)}{why}."
    best, *others = group.recipes
    told = [f"{over} the recipe “{best.label}” has the highest macro AUROC, {reach([best])}"]
    if others:
        told.append(f"the other recipes reach {reach(others)}")
    if elsewhere:
        told.append(f"what was pretrained elsewhere reaches {reach(elsewhere)}")
    sentences = ["; ".join(told), *(_tell_apart(group, best, second) for second in others[:1])]
    return f"{'. '.join(sentences)}."


def _estimate_text(estimate: Estimate) -> str:
    bounds = interval_text(estimate.low, estimate.high)
    return auroc_text(estimate.value) + (f" (95 % interval {bounds})" if bounds else "")


def _tell_apart(group: Group, best: Run, second: Run) -> str:
    """Say whether the patients tell the two highest recipes apart."""
    gap = measure_gap(best, second, group.shared)
    told = f"The next, “{second.label}”, is {gap.text} below"
    if gap.p is None:
        return f"{told}; too few draws of the patients have a score to tell whether by luck"
    bounds = interval_text(gap.low, gap.high)
    told += f" (paired 95 % interval {bounds}, p {p_text(gap.p, draws=gap.draws)})"
    verdict = "tell the two apart" if gap.told_apart else "do not tell the two apart"
    return (
        f"{told}: these patients {verdict}. Each recipe ran once, and the luck of training is in "
        "no interval (see How to read this)"
    )


def describe_findings(comparison: Comparison) -> list[Section]:
    """Return the AUROC of each finding, a figure and a table for each set of test images."""
    derived = any(NO_FINDING in run.evaluation.findings for run in comparison.runs)
    dash = " A dash: not predicted, or not to be ranked."
    fewer = any(len(run.scored) < len(FINDINGS) for run in comparison.runs)
    sections = [
        Section(
            "findings",
            "Finding by finding",
            text=(
                (
                    "AUROC of each of the 14 findings: the chance that a random image with the "
                    "finding is ranked above a random one without it. 0.5 is chance, 1 is perfect. "
                    "The fewer positives, the wider the interval, which stands below a value of "
                    f"ours or in brackets.{dash if fewer else ''}"
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
            title=f"AUROC by finding, {group.splits}; the table that follows has the numbers",
        )
        apart = any(cell.apart for row in group.table.rows for cell in row.cells)
        few = group.ranking and len(group.shared) < len(FINDINGS)
        shared = [f"Scored by all: {', '.join(group.shared)}."] if few else []
        splits = group.splits[0].upper() + group.splits[1:]
        sections.append(
            Section(
                f"split-{group.runs[0].protocol}",
                f"{splits}: {KINDS[group.runs[0].split.kind]}",
                level=3,
                text=(*shared, *([SET_APART] if apart else [])),
                figures=(Markup(svg),),
                tables=(group.table,),
            )
        )
    return sections


def describe_examples(comparison: Comparison, examples: Sequence[Example]) -> list[Section]:
    """Return test images with the predictions of the first group's leader, nothing for none."""
    if not examples:
        return []
    group = comparison.groups[0]
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
                    "TEST SET marks a model that was chosen on the images it is scored on, which "
                    "flatters it. Evidence: primary was read at the source, secondary is quoted by "
                    "somebody else, re-scored was computed from published predictions."
                ),
            ),
        )
    ]
    for family, table in comparison.published.items():
        ours = [row.cells[0].text for row in table.rows if row.tone == "ours"]
        text = (
            f"The protocol and the dataset of this run's {', '.join(ours)}, in bold."
            if ours
            else "No recipe of this run may be compared with these."
        )
        title = family[0].upper() + family[1:]
        anchor = f"published-{family.replace(' ', '-')}"
        sections.append(Section(anchor, title, level=3, text=(text,), tables=(table,)))
    return sections
