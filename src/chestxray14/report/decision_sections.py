"""What each network reaches once it decides: precision, recall and F1, in words and tables."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from chestxray14.report.comparison import Comparison, Group
from chestxray14.report.published import PublishedDecision
from chestxray14.report.results import Run
from chestxray14.report.sections import Section
from chestxray14.report.tables import NONE, Cell, Column, Filled, Table, join_columns, text_column
from chestxray14.report.wording import share_text, title_group, validation_column
from chestxray14.scoring.evaluation import AVERAGES, Decision, Evaluation, Rule

TORCHXRAYVISION = "torchxrayvision"
"""The source in precision_recall_f1.csv that is a pretrained network, not a recipe."""


def _name_rules(evaluation: Evaluation) -> dict[Rule, Column]:
    """Return how each rule of the threshold is headed, and in small print what it asks for."""
    return {
        "half": Column("0.5", "for every finding"),
        "youden": Column("Youden", "highest sensitivity + specificity − 1"),
        "max_f1": Column("Max F1"),
        "sensitivity": Column(
            "Sensitivity", f"highest threshold that reaches {evaluation.sensitivity:.2f}"
        ),
    }


def describe_decisions(comparison: Comparison) -> list[Section]:
    """Return precision, recall and F1: beside their sources, by rule, and by finding."""
    sections = [
        Section(
            "decisions",
            "Decisions: precision, recall, F1",
            text=(
                (
                    "A threshold turns a probability into a call: present or absent. Precision is the "
                    "share of the calls that are right, recall (sensitivity) the share of the images "
                    "with the finding that are called, F1 their harmonic mean."
                ),
                (
                    "Every threshold other than 0.5 is chosen on the validation part and applied once "
                    "to the test part. Macro is the mean over a recipe's findings, so it is comparable "
                    "only between recipes of the same findings and test images."
                ),
                *(_flag_everything(group) for group in comparison.honest),
                (
                    "Label accuracy is the share of right labels at 0.5. Beside it stands that of "
                    "calling nobody anything, which finds no patient and is hard to beat."
                ),
            ),
            tables=(_tabulate_rules(comparison.runs),),
        )
    ]
    for run in comparison.runs:
        if run.training and run.name in comparison.decisions:
            sections.append(_beside_source(comparison, run))
    for group in comparison.honest:
        sections.append(_leader_decisions(group))
    return sections


def _flag_everything(group: Group) -> str:
    leader = group.leader
    shares = [leader.evaluation.findings[finding].prevalence for finding in leader.scored]
    f1 = fmean([2 * share / (1 + share) for share in shares])
    return (
        f"The baseline on {group.splits}, over the {len(shares)} findings of {leader.label}: "
        "whoever flags every finding in every image has recall 1.000, a precision equal to the "
        f"prevalence, {share_text(fmean(shares))} in the mean, and a macro F1 of {share_text(f1)}."
    )


def _tabulate_rules(runs: Sequence[Run]) -> Table:
    columns = [
        text_column("Recipe", [run.label for run in runs]),
        text_column("Split", [run.split_label for run in runs]),
        text_column("Findings", [str(_count_decided(run, "half")) for run in runs]),
    ]
    columns += [
        (column, [_macro_cell(run, rule) for run in runs])
        for rule, column in _name_rules(runs[0].evaluation).items()
    ]
    accuracy = [share_text(run.evaluation.look_alikes.label_accuracy) for run in runs]
    nobody = [share_text(run.evaluation.look_alikes.all_negative) for run in runs]
    columns += [
        (Column("Label accuracy", "at 0.5"), [Cell(text) for text in accuracy]),
        (Column("Label accuracy", "calling nobody"), [Cell(text) for text in nobody]),
    ]
    caption = "Macro precision / recall / F1 by rule, thresholds but 0.5 from the validation part"
    return join_columns(caption, columns, tones=[""] * len(runs))


def _count_decided(run: Run, rule: Rule) -> int:
    point = run.evaluation.operating_points.get(rule)
    return len(point.thresholds) if point else 0


def _macro_cell(run: Run, rule: Rule) -> Cell:
    """Return the macro averages, with how many findings they are over where these are fewer."""
    point = run.evaluation.operating_points.get(rule)
    if point is None:
        return Cell(NONE)
    found = point.decisions["macro avg"]
    fewer = len(point.thresholds) < _count_decided(run, "half")
    return Cell(
        " / ".join(map(share_text, (found.precision, found.recall, found.f1))),
        note=f"over {len(point.thresholds)}" if fewer else "",
    )


def _beside_source(comparison: Comparison, run: Run) -> Section:
    """Return a recipe's decisions beside those its source prints, in scikit-learn's layout."""
    source = comparison.decisions[run.name]
    pretrained = comparison.decisions.get(TORCHXRAYVISION)
    rows = list(source.decisions)
    told = [f"The source is “{source.title}”."]
    theirs = _rate_columns(
        source.decisions, rows, note="its source, thresholds as its authors chose", apart=True
    )
    if pretrained:
        note = "pretrained TorchXRayVision as that README reports it"
        theirs += _rate_columns(pretrained.decisions, rows, note=note, apart=True)
        told.append(f"TorchXRayVision's numbers are from {pretrained.title}.")
    external = [
        other
        for other in comparison.runs
        if not other.training and other.split.test.sha256 == run.split.test.sha256
    ]
    others = (
        "A network that calls other findings too has its macro and weighted averages over the "
        "findings of this table, and a dash for the others."
    )
    tables = [
        _tabulate_report([run, *external], rows, rule=rule, words=words, theirs=beside)
        for rule, words, beside in (
            ("half", "at 0.5, beside what others report", theirs),
            ("max_f1", "at the highest F1 on the validation part", []),
        )
        if rule in run.evaluation.operating_points
    ]
    return Section(
        f"decisions-of-{run.name}",
        f"{run.label} beside its source",
        level=3,
        text=(
            (
                "The layout is that of scikit-learn's classification report: micro pools all "
                "decisions, macro is the mean over the findings, weighted that by positives, samples "
                "the mean over the images."
            ),
            (
                f"{' '.join(told)} What others report was reached on their own test images, so it is "
                "set apart and no difference to it is shown."
            ),
            *([others] if external else []),
        ),
        tables=tuple(tables),
    )


def _tabulate_report(
    runs: Sequence[Run], rows: Sequence[str], *, rule: Rule, words: str, theirs: Sequence[Filled]
) -> Table:
    """Return precision, recall and F1 of some runs by one rule, the first of them the recipe."""
    [run, *external] = runs
    findings = [name for name in rows if name not in AVERAGES]
    support = run.evaluation.operating_points["half"].decisions
    positives = [f"{support[name].positives:,}" if name in support else NONE for name in rows]
    columns = [
        text_column("Finding", rows),
        (Column("Positives", "in this test part"), [Cell(text) for text in positives]),
    ]
    for ours, by in ((run, "this run"), *((other, other.label) for other in external)):
        if point := ours.evaluation.operating_points.get(rule):
            columns += _rate_columns(_over_findings(point.decisions, findings), rows, note=by)
    tones = ["total" if name in AVERAGES else "" for name in rows]
    caption = f"Precision, recall and F1 of {run.label} {words}"
    return join_columns(caption, [*columns, *theirs], tones=tones)


def _over_findings(
    decisions: Mapping[str, Decision], findings: Sequence[str]
) -> dict[str, Decision]:
    """Return decisions by finding and, of the averages, those that are over these findings.

    Where other findings were called too, macro and weighted are taken anew; micro and samples
    would take the calls themselves.
    """
    called = {name for name in decisions if name not in AVERAGES}
    if called == set(findings):
        return dict(decisions)
    single = {name: decisions[name] for name in findings if name in called}
    averages = {}
    if len(single) == len(findings):
        rates = list(single.values())
        averages["macro avg"] = _average(rates, weights=[1] * len(rates))
        if any(rate.positives for rate in rates):
            averages["weighted avg"] = _average(rates, weights=[r.positives for r in rates])
    return single | averages


def _average(rates: Sequence[Decision], *, weights: Sequence[int]) -> Decision:
    return Decision(
        precision=fmean([rate.precision for rate in rates], weights),
        recall=fmean([rate.recall for rate in rates], weights),
        f1=fmean([rate.f1 for rate in rates], weights),
        positives=sum(rate.positives for rate in rates),
    )


def _rate_columns(
    decisions: Mapping[str, Decision] | Mapping[str, PublishedDecision],
    rows: Sequence[str],
    *,
    note: str,
    apart: bool = False,
) -> list[Filled]:
    """Return the columns precision, recall and F1, a dash where a row has none."""

    def cells(rate: Callable[[Decision | PublishedDecision], float]) -> list[Cell]:
        return [
            Cell(share_text(rate(decisions[name])), apart) if name in decisions else Cell(NONE)
            for name in rows
        ]

    return [
        (Column("Precision", note), cells(lambda decision: decision.precision)),
        (Column("Recall", note), cells(lambda decision: decision.recall)),
        (Column("F1", note), cells(lambda decision: decision.f1)),
    ]


def _leader_decisions(group: Group) -> Section:
    """Return the best recipe's decisions at Youden's threshold, by finding."""
    run = group.leader
    anchor = f"decisions-{group.anchor}"
    title = title_group(group, f"{run.label}, finding by finding")
    point = run.evaluation.operating_points.get("youden")
    if point is None:
        without = (
            f"No threshold was chosen for {run.label}: that takes a validation part with and "
            "without a finding."
        )
        return Section(anchor, title, level=3, text=(without,))
    rows = [finding for finding in run.scored if finding in point.decisions]
    thresholds = [f"{point.thresholds[finding]:.4f}" for finding in rows]
    positives = [f"{point.decisions[finding].positives:,}" for finding in rows]
    [precision, recall, f1] = _rate_columns(point.decisions, rows, note="")
    chance = [share_text(run.evaluation.findings[finding].prevalence) for finding in rows]
    columns = [
        text_column("Finding", rows),
        (Column("Positives", "in the test part"), [Cell(text) for text in positives]),
        validation_column([run.evaluation.findings[finding] for finding in rows]),
        (Column("Threshold", "from validation"), [Cell(text) for text in thresholds]),
        (Column("Sensitivity", "which is recall"), recall[1]),
        precision,
        (Column("Precision", "flagging everything"), [Cell(text) for text in chance]),
        f1,
    ]
    caption = f"Decisions of {run.label} at Youden's threshold, {group.splits}"
    return Section(
        anchor, title, level=3, tables=(join_columns(caption, columns, tones=[""] * len(rows)),)
    )
