"""The drawn panel reads what is drawn, errs as it says, and changes no image."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import load_block
from chestxray14.data.experts import PANEL, PANEL_REFERENCE, read_experts
from chestxray14.phantom import cohort as phantom
from chestxray14.phantom.cohort import draw_cohort, plan_patient
from chestxray14.phantom.panel import SENSITIVITY, SPECIFICITY, read_images
from chestxray14.raw.params import DATASET, Phantom


def cohort(**changes: object) -> Phantom:
    drawn = load_block("datasets.cohort", DATASET, path=ROOT / "params.yaml")
    assert isinstance(drawn, Phantom)
    small = {"patients": 10, "follow_ups": 1.0, "image_px": 64, "seed": 3}
    return Phantom.model_validate(drawn.model_dump() | small | changes)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_nothing_else_depends_on_the_panel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_cohort(cohort(), tmp_path / "with", workers=1)
    monkeypatch.setattr(phantom, "write_panel", lambda *_, **__: np.random.default_rng(0))
    draw_cohort(cohort(), tmp_path / "without", workers=1)
    whole = contents(tmp_path / "with")
    assert contents(tmp_path / "without") == {
        name: digest for name, digest in whole.items() if name not in PANEL
    }


def test_the_panel_reads_what_is_drawn_not_the_labels(tmp_path: Path) -> None:
    drawn = cohort(label_noise=0.4, patients=60)
    studies = [study for i in range(1, 61) for study in plan_patient(drawn, i)]
    shown = np.array([[finding in s.lesions for finding in FINDINGS] for s in studies])
    labelled = np.array([[f in s.label.split("|") for f in FINDINGS] for s in studies])
    phantom.write_panel(
        *(tmp_path, [s.name for s in studies], [s.patient for s in studies], shown), seed=3
    )
    labels, readers = ((name, (tmp_path / name).read_bytes()) for name in PANEL)
    experts = read_experts("panel", [labels], readers)
    seen = experts.labels[list(FINDINGS)].to_numpy() == 1
    assert experts.labels["image"].tolist() == [study.name for study in studies]
    assert (seen == shown).mean() > 0.97 > (labelled == shown).mean()
    others = experts.readers[experts.readers["reference"] == 0]["reader"].unique()
    assert set(others) == {"4", "5"}
    assert set(PANEL_REFERENCE) | set(others) == set(experts.readers["reader"])


def test_readers_err_by_themselves_within_the_ranges() -> None:
    drawn = np.random.default_rng(0).random((20_000, 14)) < 0.3
    readings = read_images(drawn, seed=1)
    for reading in readings:
        sensitivity = [reading[drawn[:, i], i].mean() for i in range(14)]
        specificity = [(~reading)[~drawn[:, i], i].mean() for i in range(14)]
        assert SENSITIVITY[0] - 0.02 < min(sensitivity) < max(sensitivity) < SENSITIVITY[1] + 0.02
        assert SPECIFICITY[0] - 0.01 < min(specificity) < max(specificity) < SPECIFICITY[1] + 0.01
        assert np.ptp(sensitivity) > 0.05
    errors = (readings != drawn)[:, drawn]
    together = np.corrcoef(errors)[np.triu_indices(5, 1)]
    assert np.abs(together).max() < 0.05
    np.testing.assert_array_equal(readings, read_images(drawn, seed=1))
    assert (readings != read_images(drawn, seed=2)).any()
