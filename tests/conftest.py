"""Small stand-ins that several test files share."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from chestxray14.base.findings import FINDINGS
from chestxray14.files.packed import INDEX_COLUMNS

# A busy machine is no fault of the code; and everybody tries the same examples.
settings.register_profile("everywhere", deadline=None, derandomize=True)
settings.load_profile("everywhere")

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def nih_sample() -> Path:
    """Return the folder of 147 real radiographs in the Kaggle layout."""
    folder = SHARED / "nih-sample"
    if not folder.is_dir():
        pytest.skip("the real sample (../shared/nih-sample) is not here")
    return folder


@pytest.fixture(scope="session")
def nih_metadata() -> dict[str, bytes]:
    """Return the full real label and list files by name."""
    folder = SHARED / "nih-metadata"
    if not folder.is_dir():
        pytest.skip("the full real label files (../shared/nih-metadata) are not here")
    return {file.stem: gzip.decompress(file.read_bytes()) for file in folder.glob("*.gz")}


@pytest.fixture(scope="session")
def experts_folder() -> Path:
    """Return the folder of the real, gzipped files of radiologists' readings."""
    folder = SHARED / "experts"
    if not folder.is_dir():
        pytest.skip("the real expert files (../shared/experts) are not here")
    return folder


def make_index(patients: int, *, studies: int = 3, seed: int = 0) -> pd.DataFrame:
    """Return the index of a made-up dataset, `studies` images for each patient."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "image": f"{patient:08d}_{study:03d}.png",
            "patient": patient,
            "follow_up": study,
            "age": 50.0,
            "sex": "F",
            "view": "PA",
            **dict(zip(FINDINGS, rng.integers(0, 2, len(FINDINGS)).tolist(), strict=True)),
        }
        for patient in range(1, patients + 1)
        for study in range(studies)
    ]
    return pd.DataFrame(rows).assign(row=range(len(rows)), crc32=0)[[*INDEX_COLUMNS, *FINDINGS]]
