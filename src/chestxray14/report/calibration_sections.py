"""How far probabilities can be taken at their word, in words, figures and tables."""

from collections.abc import Sequence
from statistics import fmean

from markupsafe import Markup

from chestxray14.report.comparison import Comparison, Group
from chestxray14.report.curve_figures import draw_reliability
from chestxray14.report.results import Run, name_runs
from chestxray14.report.sections import Section
from chestxray14.report.tables import NONE, Cell, Column, Table, join_columns, text_column
from chestxray14.report.wording import range_text, title_group, validation_column
from chestxray14.scoring.evaluation import Calibrated, FindingScores


def describe_calibration(comparison: Comparison) -> list[Section]:
    """Return how far probabilities can be taken at their word, before and after Platt."""
    recipes = [run for run in comparison.runs if run.training]
    weighted = [
        run for run in recipes if run.training and run.training.recipe.loss.name == "weighted_bce"
    ]
    shifted = (
        f"The class-weighted loss of {name_runs(weighted, among=recipes)} makes the rare class "
        "count more, which pushes probabilities up. AUROC, which is about ranks, does not see it."
    )
    bins = comparison.runs[0].evaluation.bins
    sections = [
        Section(
            "calibration",
            "Calibration: are the probabilities true?",
            text=(
                (
                    "Of the images that get a probability of 0.2, one in five should have the finding. "
                    "The Brier score is the mean squared distance of probability and label; the "
                    "expected calibration error (ECE) is the mean distance of predicted probability "
                    f"and observed share, over {bins} bins of equal width or of equally many images. "
                    "Lower is better; the Brier score of the base rate is that of predicting each "
                    "finding's prevalence for every image."
                ),
                *([shifted] if weighted else []),
                (
                    "Platt's method can mend a shift: a slope and an intercept a finding, fitted "
                    "to the logits of the validation part and applied to the test part. Where the "
                    "slope is positive the images of a finding keep their order, so its AUROC stays. "
                    "A negative one would turn the order round, so it is held at 0, and all images "
                    "then have the same probability."
                ),
                (
                    f"The figures pool the findings of a recipe in {bins} bins of equally many labels. "
                    "On the dotted line probabilities are true; below it they promise more disease "
                    "than there is."
                ),
            ),
            tables=(_tabulate_calibration(comparison.runs),),
        )
    ]
    names = [run.label for run in comparison.runs]
    for group in comparison.honest:
        svg = draw_reliability(
            {run.label: run.curves.reliability for run in group.runs},
            names=names,
            title=_title_reliability(group),
        )
        leader = _tabulate_leader(group)
        if svg or leader:
            sections.append(
                Section(
                    f"calibration-{group.anchor}",
                    title_group(group, "reliability"),
                    level=3,
                    figures=(Markup(svg),) if svg else (),
                    tables=(leader,) if leader else (),
                    points=_name_held(group),
                )
            )
    return sections


def _title_reliability(group: Group) -> str:
    """Return what the figure shows, with the lowest and highest error and where the others are."""
    errors = {run.label: fmean([scores.ece_mass for scores in _told(run)]) for run in group.runs}
    return (
        f"Reliability of the probabilities, all findings pooled, {group.splits}. ECE as predicted, "
        f"equal mass, mean over the findings: {range_text(errors, _error_text)}; the table of "
        "calibration on the test part has the others."
    )


def _name_held(group: Group) -> tuple[str, ...]:
    """Say for which findings Platt's slope was held at 0, nothing where none was."""
    held = {
        run.label: [finding for finding, (_, c) in _calibrated(run).items() if c.slope == 0]
        for run in group.runs
    }
    told = [f"{', '.join(findings)} ({label})" for label, findings in held.items() if findings]
    return (f"The slope was held at 0 for {'; '.join(told)}.",) if told else ()


def _calibrated(run: Run) -> dict[str, tuple[FindingScores, Calibrated]]:
    """Return the scores of each finding before and after Platt, of those that have both."""
    scores = {finding: run.evaluation.findings[finding] for finding in run.scored}
    return {f: (found, found.calibrated) for f, found in scores.items() if found.calibrated}


def _told(run: Run) -> list[FindingScores]:
    """Return the scores that means are over: where something was fitted, of the same findings."""
    return [run.evaluation.findings[finding] for finding in _calibrated(run) or run.scored]


def _tabulate_calibration(runs: Sequence[Run]) -> Table:
    """Return a row a recipe; its means are over the same findings before and after Platt."""
    columns = [
        text_column("Recipe", [run.label for run in runs]),
        text_column("Split", [run.split_label for run in runs]),
    ]
    over: list[str] = []
    base: list[Cell] = []
    before: list[tuple[Cell, ...]] = []
    after: list[tuple[Cell, ...]] = []
    for run in runs:
        fitted = _calibrated(run)
        scores = _told(run)
        over.append(str(len(scores)))
        base.append(Cell(_error_text(fmean([s.prevalence * (1 - s.prevalence) for s in scores]))))
        before.append(_mean_errors(scores))
        after.append(_mean_errors([calibrated for _, calibrated in fitted.values()]))
    columns += [text_column("Findings", over), (Column("Brier score", "base rate"), base)]
    for i, error in enumerate(("Brier score", "ECE, equal width", "ECE, equal mass")):
        columns += [
            (Column(error, "as predicted"), [cells[i] for cells in before]),
            (Column(error, "after Platt"), [cells[i] for cells in after]),
        ]
    caption = "Calibration on the test part, mean over the findings"
    return join_columns(caption, columns, tones=[""] * len(runs))


def _mean_errors(scores: Sequence[FindingScores] | Sequence[Calibrated]) -> tuple[Cell, ...]:
    """Return the mean Brier score and both mean calibration errors, dashes where there are none."""
    if not scores:
        return (Cell(NONE),) * 3
    errors = (
        [s.brier for s in scores],
        [s.ece_width for s in scores],
        [s.ece_mass for s in scores],
    )
    return tuple(Cell(_error_text(fmean(values))) for values in errors)


def _tabulate_leader(group: Group) -> Table | None:
    """Return the best recipe's calibration by finding, None where nothing was fitted."""
    run = group.leader
    fitted = _calibrated(run)
    if not fitted:
        return None
    columns = [
        text_column("Finding", list(fitted)),
        validation_column([scores for scores, _ in fitted.values()]),
    ]
    texts = {
        ("Slope", "of Platt"): [f"{c.slope:.2f}" for _, c in fitted.values()],
        ("Intercept", "of Platt"): [f"{c.intercept:.2f}" for _, c in fitted.values()],
        ("Brier score", "as predicted"): [_error_text(s.brier) for s, _ in fitted.values()],
        ("Brier score", "after Platt"): [_error_text(c.brier) for _, c in fitted.values()],
        ("ECE, equal mass", "as predicted"): [_error_text(s.ece_mass) for s, _ in fitted.values()],
        ("ECE, equal mass", "after Platt"): [_error_text(c.ece_mass) for _, c in fitted.values()],
    }
    columns += [
        (Column(title, note), [Cell(text.replace("-", "−")) for text in column])
        for (title, note), column in texts.items()
    ]
    caption = f"Calibration of {run.label}, finding by finding"
    return join_columns(caption, columns, tones=[""] * len(fitted))


def _error_text(error: float) -> str:
    return f"{error:.4f}"
