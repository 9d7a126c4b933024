"""A cohort of drawn chest radiographs in the layout of NIH ChestX-ray14.

It shows that the machinery works, without an account or a network. Nothing about it is medical.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chestxray14.base.errors import InputError
from chestxray14.base.findings import BOXED_FINDINGS, FINDINGS, format_label
from chestxray14.base.locks import hold
from chestxray14.base.progress import track
from chestxray14.phantom.body import draw_body
from chestxray14.phantom.film import draw_pose
from chestxray14.phantom.lesions import Box, draw_study
from chestxray14.phantom.sites import Lesion, draw_site
from chestxray14.phantom.workers import map_patients
from chestxray14.raw.params import Phantom

NOTICE = (
    "These images are drawn by a program from random numbers: they show no patient and have no "
    "medical meaning."
)
RECORD = "PHANTOM.json"

_FIRST_FOLDER, _OTHER_FOLDERS = 4_999, 10_000
"""Most images in `images_001` and in the others, as NIH has them."""

_RGBA_SHARE = 0.005
_TEST_SHARE = 0.2

_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
_BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"

_DETECTORS = {
    "PA": ((2992, 2991, 0.143), (2500, 2048, 0.168), (2048, 2500, 0.168), (2021, 2021, 0.194311)),
    "AP": ((2500, 2048, 0.168), (3056, 2544, 0.139), (2500, 2048, 0.171)),
}
"""Width, height and spacing (mm) of the commonest originals."""

# For each finding: how much of it stays from study to study (correlation of the hidden severity),
# and how strongly it hangs on what it shares with others.
_HABITS: dict[str, tuple[float, dict[str, float]]] = {
    "Atelectasis": (0.75, {"failure": 0.3, "infection": 0.3}),
    "Cardiomegaly": (0.97, {"failure": 0.6}),
    "Effusion": (0.8, {"failure": 0.5, "infection": 0.35, "tumour": 0.2}),
    "Infiltration": (0.7, {"infection": 0.5}),
    "Mass": (0.96, {"tumour": 0.5}),
    "Nodule": (0.96, {"tumour": 0.5}),
    "Pneumonia": (0.65, {"infection": 0.6}),
    "Pneumothorax": (0.75, {"chronic": 0.25}),
    "Consolidation": (0.7, {"infection": 0.55}),
    "Edema": (0.7, {"failure": 0.65}),
    "Emphysema": (0.98, {"chronic": 0.5}),
    "Fibrosis": (0.98, {"chronic": 0.4}),
    "Pleural_Thickening": (0.97, {"chronic": 0.4}),
    "Hernia": (0.99, {}),
}
_FACTORS = ("failure", "infection", "tumour", "chronic")
_FACTOR_STAYS = 0.85
_ACUTE = ("Atelectasis", "Effusion", "Pneumonia", "Pneumothorax", "Consolidation", "Edema")


@dataclass(frozen=True)
class Study:
    """One image of the cohort: its row of the label file, and what is drawn on it."""

    name: str
    patient: int
    follow_up: int
    age: int
    sex: str
    view: str
    original: tuple[int, int, float]
    label: str
    lesions: dict[str, Lesion]
    seed: int


def draw_cohort(cohort: Phantom, folder: Path, *, workers: int) -> None:
    """Write the cohort to `folder` as the Kaggle zip of ChestX-ray14 has it, once.

    Writes the PNGs (`images_001/images/` and so on), `Data_Entry_2017.csv`,
    `BBox_List_2017.csv` (boxes in 1024-pixel coordinates), `train_val_list.txt`, `test_list.txt`
    and `PHANTOM.json`, which says from what it was drawn. Returns at once where `folder` already
    holds this cohort. `folder` appears whole or not at all; `workers` processes draw, and their
    number does not change a byte. Another process that wants the same folder waits.

    Raises `InputError` where `folder` holds something that was not drawn.
    """
    record = describe_cohort(cohort)
    if _is_done(folder, record):  # without a lock, which a read-only place does not take
        return
    with hold(folder.with_name(f"{folder.name}.lock"), doing=f"drawing {folder}", wait=True):
        if folder.exists() and not (folder / RECORD).exists():
            raise InputError(f"{folder} holds no drawn cohort (no {RECORD}); move it away")
        if not _is_done(folder, record):
            _draw(cohort, folder, record=record, workers=workers)


def _draw(cohort: Phantom, folder: Path, *, record: Mapping[str, object], workers: int) -> None:
    patients = [plan_patient(cohort, patient) for patient in range(1, cohort.patients + 1)]
    studies = [study for patient in patients for study in patient]
    rng = np.random.default_rng(cohort.seed)
    tested = rng.permutation(cohort.patients)[: max(1, round(_TEST_SHARE * cohort.patients))] + 1
    few = min(len(studies), max(2, round(_RGBA_SHARE * len(studies))))
    coloured = frozenset(studies[i].name for i in rng.choice(len(studies), few, replace=False))

    partial_folder = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial_folder, ignore_errors=True)
    paths = _paths(studies, partial_folder)
    for parent in sorted({path.parent for path in paths.values()}):
        parent.mkdir(parents=True)
    draw = partial(
        _draw_patient, seed=cohort.seed, px=cohort.image_px, paths=paths, coloured=coloured
    )
    boxes: dict[str, dict[str, Box]] = {}
    for drawn in track(
        map_patients(draw, patients, workers=workers),
        what="phantom", unit="patients", total=len(patients),
    ):  # fmt: skip
        boxes.update(drawn)

    in_test = set(tested.tolist())
    _write_labels(partial_folder / "Data_Entry_2017.csv", studies)
    tests = [study for study in studies if study.patient in in_test]
    # Unlike NIH's, which lie in its test list alone: whatever the split, its test part has some.
    _write_boxes(partial_folder / "BBox_List_2017.csv", studies, boxes)
    others = [study for study in studies if study.patient not in in_test]
    for name, part in (("train_val_list.txt", others), ("test_list.txt", tests)):
        (partial_folder / name).write_text("\n".join(study.name for study in part))
    (partial_folder / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial_folder.rename(folder)


def plan_patient(cohort: Phantom, patient: int) -> list[Study]:
    """Return a patient's studies: their rows, and which findings are drawn how strongly.

    Whether a finding is present follows a Gaussian copula: a hidden severity, partly the
    patient's and partly the study's, partly shared with related findings, exceeds the quantile
    that makes `prevalence` the expected share of images, whatever the correlations.
    """
    rng = np.random.default_rng([cohort.seed, patient])
    count = min(int(rng.geometric(1 / (1 + cohort.follow_ups))), 1000)
    child = rng.random() < 0.04
    age = int(rng.integers(3, 16)) if child else int(np.clip(rng.normal(50, 17), 16, 94))
    sex = "F" if rng.random() < 0.44 else "M"
    sites = {finding: draw_site(rng) for finding in FINDINGS}
    misread = rng.random((2, len(FINDINGS)))
    severities = _severities(rng, count)
    studies = []
    for follow_up in range(count):
        lesions, label = {}, []
        for i, finding in enumerate(FINDINGS):
            share = cohort.prevalence[finding]
            # 0 to 1 and even among images that show the finding.
            strength = 1 - (1 - NormalDist().cdf(severities[follow_up, i])) / share
            if strength > 0:
                strength = cohort.faintest + (1 - cohort.faintest) * strength
                lesions[finding] = Lesion(sites[finding], strength)
                label.append(int(misread[0, i] >= cohort.label_noise))
            else:
                label.append(int(misread[1, i] < cohort.label_noise * share / (1 - share)))
        ill = sum(0.4 + lesions[f].strength for f in _ACUTE if f in lesions)
        view = "AP" if rng.random() < 1 / (1 + math.exp(1.0 - 1.1 * ill)) else "PA"
        detectors = _DETECTORS[view]
        studies.append(
            Study(
                name=f"{patient:08d}_{follow_up:03d}.png",
                patient=patient,
                follow_up=follow_up,
                age=age + follow_up // 4,
                sex=sex,
                view=view,
                original=detectors[int(rng.integers(len(detectors)))],
                label=format_label(label),
                lesions=lesions,
                seed=int(rng.integers(2**31)),
            )
        )
    return studies


def _severities(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return (studies, 14) standard normal draws, correlated as `_HABITS` says."""
    shared = _lasting(rng, count, np.full(len(_FACTORS), _FACTOR_STAYS))
    own = _lasting(rng, count, np.array([_HABITS[finding][0] for finding in FINDINGS]))
    loads = np.array([[_HABITS[f][1].get(factor, 0.0) for f in FINDINGS] for factor in _FACTORS])
    severities: NDArray[np.float64] = shared @ loads + own * np.sqrt(1 - (loads**2).sum(axis=0))
    return severities


def _lasting(
    rng: np.random.Generator, count: int, stays: NDArray[np.float64]
) -> NDArray[np.float64]:
    patient, study = rng.standard_normal(len(stays)), rng.standard_normal((count, len(stays)))
    mixed: NDArray[np.float64] = np.sqrt(stays) * patient + np.sqrt(1 - stays) * study
    return mixed


def _draw_patient(
    studies: list[Study],
    *,
    seed: int,
    px: int,
    paths: Mapping[str, Path],
    coloured: AbstractSet[str],
) -> dict[str, dict[str, Box]]:
    """Write one patient's images; return the boxes of each."""
    first = studies[0]
    rng = np.random.default_rng([seed, first.patient, 1])
    body = draw_body(rng, age=first.age, sex=first.sex)
    boxes = {}
    for study in studies:
        pose = draw_pose(rng, portable=study.view == "AP")
        grey, boxes[study.name] = draw_study(body, pose, study.lesions, px)
        picture = Image.fromarray(grey)
        if study.name in coloured:
            picture = picture.convert("RGBA")
        picture.save(paths[study.name], compress_level=1)
    return boxes


def _paths(studies: Sequence[Study], folder: Path) -> dict[str, Path]:
    first = min(_FIRST_FOLDER, -(-len(studies) // 2))
    paths = {}
    for i, study in enumerate(studies):
        number = 1 if i < first else 2 + (i - first) // _OTHER_FOLDERS
        paths[study.name] = folder / f"images_{number:03d}" / "images" / study.name
    return paths


def _write_labels(path: Path, studies: Sequence[Study]) -> None:
    lines = [_HEADER]
    for s in studies:
        width, height, spacing = s.original
        lines.append(
            f"{s.name},{s.label},{s.follow_up:03d},{s.patient:08d},{s.age:03d}Y,{s.sex},{s.view},"
            f"{width},{height},{spacing},{spacing}"
        )
    path.write_text("".join(f"{line}\r\n" for line in lines), newline="")


def _write_boxes(
    path: Path, studies: Sequence[Study], boxes: Mapping[str, Mapping[str, Box]]
) -> None:
    """Write the boxes of findings that are drawn and labelled, in NIH's spelling."""
    lines = [_BOX_HEADER]
    for finding in BOXED_FINDINGS:
        spelling = "Infiltrate" if finding == "Infiltration" else finding
        for study in studies:
            if finding in study.lesions and finding in study.label.split("|"):
                numbers = ",".join(str(round(value, 3)) for value in boxes[study.name][finding])
                lines.append(f"{study.name},{spelling},{numbers}")
    path.write_text("".join(f"{line}\n" for line in lines), newline="")


def describe_cohort(cohort: Phantom) -> dict[str, object]:
    """Return what decides every byte of a drawn cohort: its parameters and this room's code."""
    room = sorted(Path(__file__).parent.glob("*.py"))
    sources = b"".join(file.read_bytes() for file in room)
    return {
        "notice": NOTICE,
        "cohort": cohort.drawing,
        "sources_sha256": hashlib.sha256(sources).hexdigest(),
    }


def _is_done(folder: Path, record: Mapping[str, object]) -> bool:
    try:
        found = json.loads((folder / RECORD).read_text())
        listed = (folder / "Data_Entry_2017.csv").read_text().count("\n") - 1
    except (OSError, ValueError):
        return False
    return bool(found == record and listed == sum(1 for _ in folder.glob("images_*/images/*.png")))
