"""Run every stage once, by hand and without DVC, and print where its CPU seconds go.

    python benchmarks/stages.py                       # in a copy of the project, it writes all outputs
    python benchmarks/stages.py --stage predict best  # one of them, where its inputs lie already

A row a stage, added up over recipes and splits. CPU seconds (user and system, of all threads and of the
processes that a stage starts) are the system's count of the finished process. `imports` and `network`
are what the process used inside import statements, and inside networks: forward, backward,
optimizer. `rest` is everything else.
"""

import argparse
import atexit
import builtins
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from chestxray14.base.params import list_names

Seconds = dict[str, float]


def main() -> None:
    """Run the stages, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", nargs="+", metavar="WORD", help="a stage and its recipe alone")
    parser.add_argument("--inside", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        run_inside(*arguments.inside)
        return
    rows: dict[str, list[Seconds]] = defaultdict(list)
    for command in [arguments.stage] if arguments.stage else list_commands():
        rows[command[0]].append(measure(command))
    print_table(rows)


def list_commands() -> list[list[str]]:
    """Return every stage with its argument, each after those whose outputs it reads."""
    recipes, splits = list_names("recipes"), list_names("splits")
    return [
        *([stage] for stage in ("check", "download", "prepare")),
        *(["split", split] for split in splits),
        *([stage, name] for stage in ("train", "predict", "evaluate", "localize") for name in recipes),
        ["fit_metadata"],
        ["compare"],
    ]  # fmt: skip


def measure(command: Sequence[str]) -> Seconds:
    """Run one stage in a process of its own; return its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "seconds.json"
        began = time.monotonic()
        started = subprocess.Popen(
            [sys.executable, __file__, "--inside", str(told), *command], stdout=sys.stderr
        )
        _, status, used = os.wait4(started.pid, 0)
        if status:
            sys.exit(f"{' '.join(command)} failed")
        inside: Seconds = json.loads(told.read_text())
    return {"clock": time.monotonic() - began, "CPU": used.ru_utime + used.ru_stime, **inside}


def run_inside(told: str, stage: str, *names: str) -> None:
    """Run a stage's script in this process, write what imports and networks used."""
    seconds = {"imports": 0.0, "network": 0.0}
    depth = dict.fromkeys(seconds, 0)

    def timed(what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def counted(*args: Any, **kwargs: Any) -> Any:
            # Of calls inside a call only the outermost counts.
            depth[what] += 1
            began = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                depth[what] -= 1
                if not depth[what]:
                    seconds[what] += time.process_time() - began

        return counted

    atexit.register(lambda: Path(told).write_text(json.dumps(seconds)))
    importing = builtins.__import__
    builtins.__import__ = timed("imports", importing)
    if stage in ("train", "predict"):
        import torch

        for owner, name in (
            *((torch.nn.Module, "__call__"), (torch.Tensor, "backward"), (torch.autograd, "grad")),
            *((kind, "step") for kind in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)),
        ):
            setattr(owner, name, timed("network", getattr(owner, name)))
    sys.argv = [f"src/stages/{stage}.py", *names]
    runpy.run_path(sys.argv[0], run_name="__main__")


def print_table(rows: dict[str, list[Seconds]]) -> None:
    """Print a row a stage, and their sum."""
    print("| stage | times | CPU s | imports | network | rest | clock s |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    everything = [seconds for each in rows.values() for seconds in each]
    for stage, each in [*rows.items(), ("all", everything)]:
        whole, imports, network, clock = (
            sum(seconds[key] for seconds in each) for key in ("CPU", "imports", "network", "clock")
        )
        print(
            f"| {stage} | {len(each)} | {whole:.1f} | {imports:.1f} | {network:.1f} | "
            f"{whole - imports - network:.1f} | {clock:.1f} |"
        )


if __name__ == "__main__":
    main()
