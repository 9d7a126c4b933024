"""The 14 findings of ChestX-ray14, in the order of Wang et al. 2017."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chestxray14.base.errors import InputError

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)

BOXED_FINDINGS = FINDINGS[:8]
"""The findings radiologists drew boxes for (`BBox_List_2017.csv`)."""

NO_FINDING = "No Finding"


def spell_finding(name: str) -> str:
    """Return a finding, or `No Finding`, in its one spelling; what is neither as it is.

    Case, blanks and underscores do not matter, and `Infiltrate` is NIH's other name of Infiltration.
    """
    return _SPELLINGS.get(_letters(name), name)


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


_SPELLINGS = {_letters(name): name for name in (*FINDINGS, NO_FINDING)} | {
    "infiltrate": "Infiltration"
}


def parse_label(label: str) -> NDArray[np.uint8]:
    """Return the 14 zeros and ones of a label such as `"Mass|Nodule"`, spelt as `spell_finding` reads.

    Raises `InputError` for a name that is not a finding, and for `No Finding` beside one.
    """
    vector = np.zeros(len(FINDINGS), dtype=np.uint8)
    names = [spell_finding(name) for name in label.split("|")]
    if names == [NO_FINDING]:
        return vector
    for name in names:
        if name not in FINDINGS:
            raise InputError(
                f"unknown finding {name!r} in label {label!r}, expected one of "
                f"{', '.join(FINDINGS)}, or {NO_FINDING!r} alone"
            )
        vector[FINDINGS.index(name)] = 1
    return vector


def format_label(vector: Sequence[int] | NDArray[np.uint8]) -> str:
    """Return the label string of 14 zeros and ones, findings in alphabetical order.

    The inverse of `parse_label`, in the spelling of `Data_Entry_2017.csv`.
    """
    names = sorted(name for name, present in zip(FINDINGS, vector, strict=True) if present)
    return "|".join(names) if names else NO_FINDING
