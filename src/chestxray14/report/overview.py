"""The sections that compare networks: the result, finding by finding, in print, in training."""

from collections.abc import Sequence

from chestxray14.report import curves, figures
from chestxray14.report.figures import Dot, Tone
from chestxray14.report.published import FAMILIES
from chestxray14.report.ranking import average, share
from chestxray14.report.results import Run
from chestxray14.report.sections import Facts, Told


def describe_result(told: Told) -> Facts:
    """Return the figure of all rankings, and leaks with their twins."""
    dots: list[Dot] = []
    runs = told.results.runs
    most = max(len(run.findings) for run in runs)
    for ranking in told.rankings:
        if len(told.rankings) > 1:
            dots.append(Dot(f"split {', '.join(ranking.protocols)}", None, "heading"))
        for standing in ranking.standings:
            run = standing.run
            own = "" if len(run.findings) == most else f", {len(run.findings)} findings"
            tone: Tone = "apart" if run.leaky else "lead" if run is told.leader else ""
            floor = told.results.floors.get(run.protocol)
            shared = share(run, floor) if floor else ()
            beside = floor.mean(shared) if floor and shared else None
            dots.append(Dot(run.label + own, standing.macro, tone, beside))
        if comparable := told.published.comparable(ranking.leader, told.results.prepared):
            label = f"published, same protocol: {len(comparable)}"
            dots.append(Dot(label, None, published=tuple(comparable)))
    return {
        "figure": figures.draw_intervals(dots, about=f"macro AUROC, {told.interval}"),
        "leaks": [(r, _find_twin(r, runs)) for r in runs if r.leaky and not told.leader.leaky],
    }


def _find_twin(run: Run, runs: Sequence[Run]) -> Run | None:
    """Return the recipe that differs from a leaky one by its split alone."""
    for other in runs:
        if run.recipe and other.recipe and not other.leaky:
            moved = other.recipe.model_copy(update={"split": run.recipe.split})
            if moved == run.recipe:
                return other
    return None


def describe_findings(told: Told) -> Facts:
    """Return AUROC by finding of leader, runner-up and metadata alone, and the leader's curves."""
    first, leader = told.first, told.leader
    shown = [leader, first.next.run] if first.next else [leader]
    series = {
        run.label: {f: run.evaluation.findings[f].auroc for f in run.findings} for run in shown
    }
    floor = told.results.floors.get(leader.protocol)
    in_all = leader.evaluation.units
    floors = {f: average(floor, [f], in_all=in_all) for f in floor.findings} if floor else {}
    if floors:
        series["metadata alone"] = floors
    facts: Facts = {
        "floors": floors,
        "figure": figures.draw_by_finding(
            series,
            others=[s.run.scored.values for s in first.standings[1:] if s is not first.next],
            findings=leader.findings,
            about=f"AUROC, {told.interval} (dotted: chance)",
            chance=0.5,
        ),
    }
    if not leader.leaky:
        facts["roc"] = curves.draw_curves(
            leader.curves["roc"],
            axes_names=("false positive rate", "true positive rate (dotted: chance)"),
        )
        facts["precision"] = curves.draw_curves(
            leader.curves["precision_recall"],
            axes_names=("recall", "precision (dotted: prevalence, which is chance)"),
            chance={f: leader.evaluation.findings[f].prevalence for f in leader.findings},
        )
    return facts


def describe_published(told: Told) -> Facts:
    """Return published means by protocol, the highest first, and those that compare."""
    systems = [system for system in told.published.systems.values() if not system.micro]
    families = {
        family: sorted(members, key=lambda system: -system.mean_auroc)
        for family in FAMILIES
        if (members := [system for system in systems if system.family == family])
    }
    return {
        "figure": figures.draw_published(families),
        "families": families,
        "systems": len(systems),
        "comparable": {
            system.source: system
            for ranking in told.rankings
            for system in told.published.comparable(ranking.leader, told.results.prepared)
        },
    }


def describe_training(told: Told) -> Facts | None:
    """Return the learning curves of what was trained; None where nothing was."""
    histories = {run.label: run.curves["history"] for run in told.results.runs if run.recipe}
    if not histories:
        return None
    return {
        "validation": curves.draw_lines(
            {name: (each["epoch"], each["val_auroc"]) for name, each in histories.items()},
            axes_names=("epoch", "validation AUROC"),
        ),
        "losses": curves.draw_losses(histories),
    }
