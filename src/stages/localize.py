"""Hold one recipe's heatmaps against the radiologists' boxes on its test images.

    python src/stages/localize.py densenet121_step

Reads   models/<recipe>/model.safetensors, evaluations/<recipe>/detail.json
        data/packed/<dataset>/{images.npy,index.csv,boxes.csv}, data/splits/<dataset>/<split>.csv
        params.yaml: dataset, compute, evaluate.seed, localize
Writes  metrics/<recipe>/localization.json       what fits in a diff
        evaluations/<recipe>/localization.json   everything else
        evaluations/<recipe>/overlays/*.jpg      a few hits and misses of each finding
        plots/<recipe>/localization.csv          accuracy by the overlap that is asked for

Boxes on training or validation images, or on none of the split's, are counted and left out.
"""

import logging
import shutil
from pathlib import Path

import numpy as np
from scipy.special import expit

from chestxray14.annotations import BOX_COLUMNS, IMAGE_PX, check_boxes, choose_boxes
from chestxray14.batches import select_part
from chestxray14.evaluation import Evaluation
from chestxray14.findings import BOXED_FINDINGS
from chestxray14.heatmaps import choose_method, choose_stride, draw_heatmaps
from chestxray14.localization import HEADLINES, MEAN, Localization, summarise, tabulate
from chestxray14.localization_pictures import caption, choose_shown
from chestxray14.localization_scoring import make_cases, score_cases
from chestxray14.metadata import name_some
from chestxray14.outputs import read_table, write_bytes, write_json, write_text
from chestxray14.overlays import draw_overlay, encode
from chestxray14.packed import open_images, read_index
from chestxray14.params import load_params
from chestxray14.records import read_record
from chestxray14.reproducibility import choose_algorithms, choose_device, choose_precision
from chestxray14.stage import choose, run
from chestxray14.trained_models import read_model

CELLS = 128
"""Cells a side of a heatmap of the whole image: 8 pixels of 1024 each."""

log = logging.getLogger("localize")


def main() -> None:
    """Choose the boxes that count, draw heatmaps, score, write."""
    params = load_params()
    name, _ = choose(params.recipes, of="recipes", doc=__doc__)
    device = choose_device(params.compute)
    choose_algorithms(params.compute, device)
    network, recipe = read_model(Path(f"models/{name}/model.safetensors"))
    details = Path(f"evaluations/{name}/detail.json")
    evaluation = read_record(details, Evaluation, by="evaluate")

    packed = Path(f"data/packed/{params.dataset}")
    images, index = open_images(packed / "images.npy"), read_index(packed / "index.csv")
    boxes_file = packed / "boxes.csv"
    listed = read_table(boxes_file, by="prepare", columns=BOX_COLUMNS)
    listed = check_boxes(listed, name=str(boxes_file))
    split_file = Path(f"data/splits/{params.dataset}/{recipe.split}.csv")
    split = read_table(split_file, by="split", columns=("image", "part"))
    part_of = dict(zip(split["image"], split["part"], strict=True))
    boxes, left_out = choose_boxes(listed, part_of=part_of, findings=recipe.findings)
    annotated = split[split["image"].isin(boxes["image"])]
    part = select_part(images, index, annotated, part="test", findings=recipe.findings)

    findings = [finding for finding in BOXED_FINDINGS if finding in recipe.findings]
    stride = choose_stride(recipe.input_px, cells=params.localize.cells)
    asked = params.localize.method
    method = choose_method(recipe, stride) if asked == "auto" else asked
    probabilities = np.empty((len(part), len(recipe.findings)))
    maps = np.empty((len(part), len(findings), CELLS, CELLS), dtype=np.float32)
    done = 0
    for logits, heatmaps in draw_heatmaps(
        network.to(device), part, recipe,
        findings=findings, method=method, stride=stride, cells=CELLS,
        device=device, precision=choose_precision(params.compute, device), what="heatmaps",
    ) if len(part) else ():  # fmt: skip
        batch = slice(done, done := done + len(logits))
        probabilities[batch] = expit(logits.cpu().numpy()).mean(axis=1)
        maps[batch] = heatmaps.cpu().numpy()

    columns = [recipe.findings.index(finding) for finding in findings]
    cases = make_cases(
        maps,
        images=part.names,
        findings=findings,
        boxes=boxes,
        probabilities=probabilities[:, columns],
        thresholds=[evaluation.youden.get(finding) for finding in findings],
        labelled=part.labels[:, columns].numpy() > 0,
    )
    chosen = choose_shown(cases, each=params.localize.shown, seed=params.evaluate.seed)
    localization = score_cases(
        cases,
        method=method,
        label_version=evaluation.label_version,
        split_sha256=evaluation.split_sha256,
        grid_px=IMAGE_PX * stride / recipe.resize_px,
        resolution=CELLS,
        left_out=left_out,
        seed=params.evaluate.seed,
        shown=[shown for _, shown in chosen],
    )
    overlays = Path(f"evaluations/{name}/overlays")
    shutil.rmtree(overlays, ignore_errors=True)
    overlays.mkdir(parents=True)
    for case, shown in chosen:
        row = part.names.index(case.image)
        picture = draw_overlay(
            images[part.rows[row]],
            maps[row, findings.index(case.finding)],
            captions=caption(shown, recipe=name, drawn=evaluation.label_version == "phantom"),
            drawn=case.drawn,
            found=case.found,
        )
        write_bytes(overlays / shown.file, encode(picture, kind="JPEG"))
    write_json(Path(f"metrics/{name}/localization.json"), summarise(localization))
    write_json(Path(f"evaluations/{name}/localization.json"), localization.model_dump())
    table = tabulate(localization).to_csv(index=False, lineterminator="\n")
    write_text(Path(f"plots/{name}/localization.csv"), table)
    for finding, found in localization.findings.items():
        if odd := found.unlabelled_images:
            log.info(
                "%d images boxed for %s lack this label: %s", len(odd), finding, name_some(odd)
            )
    log.info("%s", _tell(localization))


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
