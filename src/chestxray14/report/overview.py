"""The sections that compare networks: the result, finding by finding, published numbers."""

from collections.abc import Sequence

from markupsafe import Markup

from chestxray14.report import curves, figures
from chestxray14.report.figures import Dot, Mark, Tone
from chestxray14.report.published import FAMILIES, shorten, why_apart
from chestxray14.report.ranking import Standing, average
from chestxray14.report.results import Run
from chestxray14.report.sections import Section, Told
from chestxray14.report.tables import (
    NONE,
    Cell,
    Row,
    cell,
    make_table,
    number,
    p_cell,
    patients_cell,
)
from chestxray14.scoring.evaluation import TOO_NARROW, Estimate


def describe_result(told: Told) -> Section:
    """Return the ranking, in a figure and a table."""
    first, digits = told.first, told.macro_digits
    several = len(told.rankings) > 1
    dots: list[Dot] = []
    rows: list[Row] = []
    marked: list[str] = []
    for ranking in told.rankings:
        if several:
            dots.append(Dot(f"split {', '.join(ranking.protocols)}", None, "heading"))
        for place, standing in enumerate(ranking.standings, start=1):
            run = standing.run
            own = len(run.findings) < len(told.results.findings)
            label = f"{run.label}, {len(run.findings)} findings" if own else run.label
            lead = place == 1 and ranking is first
            tone: Tone = "apart" if run.leaky else "lead" if lead else ""
            dots.append(Dot(label, standing.macro, tone))
            rows.append(_rank_row(told, standing, digits=digits))
            marked += [run.label] * (run.leaky or not run.recipe)
    if comparable := told.published.comparable(told.leader, told.results.prepared):
        dots.append(Dot("published, same protocol", None, "heading"))
        dots += [Dot(shorten(s.title), Estimate(value=s.mean), "apart") for s in comparable]
    lines = {"chance": 0.5}
    if first.floor:
        lines["metadata alone"] = first.floor.value
    about = f"macro AUROC, {told.interval}"
    words = (
        f"Macro AUROC of every recipe; {told.leader.label} {first.standings[0].macro.value:.2f}."
    )
    figure = figures.draw_intervals(dots, lines=lines, about=about, title=words)
    columns = (
        *("Recipe", "Macro AUROC", "Findings", "Below the leader", "p (Holm)"),
        *("Its source reports", "Split"),
    )
    table = make_table("Ranking", columns, rows, words=["Split"], marked=marked)
    leaks = [r for r in told.results.runs if r.leaky and r is not told.leader]
    facts = {
        "limited": sum(bool(list_limits(run)) for run in told.results.runs),
        "leaks": [(run, _find_twin(run, told.results.runs)) for run in leaks],
        "others": [r for r in told.rankings[1:] if not r.leaky],
        "reports": [
            (run, why_apart(system, run=run, prepared=told.results.prepared))
            for run in told.results.runs
            if (system := told.published.systems.get(run.name))
        ],
    }
    return Section("result", "Result", facts, (Markup(figure),), (table,))


def _rank_row(told: Told, standing: Standing, *, digits: int) -> Row:
    run, gap = standing.run, standing.gap
    source = told.published.systems.get(run.name) if run.recipe else None
    over = f"over {len(standing.shared)}"
    below = Cell(NONE)
    if gap:
        told_gap = cell(gap, digits)
        below = Cell(told_gap.text, f"{told_gap.note}, {over}" if told_gap.note else over)
    return [
        run.label,
        cell(standing.macro, digits),
        f"{len(run.findings)}",
        below,
        p_cell(gap),
        Cell(f"{source.mean:.4f}", source.conditions) if source else NONE,
        Cell(
            run.protocol
            if run.recipe
            else f"{run.protocol}; pretrained elsewhere: {run.pretrained}",
            "" if run.evaluation.patients else f"intervals {TOO_NARROW}",
        ),
    ]


def _find_twin(run: Run, runs: Sequence[Run]) -> Run | None:
    """Return the recipe that differs from a leaky one by its split alone."""
    for other in runs:
        if run.recipe and other.recipe and not other.leaky:
            moved = other.recipe.model_copy(update={"split": run.recipe.split})
            if moved == run.recipe:
                return other
    return None


def list_limits(run: Run) -> list[str]:
    """Return what the dataset's limits changed in a recipe."""
    if not (run.recipe and run.trained):
        return []
    asked, used = run.recipe, run.trained
    pairs = (
        ("input", f"{asked.input_px} px", f"{used.input_px} px"),
        ("weights", asked.start, used.weights),
        ("epochs", str(asked.epochs), str(used.epochs)),
    )
    return [f"{what} {wanted} → {got}" for what, wanted, got in pairs if wanted != got]


def describe_findings(told: Told) -> Section:
    """Return the AUROC by finding of leader, runner-up and metadata alone."""
    first, leader, digits = told.first, told.leader, told.digits
    floor = told.results.floors.get(leader.protocol)
    in_all = leader.evaluation.patients
    floors = {f: average(floor, [f], in_all=in_all) for f in floor.findings} if floor else {}
    shown = {leader.label: {f: leader.evaluation.findings[f].auroc for f in leader.findings}}
    other = first.next.run if first.next else None
    if other:
        shown[other.label] = {f: other.evaluation.findings[f].auroc for f in other.findings}
    if floors:
        shown["metadata alone"] = floors
    grey = [s.run.scored.values for s in first.standings[1:] if s.run is not other]
    best, *_, worst = sorted(leader.findings, key=lambda f: -leader.scored.values[f]) * 2
    above = [
        finding
        for finding in leader.findings
        if (gap := first.above_floor.get(finding)) and gap.told_apart and gap.value > 0
    ]
    title = f"AUROC by finding: {leader.label}, highest in {best}, lowest in {worst}."
    drawn = [
        figures.draw_by_finding(
            shown,
            others=grey,
            findings=leader.findings,
            about=f"AUROC, {told.interval} (dotted: chance)",
            chance=0.5,
            title=title,
        )
    ]
    prevalence = {f: leader.evaluation.findings[f].prevalence for f in leader.findings}
    if not leader.leaky:
        drawn += [
            curves.draw_curves(
                leader.curves["roc"],
                axes_names=("false positive rate", "true positive rate (dotted: chance)"),
                chance=None,
                title=f"ROC curves of {leader.label} by finding.",
            ),
            curves.draw_curves(
                leader.curves["precision_recall"],
                axes_names=("recall", "precision (dotted: prevalence, which is chance)"),
                chance=prevalence,
                title=f"Precision over recall of {leader.label} by finding.",
            ),
        ]
    rows: list[Row] = []
    for finding in leader.findings:
        scores = leader.evaluation.findings[finding]
        theirs = other.evaluation.findings.get(finding) if other else None
        rows.append(
            [
                finding,
                patients_cell(scores.patients),
                cell(scores.auroc, digits),
                cell(theirs.auroc if theirs else None, digits),
                cell(floors.get(finding), digits),
                p_cell(first.above_floor.get(finding)),
                cell(scores.average_precision, digits),
                number(scores.prevalence, digits),
            ]
        )
    columns = (
        *("Finding", "Patients of the rarer class", leader.label),
        *(other.label if other else "", "Metadata alone", "p above metadata (Holm)"),
        *("Average precision", "Prevalence"),
    )
    facts = {
        "above": above,
        "best": best,
        "worst": worst,
        "one_class": leader.evaluation.one_class,
    }
    table = make_table("AUROC by finding", columns, rows)
    return Section("findings", "By finding", facts, tuple(map(Markup, drawn)), (table,))


def describe_published(told: Told) -> Section | None:
    """Return published numbers by protocol; None where there are none."""
    systems = [system for system in told.published.systems.values() if not system.micro]
    families = {
        family: [
            Mark(
                system.mean,
                shorten(system.title),
                "odd" if system.implausible else "hollow" if system.selected_on_test else "",
            )
            for system in systems
            if system.family == family
        ]
        for family in FAMILIES
    }
    rows: list[Row] = [
        [
            *(system.title, f"{system.mean:.4f}", system.protocol),
            *(system.selected_on, system.evidence, system.note or NONE),
        ]
        for family in FAMILIES
        for system in sorted(systems, key=lambda each: -each.mean)
        if system.family == family
    ]
    columns = ("System", "Mean AUROC", "Protocol", "Chosen on", "Evidence", "Note")
    words = ("Protocol", "Chosen on", "Evidence", "Note")
    doubtful = [s.title for s in systems if s.implausible or s.selected_on_test]
    known = [system for system in systems if not system.implausible]
    facts = {
        "comparable": told.published.comparable(told.leader, told.results.prepared),
        "official": max((s for s in known if s.family == "official split"), key=lambda s: s.mean),
        "random": max((s for s in known if s.family == "published lists"), key=lambda s: s.mean),
        "systems": len(systems),
    }
    drawn = figures.draw_published(
        {name: marks for name, marks in families.items() if marks},
        title="Published mean AUROC by protocol.",
    )
    table = make_table("Published systems", columns, rows, words=words, marked=doubtful)
    return Section("published", "Published numbers", facts, (Markup(drawn),), (table,))
