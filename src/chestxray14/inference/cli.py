"""Ask a trained model about radiographs of yours, take it elsewhere, or look at the labels.

    python -m chestxray14 predict chest.png --recipe best
    python -m chestxray14 predict chest.dcm folder/ --recipe best --heatmap all --json > answers.json
    python -m chestxray14 export --recipe best --onnx best.onnx
    python -m chestxray14 labels

Run it in the root of the project, after `dvc repro`. Research software, not for diagnosis.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import nn

from chestxray14.base.errors import InputError
from chestxray14.base.notices import NOTICE
from chestxray14.base.params import Views, load_block
from chestxray14.base.stage import run
from chestxray14.files.outputs import write_bytes
from chestxray14.files.records import read_record
from chestxray14.inference.label_table import print_labels
from chestxray14.inference.onnx_export import export_onnx
from chestxray14.inference.radiographs import list_radiographs, show_path
from chestxray14.inference.single_image import (
    DRAWN_NOTICE,
    Answer,
    as_record,
    caption,
    judge,
    map_images,
    name_pictures,
    predict_images,
    read_evaluation,
    read_files,
    tabulate_answers,
)
from chestxray14.localization.overlays import draw_overlay, encode
from chestxray14.model.device import choose_device, choose_precision
from chestxray14.model.params import Compute
from chestxray14.model.recipe import Recipe
from chestxray14.model.trained import read_model
from chestxray14.raw.params import DATASET, Phantom
from chestxray14.scoring.evaluation import Evaluation

log = logging.getLogger("chestxray14")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run one command.

    Its answer goes to standard output, everything else to standard error. Ends with status 1 when
    anything failed.
    """
    parsed = _parse(arguments)
    answer = sys.stdout
    # Bars, logs and whatever a package prints must not end in a JSON document.
    with redirect_stdout(sys.stderr):
        run(lambda: parsed.command(parsed, answer))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m chestxray14", description=__doc__, formatter_class=shape
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    one = commands.add_parser(
        "predict",
        help="say what a model sees in radiographs",
        description="Print, finding by finding, the calibrated and the raw probability, the "
        "threshold (Youden's on the validation part, of the raw probability), and whether it is "
        "reached. What is no frontal radiograph is named on standard error, the rest goes on, "
        "and the exit status is then 1.",
    )
    one.set_defaults(command=_predict)
    one.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        type=Path,
        help="PNG, JPEG or DICOM file (DICOM: pip install -e '.[dicom]'), or a folder of them",
    )
    one.add_argument(
        "--heatmap",
        metavar="FINDING",
        help="draw where the model sees a finding, say Mass, or all findings, with `all`",
    )
    one.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("heatmaps"),
        help="folder of the heatmaps' PNG files (default: heatmaps)",
    )
    one.add_argument("--json", action="store_true", help="print one JSON document, no table")

    file = commands.add_parser(
        "export",
        help="write a model as an ONNX file",
        description="Write a model as an ONNX file: grey uint8 squares in, raw probabilities out, "
        "all else in its metadata. Needs pip install -e '.[onnx]'.",
    )
    file.set_defaults(command=_export)
    file.add_argument("--onnx", metavar="OUT", type=Path, required=True, help="file to write")

    table = commands.add_parser(
        "labels",
        help="say what NIH's labels say and what radiologists see",
        description="Print, finding by finding, how NIH's labels agree with radiologists, on the "
        "images of the prepared dataset that these read, or of the files that are named.",
    )
    table.set_defaults(command=print_labels)
    table.add_argument("--labels", metavar="FILE", type=Path, help="such as Data_Entry_2017.csv")
    for name, what in (("experts", "labels"), ("readers", "single readings")):
        table.add_argument(
            f"--{name}",
            metavar="NAME=FILE",
            action="append",
            default=[],
            help=f"radiologists' {what} (docs/radiologists.md)",
        )

    for command in (one, file):
        command.add_argument(
            "--recipe", metavar="NAME", required=True, help="a model of models/, say best"
        )
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class _Model:
    """A trained network with what must be known to ask it."""

    network: nn.Module
    recipe: Recipe
    views: Views
    evaluation: Evaluation | None
    packed_px: int
    drawn: bool


class _Shown(BaseModel):
    """predictions/<recipe>/views.json: what `predict` showed the network of an image."""

    views: Views


def _read(name: str) -> _Model:
    active = load_block("dataset", str)
    dataset = load_block(f"datasets.{active}", DATASET)
    network, recipe = read_model(Path(f"models/{name}/model.safetensors"))
    detail = Path(f"evaluations/{name}/detail.json")
    evaluation = read_evaluation(detail)
    drawn = active_drawn = isinstance(dataset, Phantom)
    if evaluation is None:
        log.warning("%s not found: nothing is calibrated, and there is no threshold", detail)
    else:
        drawn = evaluation.label_version == "phantom"
    if drawn != active_drawn:
        raise InputError(
            f"params.yaml: dataset is {active}, expected the one that {name} was trained on "
            f"({'drawn' if drawn else 'real'} images), whose packed_px its images need"
        )
    shown = read_record(Path(f"predictions/{name}/views.json"), _Shown, by="predict")
    return _Model(network, recipe, shown.views, evaluation, dataset.packed_px, drawn)


def _predict(parsed: argparse.Namespace, answer: TextIO) -> None:
    model = _read(parsed.recipe)
    mapped = _choose_findings(parsed.heatmap, model.recipe.findings)
    files, others = list_radiographs(parsed.images)
    if others:
        log.info("%s other files in the folders are passed over", f"{others:,}")
    if not files:
        raise InputError(f"no PNG, JPEG or DICOM file in {show_path(parsed.images[0])}")
    good, pixels, failed = read_files(files, px=model.packed_px)
    for _, reason in failed:
        print(f"error: {reason}", file=sys.stderr)
    judged, drawings = (
        _ask(model, good, pixels, mapped=mapped, parsed=parsed) if good else ([], [])
    )

    notice = f"{NOTICE} {DRAWN_NOTICE}" if model.drawn else NOTICE
    if parsed.json:
        document = {
            "notice": notice,
            "recipe": parsed.recipe,
            "views": model.views,
            "images": [
                {"image": str(file), "findings": as_record(answers), "heatmaps": paths}
                for file, answers, paths in zip(good, judged, drawings, strict=True)
            ],
            "failed": [{"image": str(file), "reason": reason} for file, reason in failed],
        }
        print(json.dumps(document, indent=2, allow_nan=False), file=answer, flush=True)
    else:
        print(notice, file=answer)
        for file, answers in zip(good, judged, strict=True):
            print(f"\n{show_path(file)}\n{tabulate_answers(answers)}", file=answer)
        if any(not each.is_calibrated for answers in judged for each in answers):
            print("\n* not calibrated: the raw probability", file=answer)
        answer.flush()
    if failed:
        sys.exit(1)


def _choose_findings(asked: str | None, findings: tuple[str, ...]) -> tuple[str, ...]:
    if asked is None or asked == "all":
        return findings if asked else ()
    if asked not in findings:
        raise InputError(f"--heatmap: found {asked!r}, expected all or one of {list(findings)}")
    return (asked,)


def _ask(
    model: _Model,
    files: list[Path],
    pixels: NDArray[np.uint8],
    *,
    mapped: tuple[str, ...],
    parsed: argparse.Namespace,
) -> tuple[list[list[Answer]], list[dict[str, str]]]:
    """Return the answers for each file and the heatmaps written, by finding."""
    recipe, compute = model.recipe, load_block("compute", Compute)
    device = choose_device(compute)
    precision = choose_precision(compute, device)
    network = model.network.to(device)
    raw = predict_images(
        network, pixels, recipe, views=model.views, device=device, precision=precision
    )
    judged = [judge(row, recipe, model.evaluation) for row in raw]
    drawings: list[dict[str, str]] = [{} for _ in files]
    if not mapped:
        return judged, drawings
    maps = map_images(network, pixels, recipe, views=model.views, findings=mapped, device=device)
    names = name_pictures(files)
    for i, heatmaps in enumerate(maps):
        asked = [each for each in judged[i] if each.finding in mapped]
        for each, heatmap in zip(asked, heatmaps, strict=True):
            path = parsed.output / f"{names[i]}_{each.finding}.png"
            captions = caption(each, recipe=parsed.recipe, drawn=model.drawn)
            picture = draw_overlay(pixels[i], heatmap, captions=captions)
            write_bytes(path, encode(picture, kind="PNG"))
            drawings[i][each.finding] = str(path)
    count = sum(map(len, drawings))
    log.info("%s: %s heatmaps", show_path(parsed.output), f"{count:,}")
    return judged, drawings


def _export(parsed: argparse.Namespace, answer: TextIO) -> None:
    model = _read(parsed.recipe)
    content = export_onnx(
        model.network,
        model.recipe,
        views=model.views,
        name=parsed.recipe,
        packed_px=model.packed_px,
        evaluation=model.evaluation,
        drawn=model.drawn,
    )
    write_bytes(parsed.onnx, content)
    print(f"{show_path(parsed.onnx)}: {len(content) / 1e6:.1f} MB", file=answer, flush=True)


if __name__ == "__main__":
    main()
