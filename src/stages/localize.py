"""Hold one recipe's heatmaps against the radiologists' boxes on its test images.

    python src/stages/localize.py densenet121_step

Reads   predictions/<recipe>/{heatmaps.safetensors,test.csv}, evaluations/<recipe>/detail.json
        data/packed/<dataset>/{images.npy,index.csv,boxes.csv,outlines.csv,experts.csv}
        data/splits/<dataset>/<split>.csv
        params.yaml: dataset, evaluate.{draws,seed}, localize.shown, the recipe's split
Writes  metrics/<recipe>/localization.json         what fits in a diff
        localizations/<recipe>/localization.json   everything else
        localizations/<recipe>/chestx_det.json     the same against ChestX-Det, where it is here
        localizations/<recipe>/overlays/*.jpg      a few hits and misses of each finding
        plots/<recipe>/localization.csv            accuracy by the overlap that is asked for

Boxes on training or validation images, or on none of the split's, are counted and left out.
"""

import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter

from chestxray14.base.errors import InputError, name_some
from chestxray14.base.findings import BOXED_FINDINGS
from chestxray14.base.params import load_block
from chestxray14.base.stage import choose, run
from chestxray14.data.boxes import BOX_COLUMNS, check_boxes, choose_boxes
from chestxray14.data.chestx_det import DRAWN, OUTLINE_COLUMNS
from chestxray14.data.chestx_det import NAME as CHESTX_DET
from chestxray14.files.experts import read_sets
from chestxray14.files.heatmaps import Heatmaps, read_heatmaps
from chestxray14.files.names import hash_names
from chestxray14.files.outputs import read_table, write_bytes, write_json, write_text
from chestxray14.files.packed import IMAGE_PX, list_findings, open_images, read_index
from chestxray14.files.predictions import match, read_predictions
from chestxray14.files.records import read_record
from chestxray14.files.skipped import read_skipped, write_skipped
from chestxray14.localization.cases import CELLS, Annotated, Case, annotate
from chestxray14.localization.outlines import measure_heat
from chestxray14.localization.overlays import draw_overlay, encode
from chestxray14.localization.params import Shown
from chestxray14.localization.pictures import caption, choose_shown
from chestxray14.localization.record import (
    HEADLINES,
    MEAN,
    Localization,
    Outlined,
    summarise_localization,
    summarise_outlined,
    tabulate_overlaps,
)
from chestxray14.localization.record import Shown as ShownCase
from chestxray14.localization.score import score_cases
from chestxray14.scoring.evaluation import Evaluation

log = logging.getLogger("localize")


def main() -> None:
    """Score heatmaps against NIH's boxes, and where the dataset has them ChestX-Det's; write."""
    name = choose(of="recipes", doc=__doc__)
    if reason := read_skipped(Path(f"predictions/{name}/views.json")):
        folders = (f"metrics/{name}", f"localizations/{name}")
        written = [Path(folder) / "localization.json" for folder in folders]
        write_skipped(reason, *written, Path(f"plots/{name}/localization.csv"))
        log.warning("%s is skipped: %s", name, reason)
        return
    packed = Path("data/packed") / load_block("dataset", str)
    recipe = _read_recipe(name, packed)
    boxes_file = packed / "boxes.csv"
    listed = read_table(boxes_file, by="prepare", columns=BOX_COLUMNS)
    listed = check_boxes(listed, name=str(boxes_file))
    boxes, left_out = choose_boxes(
        listed, part_of=recipe.part_of, findings=recipe.heatmaps.findings
    )
    annotated = _annotate(recipe, boxes, images=boxes["image"], findings=BOXED_FINDINGS)
    shown_each = load_block("localize.shown", TypeAdapter[int](Shown))
    chosen = choose_shown(annotated.cases, each=shown_each, seed=recipe.seed)
    localization = _score(recipe, annotated, left_out, shown=[shown for _, shown in chosen])
    _draw_overlays(recipe, annotated, chosen, packed=packed)
    summary = summarise_localization(localization)
    write_json(
        Path(f"localizations/{name}/localization.json"), localization.model_dump(exclude_none=True)
    )
    table = tabulate_overlaps(localization).to_csv(index=False, lineterminator="\n")
    write_text(Path(f"plots/{name}/localization.csv"), table)
    for finding, found in localization.findings.items():
        if odd := found.unlabelled_images:
            log.info(
                "%d images boxed for %s lack this label: %s", len(odd), finding, name_some(odd)
            )
    log.info("%s", _tell(localization))
    if outlined := _outline(recipe, packed=packed):
        write_json(
            Path(f"localizations/{name}/{CHESTX_DET}.json"),
            outlined.model_dump(exclude_none=True),
        )
        summary |= {CHESTX_DET: summarise_outlined(outlined)}
        log.info("%s: %s", CHESTX_DET, _tell(outlined.localization))
    write_json(Path(f"metrics/{name}/localization.json"), summary)


@dataclass(frozen=True)
class _Recipe:
    """A recipe's heatmaps and predictions, and what is known of its images."""

    name: str
    seed: int
    draws: int
    heatmaps: Heatmaps
    probabilities: pd.DataFrame
    evaluation: Evaluation
    index: pd.DataFrame
    part_of: dict[str, str]


def _read_recipe(name: str, packed: Path) -> _Recipe:
    protocol = load_block(f"recipes.{name}.split", str)
    split_file = Path(f"data/splits/{packed.name}/{protocol}.csv")
    split = read_table(split_file, by="split", columns=("image", "part"))
    details = Path(f"evaluations/{name}/detail.json")
    evaluation = read_record(details, Evaluation, by="evaluate")
    index = read_index(packed / "index.csv")
    heatmaps = read_heatmaps(Path(f"predictions/{name}/heatmaps.safetensors"))
    predicted = Path(f"predictions/{name}/test.csv")
    probabilities, _ = read_predictions(predicted, findings=list_findings(index))
    images = match(probabilities, index, path=predicted).known["image"]
    for path, tested in (
        (predicted, images),
        (split_file, split.loc[split["part"] == "test", "image"]),
    ):
        if hash_names(tested) != evaluation.split_sha256:
            raise InputError(
                f"{path} has other test images than those that {details} scores; run the stages "
                "after split again"
            )
    if lacking := [each for each in heatmaps.findings if each not in probabilities]:
        raise InputError(
            f"{predicted} lacks {', '.join(lacking)}, which heatmaps.safetensors beside it maps; "
            "run the predict stage again"
        )
    return _Recipe(
        name=name,
        seed=load_block("evaluate.seed", int),
        draws=load_block("evaluate.draws", int),
        heatmaps=heatmaps,
        probabilities=probabilities,
        evaluation=evaluation,
        index=index,
        part_of=dict(zip(split["image"], split["part"], strict=True)),
    )


def _annotate(
    recipe: _Recipe, boxes: pd.DataFrame, *, images: Iterable[str], findings: Iterable[str]
) -> Annotated:
    return annotate(
        *(recipe.heatmaps, boxes),
        images=images,
        findings=findings,
        index=recipe.index,
        probabilities=recipe.probabilities,
        thresholds=recipe.evaluation.youden,
    )


def _score(
    recipe: _Recipe, annotated: Annotated, left_out: dict[str, int], *, shown: list[ShownCase]
) -> Localization:
    geometry = recipe.heatmaps.geometry
    return score_cases(
        annotated.cases,
        method=geometry.method,
        label_version=recipe.evaluation.label_version,
        split_sha256=recipe.evaluation.split_sha256,
        grid_px=IMAGE_PX * geometry.stride / geometry.resize_px,
        resolution=CELLS,
        left_out=left_out,
        patients=dict(zip(recipe.index["image"], recipe.index["patient"], strict=True)),
        draws=recipe.draws,
        seed=recipe.seed,
        shown=shown,
    )


def _outline(recipe: _Recipe, *, packed: Path) -> Outlined | None:
    """Return the scores against ChestX-Det on its test images, boxed or not; None without any."""
    outlines = read_table(packed / "outlines.csv", by="prepare", columns=OUTLINE_COLUMNS)
    images = [
        image
        for experts in read_sets(packed)
        if experts.name == CHESTX_DET
        for image in experts.labels["image"]
        if recipe.part_of.get(image) == "test"
    ]
    if not images:
        return None
    boxes, left_out = choose_boxes(
        outlines, part_of=recipe.part_of, findings=recipe.heatmaps.findings
    )
    annotated = _annotate(recipe, boxes, images=images, findings=DRAWN)
    return Outlined(
        localization=_score(recipe, annotated, left_out, shown=[]),
        heat=measure_heat(
            annotated.maps,
            images=annotated.images,
            findings=annotated.findings,
            outlines=boxes,
        ),
    )


def _draw_overlays(
    recipe: _Recipe,
    annotated: Annotated,
    chosen: list[tuple[Case, ShownCase]],
    *,
    packed: Path,
) -> None:
    images = open_images(packed / "images.npy")
    rows = recipe.index.set_index("image")["row"]
    overlays = Path(f"localizations/{recipe.name}/overlays")
    shutil.rmtree(overlays, ignore_errors=True)
    overlays.mkdir(parents=True)
    for case, shown in chosen:
        drawn = recipe.evaluation.label_version == "phantom"
        picture = draw_overlay(
            images[rows[case.image]],
            annotated.maps[
                annotated.images.index(case.image), annotated.findings.index(case.finding)
            ],
            captions=caption(shown, recipe=recipe.name, drawn=drawn),
            truth=case.truth,
            found=case.found,
        )
        write_bytes(overlays / shown.file, encode(picture, kind="JPEG"))


def _tell(localization: Localization) -> str:
    """Say in a line how many boxes were found, beside the baselines."""
    left_out = ", ".join(f"{reason} {n:,}" for reason, n in localization.left_out.items())
    counted = f"{localization.boxes:,} boxes count; left out: {left_out}"
    if not localization.boxes:
        return counted
    at = localization.iobb[HEADLINES["IoBB"]]
    return (
        f"{counted}; cells of {localization.grid_px:g} of {IMAGE_PX} pixels; IoBB > "
        f"{HEADLINES['IoBB']} {at.accuracy[MEAN]:.3f} (noise {at.random[MEAN]:.3f}, centre "
        f"{at.centre[MEAN]:.3f})"
    )


if __name__ == "__main__":
    run(main)
