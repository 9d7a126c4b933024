import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

NUMBER = r"([\d,.]+)"


def run(script: str, *arguments: str, output: Path) -> tuple[str, dict]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}.py", *arguments, "--output", str(output)],
        cwd=ROOT,
        env=environment | {"TMPDIR": str(output.parent)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert not done.returncode, done.stderr
    return done.stdout, json.loads(output.read_text())


def test_throughput_prints_three_rates_of_each_kind_and_the_ratios_between_them(
    tmp_path: Path,
) -> None:
    small = "--px 32 --packed-px 64 --png-px 64 --batch 2 --steps 1 --rounds 3 --threads 1"
    printed, written = run(
        *("throughput", "--device", "cpu", *small.split()), output=tmp_path / "rates.json"
    )
    tables = re.findall(
        rf"^(\S.*?)  +images/s.*\n\(a\) bare +{NUMBER}.*\n\(b\) ours +{NUMBER}.*\n"
        rf"\(c\) PNG files +{NUMBER}.*\nb/a +{NUMBER} \(target 0.95.*\nb/c +{NUMBER} \(target 2:",
        printed,
        flags=re.MULTILINE,
    )
    kinds = ["training", "prediction", "prediction, ten crops"]
    assert [what for what, *_ in tables] == kinds == list(written["images_per_second"])
    for what, *numbers in tables:
        bare, ours, files, of_bare, of_files = map(float, numbers)
        # Rates are printed with two digits.
        assert of_bare == pytest.approx(ours / bare, rel=0.02)
        assert of_files == pytest.approx(ours / files, rel=0.02)
        rounds = written["images_per_second"][what]
        assert [len(rates) for rates in rounds.values()] == [3, 3, 3]
        assert ours == pytest.approx(median(rounds["(b) ours"]), abs=0.01)
    assert 0 < written["flop_per_image"]["prediction"] * 2 < written["flop_per_image"]["training"]


def test_packing_is_held_against_one_core_times_the_number_of_cores(tmp_path: Path) -> None:
    small = "--png-px 64 --packed-px 32 --images 40 20 --workers 2 --seconds 0.2 --rounds 2"
    printed, written = run("prepare", *small.split(), output=tmp_path / "prepare.json")
    single = written["one_core"]
    assert f"one core {median(single):.1f} images/s" in printed
    expected = defaultdict(list)
    for before, after, row in zip(single, single[1:], written["packed"], strict=False):
        assert row["share"] == pytest.approx(row["rate"] / (before + after))
        expected[row["source"], row["images"]].append(row["share"])
    rows = re.findall(rf"^(folder|zip) +(\d+) +{NUMBER} +{NUMBER} ", printed, flags=re.MULTILINE)
    shares = {(kind, int(images)): float(share) for kind, images, _, share in rows}
    assert shares == {
        (kind, images): pytest.approx(median(expected[kind, images]), abs=0.001)
        for kind in ("folder", "zip")
        for images in (20, 40)
    }
    assert printed.count("of the cores, target") == 2


def test_the_whole_run_is_extrapolated_from_what_its_fraction_took(tmp_path: Path) -> None:
    small = "--px 32 --packed-px 64 --batch 4 --fraction 0.0005 --threads 1"
    printed, written = run(
        *("end_to_end", "--device", "cpu", *small.split()), output=tmp_path / "end.json"
    )
    assert "ran 56 of 112,120 images (0.0005)" in printed
    seconds = {phase["name"]: phase["seconds"] for phase in written["phases"]}
    an_epoch = seconds["training, one epoch"] + seconds["validation, one epoch"]
    scaled = 10 * an_epoch + seconds["prediction, ten crops"] + seconds["evaluation"]
    scaled += seconds["images to the device"]
    hours = (seconds["warm-up, compilation"] + scaled * 112_120 / 56) / 3600
    assert written["hours_extrapolated"] == pytest.approx(hours)
    assert f"all: {hours:.2f} h, EXTRAPOLATED" in printed
    assert 0 < written["memory"]["host_resident_gb"] < 24


def test_without_a_fraction_time_says_how_much_is_run(tmp_path: Path) -> None:
    small = "--px 32 --packed-px 32 --batch 4 --minutes 0.001 --threads 1"
    printed, written = run(
        *("end_to_end", "--device", "cpu", *small.split()), output=tmp_path / "end.json"
    )
    assert "of the images is run, for 0.001 minutes" in printed
    # Never fewer than a few batches.
    assert written["images"] == 16
