"""Numbers that are taken for a macro AUROC, computed from this comparison's own predictions."""

from collections.abc import Mapping, Sequence

from chestxray14.report.comparison import Comparison
from chestxray14.report.published import System
from chestxray14.report.results import Run, name_runs
from chestxray14.report.sections import Section
from chestxray14.report.tables import (
    Column,
    Table,
    auroc_text,
    join_columns,
    number_column,
    text_column,
)

DRAWN = (
    "The radiographs of this run are drawn. They prove the arithmetic, how far such numbers of one "
    "recipe lie apart, and not the cause of a published number."
)

KINDS = {
    "test": Column("Macro AUROC", "test part: the number to compare"),
    "accuracy": Column("Label accuracy", "at 0.5"),
    "all_negative": Column("Label accuracy", "calling nobody"),
    "micro": Column("Micro AUROC", "14 findings and No Finding pooled"),
    "training": Column("Macro AUROC", "on training images"),
    "image": Column("Macro AUROC", "split by image (LEAKY)"),
}
"""A column a number, the first of them the one to compare."""

NOTEBOOKS = {
    "resnet50_frozen": (
        "Its notebook splits by image and, after loading trained weights, shuffles anew without a "
        "seed, so test images may be training images."
    ),
}
"""What a source's code does to its split, by source; the recipe's header in params.yaml cites it."""

MISSING = {
    "micro": "the micro AUROC over 15 columns, which needs all 14 findings and images without any",
    "training": "the macro AUROC on training images, which needs their predictions and both classes",
    "image": (
        "the split by image, which needs a recipe alike in all but the split, scored for the same "
        "findings"
    ),
}
"""What cannot always be had, and what it needs."""


def describe_look_alikes(comparison: Comparison) -> list[Section]:
    """Return the numbers that may have been printed where a macro AUROC was meant."""
    claims = [system for system in comparison.systems if system.implausible]
    runs = _choose_runs(comparison)
    numbers = {run.name: _look_alikes(run, comparison.runs) for run in runs}
    only = (
        "None is one to compare, as every recipe here is LEAKY."
        if all(run.leaky for run in runs)
        else "Only the first is the mean AUROC of the findings on the test part."
    )
    text = [
        (
            "Every number in this table comes from the predictions of this comparison, and any of them "
            f"can be printed as “AUC”. {only}"
        )
    ]
    plausible = [s for s in comparison.systems if not s.micro and s not in claims]
    for system in claims:
        text.append(_describe_claim(system, plausible, numbers))
        text += _explain_claim(system)
    text += _describe_missing(runs, numbers)
    if any(run.leaky for run in runs):
        text.append(
            "A recipe marked LEAKY is tested on patients it was trained on. Its macro AUROC stands "
            "under the split by image only."
        )
    if comparison.prepared.source == "phantom":
        text.append(DRAWN)
    title = "What looks like a macro AUROC and is none"
    if claims:
        title = f"Why {auroc_text(claims[0].mean)} is no macro AUROC to compare with"
    return [
        Section("look-alikes", title, text=tuple(text), tables=(_tabulate(runs, numbers),)),
    ]


def _choose_runs(comparison: Comparison) -> list[Run]:
    """Return the runs of the first group that does not leak, then all that do."""
    fair = next((group.runs for group in comparison.groups if not group.runs[0].leaky), ())
    return [*fair, *(run for run in comparison.runs if run.leaky)]


def _look_alikes(run: Run, runs: Sequence[Run]) -> dict[str, float | None]:
    """Return the numbers of one run by `KINDS`, None where one cannot be had."""
    found = run.evaluation.look_alikes
    by_image = run if run.leaky else find_twin(run, runs)
    return {
        "test": None if run.leaky else run.auroc["macro"],
        "accuracy": found.label_accuracy,
        "all_negative": found.all_negative,
        "micro": found.micro_15,
        "training": found.training_images,
        "image": by_image.auroc["macro"] if by_image else None,
    }


def find_twin(run: Run, runs: Sequence[Run]) -> Run | None:
    """Return the run on a split by image whose recipe is the same in all but the split."""
    for other in runs:
        if run.training and other.training and other.leaky and other.scored == run.scored:
            there = other.training.recipe
            if run.training.recipe.model_copy(update={"split": there.split}) == there:
                return other
    return None


def _tabulate(runs: Sequence[Run], numbers: Mapping[str, Mapping[str, float | None]]) -> Table:
    columns = [
        text_column("Recipe", [run.label for run in runs]),
        text_column("Findings", [str(len(run.scored)) for run in runs]),
    ]
    for kind, column in KINDS.items():
        columns.append(number_column(column, [numbers[run.name][kind] for run in runs]))
    return join_columns(
        "One network, many numbers",
        columns,
        tones=["doubtful" if run.leaky else "" for run in runs],
    )


def _describe_claim(
    system: System,
    others: Sequence[System],
    numbers: Mapping[str, Mapping[str, float | None]],
) -> str:
    """Say what is claimed, what others report, and which of these numbers reach it here."""
    claim = round(system.mean, 4)
    reaching = [
        f"{column.title} ({column.note})"
        for kind, column in KINDS.items()
        if any(
            (found := row[kind]) is not None and round(found, 4) >= claim
            for row in numbers.values()
        )
    ]
    highest = (
        f"no other macro AUROC listed here is above {auroc_text(max(s.mean for s in others))}."
        if others
        else "no other is listed here."
    )
    here = (
        f"In the table that high a number is found under: {', '.join(reaching)}."
        if reaching
        else "No number in the table is that high."
    )
    return (
        f"{system.title} claims {auroc_text(system.mean)}; {highest} {here} That alone does not "
        "tell which kind of number it was. The claim is listed, never compared."
    )


def _explain_claim(system: System) -> list[str]:
    """Say which of these numbers a mean of printed findings can be, nothing where none is printed."""
    if not system.auroc:
        return []
    count = len(system.auroc)
    told = (
        f"The source prints {count} values, one a finding, and {auroc_text(system.mean)} is their "
        "mean. So it is not one number over all labels at once, as the label accuracies and the "
        f"micro AUROC of this table are. Training images, or a split by image, can raise all {count}."
    )
    return [" ".join(filter(None, (told, NOTEBOOKS.get(system.source))))]


def _describe_missing(
    runs: Sequence[Run], numbers: Mapping[str, Mapping[str, float | None]]
) -> list[str]:
    """Say what could not be computed, for whom, and what it needs."""
    lacking = {kind: [run for run in runs if numbers[run.name][kind] is None] for kind in MISSING}
    told = [
        f"{MISSING[kind]} (not for {name_runs(without, among=runs)})"
        for kind, without in lacking.items()
        if without
    ]
    return [f"Not computed, a dash or no column: {'; '.join(told)}."] if told else []
