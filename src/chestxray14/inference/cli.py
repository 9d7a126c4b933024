"""Ask a trained model about radiographs of yours, or take it elsewhere.

    python -m chestxray14 predict chest.png --recipe best
    python -m chestxray14 predict chest.dcm folder/ --recipe best --heatmap all --json > answers.json
    python -m chestxray14 export --recipe best --onnx best.onnx

Run it in the root of the project, after `dvc repro`. Research software, not for diagnosis.
"""

import argparse
import json
import logging
import sys
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TextIO

from chestxray14.base.errors import InputError
from chestxray14.base.notices import NOTICE
from chestxray14.base.progress import track
from chestxray14.base.stage import run
from chestxray14.files.outputs import write_bytes
from chestxray14.inference.asking import Told, ask, read
from chestxray14.inference.onnx_export import export_onnx
from chestxray14.inference.radiographs import list_radiographs, show_path
from chestxray14.inference.single_image import DRAWN_NOTICE, as_record, tabulate_answers

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
        "and the exit status is then 1. What does not look like the images of the training is "
        "answered, with a warning.",
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

    for command in (one, file):
        command.add_argument(
            "--recipe", metavar="NAME", required=True, help="a model of models/, say best"
        )
    return parser.parse_args(arguments)


def _predict(parsed: argparse.Namespace, answer: TextIO) -> None:
    model = read(parsed.recipe)
    mapped = _choose_findings(parsed.heatmap, model.recipe.findings)
    files, others = list_radiographs(parsed.images)
    if others:
        log.info("%s other files in the folders are passed over", f"{others:,}")
    if not files:
        raise InputError(f"no PNG, JPEG or DICOM file in {show_path(parsed.images[0])}")
    told = ask(model, files, mapped=mapped, output=parsed.output)
    if not answer.isatty():  # where answers are watched as they come, they are the progress
        told = track(told, what="predict", unit="images", total=len(files))
    notice = f"{NOTICE} {DRAWN_NOTICE}" if model.drawn else NOTICE
    if parsed.json:
        header = {"notice": notice, "recipe": parsed.recipe, "views": model.shown.views}
        good = _print_document(told, header, answer)
    else:
        print(notice, file=answer)
        good = _print_tables(told, answer)
    if mapped and good:
        log.info("%s: %s heatmaps", show_path(parsed.output), f"{good * len(mapped):,}")
    if good < len(files):
        sys.exit(1)


def _print_tables(told: Iterable[Told], answer: TextIO) -> int:
    """Print a table an image, as they come; return how many there are."""
    good, calibrated = 0, True
    for each in told:
        _complain(each)
        if each.reason:
            continue
        good += 1
        calibrated = calibrated and all(one.is_calibrated for one in each.answers)
        print(f"\n{show_path(each.file)}\n{tabulate_answers(each.answers)}", file=answer)
    if not calibrated:
        print("\n* not calibrated: the raw probability", file=answer)
    answer.flush()
    return good


def _print_document(told: Iterable[Told], header: dict[str, str], answer: TextIO) -> int:
    """Print one JSON document, an image as it comes; return how many there are."""
    good, failed = 0, []
    print(json.dumps(header, indent=2)[:-2] + ',\n  "images": [', end="", file=answer)
    for each in told:
        _complain(each)
        if each.reason:
            failed.append({"image": str(each.file), "reason": each.reason})
            continue
        entry = {
            "image": str(each.file),
            "doubt": each.doubt or None,
            "findings": as_record(each.answers),
            "heatmaps": each.heatmaps,
        }
        print(",\n" if good else "\n", _indent(entry, by=4), sep="", end="", file=answer)
        good += 1
    end = "\n  ]" if good else "]"
    print(f'{end},\n  "failed": {_indent(failed, by=2).lstrip()}\n}}', file=answer, flush=True)
    return good


def _indent(value: object, *, by: int) -> str:
    return textwrap.indent(json.dumps(value, indent=2, allow_nan=False), " " * by)


def _complain(told: Told) -> None:
    if told.reason:
        print(f"error: {told.reason}", file=sys.stderr)
    elif told.doubt:
        print(f"warning: {told.doubt}", file=sys.stderr)


def _choose_findings(asked: str | None, findings: tuple[str, ...]) -> tuple[str, ...]:
    if asked is None or asked == "all":
        return findings if asked else ()
    if asked not in findings:
        raise InputError(f"--heatmap: found {asked!r}, expected all or one of {list(findings)}")
    return (asked,)


def _export(parsed: argparse.Namespace, answer: TextIO) -> None:
    model = read(parsed.recipe)
    content = export_onnx(
        model.network,
        model.recipe,
        views=model.shown.views,
        name=parsed.recipe,
        packed_px=model.packed_px,
        evaluation=model.evaluation,
        drawn=model.drawn,
    )
    write_bytes(parsed.onnx, content)
    print(f"{show_path(parsed.onnx)}: {len(content) / 1e6:.1f} MB", file=answer, flush=True)


if __name__ == "__main__":
    main()
