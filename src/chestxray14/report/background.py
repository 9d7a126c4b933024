"""The sections behind the numbers: images, training, what ran, the appendix."""

import pandas as pd
from markupsafe import Markup

from chestxray14.base.findings import NO_FINDING
from chestxray14.files.metrics import Trained
from chestxray14.report import curves
from chestxray14.report.gallery import sort_findings
from chestxray14.report.overview import list_limits
from chestxray14.report.sections import Section, Told
from chestxray14.report.tables import NONE, Row, make_table, number


def describe_gallery(told: Told) -> Section | None:
    """Return the pictures, and the most confident false alarm."""
    if not told.pictures:
        return None
    alarms = [p for p in told.pictures if p.kind == "false alarm"]
    surest = max(alarms, key=lambda p: p.predicted[0][1]) if alarms else None
    facts = {
        "pictures": told.pictures,
        "findings": sort_findings(told.pictures),
        "surest": surest,
    }
    return Section("gallery", "Images", facts)


def describe_training(told: Told) -> Section | None:
    """Return how each recipe was trained, and its learning curves; None where nothing was."""
    rows: list[Row] = []
    histories = {}
    for run in told.results.runs:
        if not (run.recipe and run.trained):
            continue
        recipe, trained = run.recipe, run.trained
        idle = recipe.trainable == "none"
        histories[run.label] = pd.DataFrame([epoch.model_dump() for epoch in run.history])
        rows.append(
            [
                *(run.label, recipe.trainable.replace("_", " "), trained.weights),
                *(f"{trained.input_px}", recipe.loss.name.replace("_", " ")),
                NONE if idle else f"{recipe.optimizer.name} {recipe.optimizer.lr:g}",
                NONE if idle else recipe.schedule.name,
                NONE if idle else f"{trained.best_epoch} of {trained.epochs_run}",
                *(number(trained.val_auroc, 3), f"{trained.train_images:,}"),
                _describe_device(trained),
            ]
        )
    if not rows:
        return None
    columns = (
        *("Recipe", "Trained", "First weights", "Input, px", "Loss", "Optimizer", "Schedule"),
        *("Epoch kept", "Val. AUROC", "Images", "Device"),
    )
    words = ("Trained", "First weights", "Loss", "Optimizer", "Schedule", "Device")
    kept = told.leader.trained
    facts = {
        "trained": kept,
        "last": bool(kept and told.leader.recipe and kept.best_epoch == kept.epochs_run > 0),
        "versions": sorted({run.trained.torch for run in told.results.runs if run.trained}),
    }
    drawn = (
        curves.draw_validation(histories, title="Validation AUROC of all recipes by epoch."),
        curves.draw_losses(histories, title="Losses of each recipe by epoch."),
    )
    table = make_table("How each recipe was trained", columns, rows, words=words)
    return Section("training", "Training", facts, tuple(map(Markup, drawn)), (table,))


def _describe_device(trained: Trained) -> str:
    """Return where a recipe was trained, and what there differs from whole batches in fp32."""
    words = [trained.device, trained.precision]
    if trained.skipped_steps:
        words.append(f"{trained.skipped_steps} steps skipped")
    if trained.images_at_once:
        words.append(f"batch normalisation by pieces of {trained.images_at_once} images")
    return ", ".join(words)


def describe_what_ran(told: Told) -> Section:
    """Return the splits, and what the dataset's limits changed."""
    splits = {run.protocol: run.split for run in told.results.runs}
    rows: list[Row] = [
        [
            f"{name}, {part}",
            f"{of.images:,}",
            f"{of.patients:,}" if of.patients else NONE,
            of.sha256[:16],
        ]
        for name, split in splits.items()
        for part, of in (("train", split.train), ("val", split.val), ("test", split.test))
    ]
    columns = ("Part", "Images", "Patients", "sha256 of the image names")
    changed: dict[str, list[str]] = {}
    for run in told.results.runs:
        for change in list_limits(run):
            changed.setdefault(change, []).append(run.label)
    facts = {
        "limits": changed,
        "recipes": sum(run.recipe is not None for run in told.results.runs),
        "leaks": {name: s.shared_patients for name, s in splits.items() if s.shared_patients},
        "absent": _list_absent(told),
        "unknown": {
            n: (s.test.images, s.test.unknown) for n, s in splits.items() if s.test.unknown
        },
        "mixed": {name: s.of_official_test for name, s in splits.items() if s.of_official_test},
    }
    return Section(
        "ran", "What ran", facts, (), (make_table("Splits", columns, rows, words=columns[3:]),)
    )


def _list_absent(told: Told) -> list[str]:
    """Return what would be in the report if the dataset had it."""
    groups = told.leader.evaluation.subgroups
    absent = [attribute for attribute, found in groups.items() if not found.groups]
    if not any(run.localization and run.localization.boxes for run in told.results.runs):
        absent.append("radiologists' boxes on test images")
    return absent


def describe_appendix(told: Told) -> Section:
    """Return what to know before comparing, look-alikes and whom to cite."""
    rows: list[Row] = []
    for run in [s.run for ranking in told.rankings for s in ranking.standings]:
        found = run.evaluation.look_alikes
        values = (
            run.scored.mean(run.findings),
            found.training_images,
            run.evaluation.auroc["micro"].value,
            found.micro_15,
            found.label_accuracy,
            found.all_negative,
        )
        rows.append([run.label, *(number(value, 3) for value in values)])
    columns = (
        *("Recipe", "Macro AUROC", "On training images", "Micro AUROC", "Micro with No Finding"),
        *("Label accuracy", "Calling nobody"),
    )
    facts = {
        "doubts": [
            (run, run.evaluation.doubts) for run in told.results.runs if run.evaluation.doubts
        ],
        "derived": NO_FINDING in told.leader.evaluation.findings,
        "titles": sorted({s.title for s in told.published.systems.values()}),
        "external": [run for run in told.results.runs if not run.recipe],
    }
    table = make_table("Numbers that are mistaken for a macro AUROC", columns, rows)
    return Section("appendix", "Appendix", facts, (), (table,))
