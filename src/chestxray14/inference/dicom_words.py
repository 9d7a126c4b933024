"""What a DICOM file says of itself: whether it is a frontal radiograph of a chest."""

import re
from collections.abc import Iterator
from typing import Any

from chestxray14.base.errors import InputError

RADIOGRAPHS = ("CR", "DX", "RG", "RF", "OT", "SC", "")
"""Modalities that are taken: computed, digital and film radiography, and those that do not tell."""

_UNTOLD = ("", "UNKNOWN", "UNSPECIFIED", "OTHER", "NONE", "N/A", "NA")
_CHEST = re.compile(r"CHEST|THORAX|THORACIC(?! SPINE)|TORAX|LUNG|CXR")
_ELSEWHERE = re.compile(
    r"\b(SKULL|HEAD|NECK|SPINE|SHOULDER|ARM|ELBOW|WRIST|HAND|FINGER|ABDOMEN|PELVIS|HIP|LEG|KNEE"
    r"|ANKLE|FOOT|TOE|EXTREMITY)\b"
)
_FRONTAL = re.compile(r"\b(AP|PA|FRONTAL|ANTERO-?POSTERIOR|POSTERO-?ANTERIOR)\b")
_LATERAL = re.compile(r"\b([LR]L|LAT|LATERAL|SAGITTAL)\b")
_OBLIQUE = re.compile(r"\b([LR]L[OD]|[LR][AP]O|OBL|OBLIQUE|DECUB|DECUBITUS|AXIAL)\b")
"""Views as DICOM (PS3.3, C.8.7.1.1.2) and free text name them; a decubitus is no upright one."""

_CHEST_CODES = ("51185008", "43799004", "816094009", "T-D3000", "T-D3400")
_FRONTAL_CODES = (
    *("399033003", "399348003", "272479007"),
    *("R-10202", "R-10206", "R-10214", "R-40888"),
)
"""SNOMED's numbers, and its older codes: CID 4010, frontal, antero-posterior, postero-anterior."""

_DESCRIPTIONS = (
    "SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription",
    "StudyDescription",
)  # fmt: skip


def check_words(file: Any, *, name: str) -> None:
    """Raise `InputError` where a data set names another modality, body part or view.

    What is told as code counts as well as what is told in words. Descriptions, which may be of a
    whole study, count where nothing else tells, and say one thing alone.
    """
    if (modality := _read(file, "Modality")) not in RADIOGRAPHS:
        raise InputError(f"{name} has the modality {modality[:16]!r}, expected CR, DX or RG")
    described = [text for key in _DESCRIPTIONS if (text := _read(file, key))]

    parts = [_read(file, "BodyPartExamined"), *_list_codes(file, "AnatomicRegionSequence")]
    told = [part for part in parts if part not in _UNTOLD]
    other = [part for part in told if part not in _CHEST_CODES and not _CHEST.search(part)]
    if not told and not any(map(_CHEST.search, described)):
        other = [text for text in described if _ELSEWHERE.search(text)]
    if other:
        raise InputError(f"{name} says that it shows {other[0][:40]!r}, expected a chest")

    codes = list(_list_codes(file, "ViewCodeSequence"))
    views = [view for view in (_read(file, "ViewPosition"), *codes) if view not in _UNTOLD]
    if not any(view in _FRONTAL_CODES or _FRONTAL.search(view) for view in views):
        views += [text for text in described if not _FRONTAL.search(text)]
    for view in views:
        if _LATERAL.search(view):
            raise InputError(f"{name} is a lateral view ({view[:40]}), expected a frontal one")
        if _OBLIQUE.search(view) or (
            view in codes and view not in _FRONTAL_CODES and not _FRONTAL.search(view)
        ):
            raise InputError(f"{name} is no frontal view ({view[:40]}), expected AP or PA")

    sides = [str(side).upper()[:1] for side in file.get("PatientOrientation") or ()]
    if len(sides) == 2 and (sides[0] not in ("L", "R") or sides[1] != "F"):
        found = "\\".join(sides)
        raise InputError(f"{name} has the patient orientation {found}, expected L\\F, frontal")


def _read(file: Any, key: str) -> str:
    value = file.get(key)
    return " ".join(re.sub(r"[_,;/()^]", " ", str(value or "")).upper().split())


def _list_codes(file: Any, key: str) -> Iterator[str]:
    """Yield what each item of a sequence means: a code that is known, or else its words."""
    for item in file.get(key) or ():
        code = _read(item, "CodeValue")
        known = code in (*_CHEST_CODES, *_FRONTAL_CODES)
        yield code if known else _read(item, "CodeMeaning") or code
