"""Hold one recipe's heatmaps against the radiologists' boxes on its test images.

    python src/stages/localize.py densenet121_step

Reads   predictions/<recipe>/{heatmaps.safetensors,test.csv}, evaluations/<recipe>/detail.json
        data/packed/<dataset>/{images.npy,index.csv,boxes.csv}, data/splits/<dataset>/<split>.csv
        params.yaml: dataset, evaluate.{draws,seed}, localize.shown, the recipe's split
Writes  metrics/<recipe>/localization.json         what fits in a diff
        localizations/<recipe>/localization.json   everything else
        localizations/<recipe>/overlays/*.jpg      a few hits and misses of each finding
        plots/<recipe>/localization.csv            accuracy by the overlap that is asked for

Boxes on training or validation images, or on none of the split's, are counted and left out.
"""

import logging
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from chestxray14.base.errors import InputError, name_some
from chestxray14.base.findings import BOXED_FINDINGS
from chestxray14.base.params import load_block
from chestxray14.base.stage import choose, run
from chestxray14.data.boxes import BOX_COLUMNS, check_boxes, choose_boxes
from chestxray14.files.heatmaps import Heatmaps, lay_out, read_heatmaps
from chestxray14.files.outputs import read_table, write_bytes, write_json, write_text
from chestxray14.files.packed import IMAGE_PX, open_images, read_index
from chestxray14.files.predictions import read_predictions
from chestxray14.files.records import read_record
from chestxray14.localization.cases import make_cases
from chestxray14.localization.overlays import draw_overlay, encode
from chestxray14.localization.params import Shown
from chestxray14.localization.pictures import caption, choose_shown
from chestxray14.localization.record import (
    HEADLINES,
    MEAN,
    Localization,
    summarise_localization,
    tabulate_overlaps,
)
from chestxray14.localization.score import score_cases
from chestxray14.scoring.evaluation import Evaluation

CELLS = 128
"""Cells a side of a heatmap of the whole image: 8 pixels of 1024 each."""

log = logging.getLogger("localize")


def main() -> None:
    """Choose the boxes that count, lay out their heatmaps, score, write."""
    name = choose(of="recipes", doc=__doc__)
    dataset = load_block("dataset", str)
    protocol = load_block(f"recipes.{name}.split", str)
    seed = load_block("evaluate.seed", int)
    heatmaps = read_heatmaps(Path(f"predictions/{name}/heatmaps.safetensors"))
    details = Path(f"evaluations/{name}/detail.json")
    evaluation = read_record(details, Evaluation, by="evaluate")

    packed = Path(f"data/packed/{dataset}")
    images, index = open_images(packed / "images.npy"), read_index(packed / "index.csv")
    boxes_file = packed / "boxes.csv"
    listed = read_table(boxes_file, by="prepare", columns=BOX_COLUMNS)
    listed = check_boxes(listed, name=str(boxes_file))
    split_file = Path(f"data/splits/{dataset}/{protocol}.csv")
    split = read_table(split_file, by="split", columns=("image", "part"))
    part_of = dict(zip(split["image"], split["part"], strict=True))
    boxes, left_out = choose_boxes(listed, part_of=part_of, findings=heatmaps.findings)

    findings = [finding for finding in BOXED_FINDINGS if finding in heatmaps.findings]
    boxed = index[index["image"].isin(boxes["image"])].set_index("image")
    names = boxed.index.tolist()
    probabilities, _ = read_predictions(Path(f"predictions/{name}/test.csv"))
    maps = _lay_out(heatmaps, names, findings=findings)
    cases = make_cases(
        maps,
        images=names,
        findings=findings,
        boxes=boxes,
        probabilities=probabilities.loc[names, findings].to_numpy(),
        thresholds=[evaluation.youden.get(finding) for finding in findings],
        labelled=boxed[findings].to_numpy() > 0,
    )
    shown_each = load_block("localize.shown", TypeAdapter[int](Shown))
    chosen = choose_shown(cases, each=shown_each, seed=seed)
    localization = score_cases(
        cases,
        method=heatmaps.geometry.method,
        label_version=evaluation.label_version,
        split_sha256=evaluation.split_sha256,
        grid_px=IMAGE_PX * heatmaps.geometry.stride / heatmaps.geometry.resize_px,
        resolution=CELLS,
        left_out=left_out,
        patients=dict(zip(boxed.index, boxed["patient"], strict=True)),
        draws=load_block("evaluate.draws", int),
        seed=seed,
        shown=[shown for _, shown in chosen],
    )
    overlays = Path(f"localizations/{name}/overlays")
    shutil.rmtree(overlays, ignore_errors=True)
    overlays.mkdir(parents=True)
    for case, shown in chosen:
        picture = draw_overlay(
            images[boxed["row"][case.image]],
            maps[names.index(case.image), findings.index(case.finding)],
            captions=caption(shown, recipe=name, drawn=evaluation.label_version == "phantom"),
            truth=case.truth,
            found=case.found,
        )
        write_bytes(overlays / shown.file, encode(picture, kind="JPEG"))
    write_json(Path(f"metrics/{name}/localization.json"), summarise_localization(localization))
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


def _lay_out(heatmaps: Heatmaps, names: list[str], *, findings: list[str]) -> NDArray[np.float32]:
    """Return the maps (n, k, CELLS, CELLS) of k findings in n named images.

    Raises `InputError` when `predict` drew none of an image.
    """
    places = {image: i for i, image in enumerate(heatmaps.images)}
    if missing := [name for name in names if name not in places]:
        raise InputError(
            f"no heatmap of {len(missing):,} annotated test images: {name_some(missing)}; "
            "run the predict stage again"
        )
    columns = [heatmaps.findings.index(finding) for finding in findings]
    maps = np.empty((len(names), len(findings), CELLS, CELLS), dtype=np.float32)
    for i, name in enumerate(names):
        coarse = heatmaps.maps[places[name]][:, columns]
        maps[i] = lay_out(coarse, heatmaps.geometry, cells=CELLS)
    return maps


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
