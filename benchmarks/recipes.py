"""Train every recipe with one seed, note what it reaches; print the tables of docs/results.md.

    python benchmarks/recipes.py --seed 0     # an experiment `recipes-0`, and benchmarks/recipes/0.json
    python benchmarks/recipes.py              # the tables over all seeds noted

The experiment runs in a temporary copy of the last commit, beside which nothing may be changed: all
recipes of params.yaml with the same number of epochs at most, and two more, `leaky`
(densenet121_step split by image) and `weighted` (best with weighted loss).
"""

import argparse
import io
import json
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import dvc.api
import pandas as pd
import torch
from sklearn.metrics import brier_score_loss

from chestxray14.base.findings import FINDINGS
from chestxray14.base.params import load_block, read_yaml

NOTES = Path(__file__).parent / "recipes"
EPOCHS = 10
BEST, LEAKY, WEIGHTED = "best", "leaky", "weighted"
PATIENT = "densenet121_step"
"""The recipe that `leaky` repeats on the leaky split."""

Run = dict[str, Any]
"""What one recipe reached with one seed."""


def main() -> None:
    """Run one seed, or print what all have reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int)
    seed = parser.parse_args().seed
    if seed is None:
        print(write_tables())
        return
    seconds = run(seed)
    notes = {"hardware": describe_hardware(), "epochs": EPOCHS, "recipes": note(seed, seconds)}
    NOTES.mkdir(exist_ok=True)
    (NOTES / f"{seed}.json").write_text(json.dumps(notes, indent=1) + "\n")


def run(seed: int) -> dict[str, float]:
    """Run the experiment of a seed; return the seconds each recipe trained for."""
    changed = subprocess.check_output(["git", "status", "--porcelain"], text=True)
    if changed:
        raise SystemExit(f"error: commit first, what runs is to be what is recorded:\n{changed}")
    recipes = read_yaml(Path("params.yaml"))["recipes"]
    settings = ["dataset=cohort", f"datasets.cohort.limits.epochs={EPOCHS}"]
    for name, recipe in recipes.items():
        recipe |= {"seed": seed, "epochs": EPOCHS if recipe["epochs"] else 0}
        settings += [f"recipes.{name}.{key}={recipe[key]}" for key in ("seed", "epochs")]
    more = {
        LEAKY: recipes[PATIENT] | {"split": "image"},
        WEIGHTED: recipes[BEST] | {"loss": {"name": "weighted_bce"}},
    }
    settings += [f"+recipes.{name}={as_override(recipe)}" for name, recipe in more.items()]
    command = ["dvc", "exp", "run", "--temp", "-n", f"recipes-{seed}"]
    command += [part for setting in settings for part in ("-S", setting)]
    seconds: dict[str, float] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name, began = "", 0.0
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := re.match(r"Running stage '(\w+)@?([\w-]*)'", line):
                if name:
                    seconds[name] = round(time.perf_counter() - began, 1)
                name, began = found[2] if found[1] == "train" else "", time.perf_counter()
    if process.returncode:
        raise SystemExit(process.returncode)
    return seconds


def as_override(value: object) -> str:
    """Return a value as `dvc exp run -S` takes it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{as_override(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(as_override, value)) + "]"
    return "null" if value is None else str(value)


def note(seed: int, seconds: dict[str, float]) -> dict[str, Run]:
    """Return what an experiment reached: AUROC, calibration and seconds of each recipe."""
    rev = f"recipes-{seed}"

    def table(path: str) -> pd.DataFrame:
        return pd.read_csv(io.StringIO(dvc.api.read(path, rev=rev)))

    labels = table("data/packed/cohort/index.csv").set_index("image")
    notes = {}
    for name in dvc.api.params_show("params.yaml", rev=rev)["recipes"]:
        scores = json.loads(dvc.api.read(f"metrics/{name}/test.json", rev=rev))
        trained = json.loads(dvc.api.read(f"metrics/{name}/train.json", rev=rev))
        predictions = table(f"predictions/{name}/test.csv").set_index("Image Index")
        truth = labels.loc[predictions.index, predictions.columns]
        notes[name] = {
            "auroc": scores["auroc"],
            "images": scores["images"],
            "seconds": seconds.get(name, 0.0),
            "best_epoch": trained["best_epoch"],
            "epochs_run": trained["epochs_run"],
            "brier": round(mean(brier_score_loss(truth[f], predictions[f]) for f in truth), 5),
            "probability": round(float(predictions.to_numpy().mean()), 5),
            "prevalence": round(float(truth.to_numpy().mean()), 5),
        }
    return notes


def describe_hardware() -> str:
    """Return what a time was measured with."""
    model = platform.processor() or platform.machine()
    if (cpu := Path("/proc/cpuinfo")).exists():
        model = re.findall(r"model name\s*: (.+)", cpu.read_text())[0]
    if torch.cuda.is_available():
        model = torch.cuda.get_device_name()
    threads = load_block("compute.threads", int)
    return f"{model}, {threads} threads, torch {torch.__version__.split('+')[0]}"


def write_tables() -> str:
    """Return the tables over all noted seeds, in Markdown."""
    seeds = [json.loads(path.read_text()) for path in sorted(NOTES.glob("*.json"))]
    runs = {name: [seed["recipes"][name] for seed in seeds] for name in seeds[0]["recipes"]}
    hardware = sorted({seed["hardware"] for seed in seeds})
    return "\n\n".join(
        [
            f"{len(seeds)} seeds, {'; '.join(hardware)}.",
            _compare_recipes(runs),
            _compare_splits(runs[PATIENT], runs[LEAKY]),
            _compare_losses(runs[BEST], runs[WEIGHTED]),
        ]
    )


def _compare_recipes(runs: dict[str, list[Run]]) -> str:
    rows = []
    for name, ours in runs.items():
        if name in (LEAKY, WEIGHTED):
            continue
        findings = [finding for finding in FINDINGS if finding in ours[0]["auroc"]]
        bests = [mean(run["auroc"][finding] for finding in findings) for run in runs[BEST]]
        behind = [best - run["auroc"]["macro"] for best, run in zip(bests, ours, strict=True)]
        row = (
            f"`{name}`",
            str(len(findings)),
            _spread([run["auroc"]["macro"] for run in ours]),
            "" if name == BEST else _spread(bests),
            "" if name == BEST else _spread(behind),
            f"{mean(run['best_epoch'] for run in ours):.1f}",
            f"{mean(run['seconds'] for run in ours) / 60:.1f}",
        )
        rows.append((mean(behind), row))
    headings = ("recipe", "findings", "macro AUROC", "`best` on these findings", "behind it by")
    return _table([*headings, "epoch kept", "minutes to train"], [row for _, row in sorted(rows)])


def _compare_splits(patient: list[Run], leaky: list[Run]) -> str:
    rows = [
        (label, _spread([run["auroc"]["macro"] for run in runs]))
        for label, runs in (("`patient`", patient), ("`image` (LEAKY)", leaky))
    ]
    return _table([f"split of `{PATIENT}`", "macro AUROC"], rows)


def _compare_losses(plain: list[Run], weighted: list[Run]) -> str:
    rows = [
        (
            label,
            _spread([run["auroc"]["macro"] for run in runs]),
            _spread([run["brier"] for run in runs]),
            _spread([run["probability"] for run in runs]),
            f"{runs[0]['prevalence']:.4f}",
        )
        for label, runs in (("plain", plain), ("class-weighted", weighted))
    ]
    headings = ("macro AUROC", "Brier score", "mean probability", "prevalence")
    return _table([f"BCE in `{BEST}`", *headings], rows)


def _spread(values: Sequence[float]) -> str:
    """Return mean, lowest and highest."""
    return f"{mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
