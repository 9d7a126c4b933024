"""What was trained, on which images, and what the dataset's limits changed."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from chestxray14.files.metrics import Prepared, SplitFacts
from chestxray14.report.comparison import Comparison
from chestxray14.report.figures import draw_training
from chestxray14.report.regimens import list_limits, tabulate_training
from chestxray14.report.results import LABEL_VERSIONS, Run, name_runs
from chestxray14.report.sections import Section
from chestxray14.report.tables import auroc_text, text_table
from chestxray14.report.wording import range_text

TRAINING = (
    (
        "The epoch that is kept is chosen on the validation part, which the network sees by the "
        "centre of each image; the test part is scored once."
    ),
    (
        "Each loss is the recipe's own: plain, class-weighted or focal, over its own findings. "
        "Compare losses within a recipe, never between two."
    ),
)

KINDS = {
    "patient": "whole patients, drawn at random",
    "official": "NIH's official lists, whole patients",
    "image": "negative control, single images drawn at random",
    "lists": "published lists of images",
    "own": "the parts in which the dataset's table comes",
}
"""The kinds of split, in words."""


def describe_training(comparison: Comparison) -> Section:
    """Return how each recipe was trained, and its curves."""
    trained = [(run, run.training) for run in comparison.runs if run.training]
    columns = ("epoch", "train_loss", "val_loss", "val_auroc", "lr")
    histories = {
        run.label: {
            # What trains nothing has no rate: the one in its history was never used.
            column: [
                _or_nan(getattr(epoch, column) if column != "lr" or epoch.epoch else None)
                for epoch in training.history
            ]
            for column in columns
        }
        for run, training in trained
    }
    recipes = [run for run, _ in trained]
    return Section(
        "training",
        "Training",
        text=TRAINING,
        figures=(Markup(draw_training(histories, title=_title_training(recipes))),),
        tables=tabulate_training(recipes),
    )


def _title_training(recipes: Sequence[Run]) -> str:
    """Return what the figure shows, with the lowest and highest AUROC and where the others are."""
    reached = {
        run.label: run.training.trained.val_auroc
        for run in recipes
        if run.training and run.training.trained.val_auroc is not None
    }
    return " ".join(
        (
            "Losses, validation AUROC, learning rate.",
            *(
                [f"Validation AUROC of the epoch kept: {range_text(reached, auroc_text)}."]
                if reached
                else []
            ),
            "The table What was kept has the numbers.",
        )
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def describe_what_ran(comparison: Comparison) -> list[Section]:
    """Return the dataset, the splits with their hashes, and what limits changed."""
    data = comparison.prepared
    sizes = (
        f"Dataset {data.dataset} (source: {data.source}): {data.images:,} images of "
        f"{data.patients:,} patients, reduced to {data.packed_px} px; {data.rejected:,} images "
        f"could not be read and are left out. Labels: {LABEL_VERSIONS[data.label_version]}."
    )
    splits = {run.split_label: run.split for run in comparison.runs}
    split_rows = [
        (label, words, name, f"{part.images:,}", f"{part.patients:,}", part.sha256)
        for label, split in splits.items()
        for words in [_describe_split(split, data)]
        for name, part in (("train", split.train), ("val", split.val), ("test", split.test))
    ]
    headings = ("Split", "Drawn as", "Part", "Images", "Patients", "sha256 of the image names")
    leaks = tuple(
        f"Split {label}: {split.shared_patients:,} patients are on more than one side, on purpose. "
        "A network is tested on people it was trained on: a control of what that does to a score."
        for label, split in splits.items()
        if split.kind == "image"
    )
    recipes = [run for run in comparison.runs if run.training]
    changes = [
        (*change, name_runs(runs, among=recipes)) for change, runs in list_limits(recipes).items()
    ]
    asked = ("Value", "params.yaml", "This run", "Recipes")
    unchanged = "Nothing: every recipe ran with the input, weights and epochs of params.yaml."
    return [
        Section(
            "what-ran",
            "What ran",
            text=(sizes, *leaks),
            tables=(text_table("Splits", headings, split_rows, numeric=(3, 4)),),
        ),
        Section(
            "limits",
            "What the dataset's limits changed",
            level=3,
            text=() if changes else (unchanged,),
            tables=(text_table("Recipe values", asked, changes),) if changes else (),
        ),
    ]


def _describe_split(split: SplitFacts, prepared: Prepared) -> str:
    left_out = prepared.images - split.images
    return KINDS[split.kind] + (f"; {left_out:,} images left out" if left_out > 0 else "")
