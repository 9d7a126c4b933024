"""Anybody's prediction file: what it lacks, what it has too much of, and what in it is doubtful."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from chestxray14.base.errors import InputError, name_some
from chestxray14.base.findings import NO_FINDING
from chestxray14.files.packed import list_findings
from chestxray14.files.predictions import Predicted, match, read_predictions
from chestxray14.scoring.plausibility import list_doubts, refuse_labels

log = logging.getLogger(__name__)


def match_foreign(
    path: Path,
    known: pd.DataFrame,
    *,
    listed: tuple[Path, Sequence[str]] | None = None,
) -> Predicted:
    """Return a file's predictions with what is `known` of their images; say what is left out.

    Where images are `listed`, a file and the names in it, those alone count, and those that are not
    predicted are named.
    """
    findings = list_findings(known)
    table, others = read_predictions(path, findings=findings)
    derived = [name for name in others if name.removeprefix("prob_") == NO_FINDING]
    if derived:
        log.warning(
            "%s: %s is not read: it is derived where all %d findings are predicted",
            *(path, NO_FINDING, len(findings)),
        )
    if foreign := [name for name in others if name not in derived]:
        log.warning("%s: left out, no findings: %s", path, ", ".join(foreign))
    if missing := [finding for finding in findings if finding not in table]:
        log.warning("%s: not predicted, not scored: %s", path, ", ".join(missing))
    if listed is not None:
        listing, expected = listed
        if absent := sorted(set(expected) - set(table.index)):
            log.warning(
                "%s lacks %d of the %d images of %s, scored without them: %s",
                *(path, len(absent), len(expected), listing, name_some(absent)),
            )
        if more := sorted(set(table.index) - set(expected)):
            log.warning(
                "%s: left out, not in %s: %d images, %s",
                *(path, listing, len(more), name_some(more)),
            )
        table = table[table.index.isin(expected)]
    return match(table, known, path=path)


def doubt(path: Path, predicted: Predicted, known: pd.DataFrame) -> tuple[str, ...]:
    """Refuse a file that holds labels; say and return what else is doubtful about its numbers."""
    refuse_labels(predicted, name=str(path))
    doubts = list_doubts(predicted, listed=known["image"].to_list())
    for each in doubts:
        log.warning("%s: %s", path, each)
    return doubts


def check_apart(test: Predicted, val: Predicted, *, path: Path) -> None:
    """Refuse validation images that are scored; say which patients and findings are doubtful."""
    images = set(test.known["image"]) & set(val.known["image"])
    if images:
        raise InputError(
            f"{path} has {len(images):,} images of the scored file: {name_some(sorted(images))}; "
            "thresholds and calibration must come from others"
        )
    if patients := len(set(test.known["patient"]) & set(val.known["patient"])):
        log.warning(
            "%s shares %d patients with the scored file, which flatters what is chosen on it",
            *(path, patients),
        )
    if without := [name for name in test.columns if name not in val.columns]:
        log.warning(
            "%s: of one class only or not predicted, so no threshold, no calibration: %s",
            *(path, ", ".join(without)),
        )


def keep_common(first: Predicted, second: Predicted) -> tuple[Predicted, Predicted]:
    """Return two networks' predictions for the images that both predict; say how many are not."""
    names = [set(each.known["image"]) for each in (first, second)]
    if alone := len(names[0] ^ names[1]):
        log.warning("left out of both files: %d images that only one of them predicts", alone)
    common = names[0] & names[1]
    if not common:
        raise InputError("--predictions and --against have no image in common")
    return first.restrict(common), second.restrict(common)
