"""Small checkouts of the project, and what `dvc repro` makes of them."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import yaml
from conftest import ROOT

from chestxray14.base.params import read_yaml

LONG = os.environ.get("CHESTXRAY14_LONG") == "1"
"""Whether to run the long versions: minutes, more kills, more seeds."""

# The interpreter's folder first, so that `python` in dvc.yaml is this one, and no settings of
# ours. One thread, because several runs share the machine.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("CHESTXRAY14", "DVC", "PYTHON"))
} | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": "src",
    "OMP_NUM_THREADS": "1",
}
BUSY = 255
"""DVC's exit status for every failure."""

RECIPE = "resnet50_frozen"
SPLIT = "patient"
_COPIED = (
    *("src", "data/published", ".dvc/config", ".dvc/plots", "dvc.yaml"),
    *(".dvcignore", ".gitattributes", ".gitignore"),
)


class Twins(NamedTuple):
    """Two finished runs of one project in different surroundings; tests leave them as they are.

    `seconds` is what each stage took of the processor in the first.
    """

    first: Path
    second: Path
    environments: tuple[dict[str, str], dict[str, str]]
    seconds: dict[str, float]


def quick_params() -> dict[str, Any]:
    """Return params.yaml for a tiny cohort, 32 pixels and two epochs of several steps."""
    params: dict[str, Any] = read_yaml(ROOT / "params.yaml")
    params["datasets"]["phantom"] |= {
        "patients": 24,
        "follow_ups": 1.0,
        "image_px": 64,
        "packed_px": 32,
        "limits": {"input_px": 32, "epochs": 2, "weights": "random", "views": None},
    }
    params["compute"]["threads"] = 1
    params["evaluate"]["draws"] = 50
    params["recipes"] = {RECIPE: params["recipes"][RECIPE] | {"batch": 8}}
    params["splits"] = {SPLIT: params["splits"][SPLIT]}
    return params


def make_checkout(folder: Path, params: Mapping[str, object]) -> Path:
    """Make a checkout of the project with these params in a new git repository."""
    for name in _COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg*"))
        else:
            shutil.copy(source, target)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run("git", "init", "-q", cwd=folder)
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    run("git", "add", "-A", cwd=folder)
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    run("git", *author, "commit", "-qm", "State", cwd=folder)


def run(*command: str, cwd: Path, status: int = 0, **environment: str) -> str:
    """Run a command to its end, check its exit status and return all it printed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def start(
    *command: str, cwd: Path, log: Path, environment: Mapping[str, str] = ENVIRONMENT
) -> psutil.Popen:
    """Start a command that prints to the file `log`, in a process group of its own.

    A pipe would stay open as long as a process that outlives the command. It hears SIGINT also
    where tests run in the background, whose processes ignore it.
    """
    with log.open("wb") as output:
        return psutil.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_hear_interrupts,
        )


def _hear_interrupts() -> None:
    """Undo what a shell does to processes that it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def script(name: str) -> tuple[str, ...]:
    """Return the command of a stage as dvc.yaml names it, such as `train@best`."""
    stem, _, key = name.partition("@")
    stem = "evaluate" if stem == "evaluate_external" else stem
    return sys.executable, f"src/stages/{stem}.py", *([key] if key else [])


def polls(process: psutil.Popen) -> Iterator[None]:
    """Yield again and again until the process ends, waiting for that a little each time."""
    while process.poll() is None:
        yield
        with suppress(psutil.TimeoutExpired):
            process.wait(0.002)


def running_stages(dvc: psutil.Popen) -> Iterator[tuple[str, psutil.Process]]:
    """Yield, again and again until DVC ends, the stage it runs and that stage's process."""
    stage: psutil.Process | None = None
    name = ""
    for _ in polls(dvc):
        with suppress(psutil.Error):
            if stage is None or not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE:
                stage = next(filter(_is_stage, dvc.children(recursive=True)), None)
                name = stage.environ()["DVC_STAGE"] if stage else ""
            if stage:
                yield name, stage


def _is_stage(process: psutil.Process) -> bool:
    command = process.cmdline()
    # Not the shell around it, and not the processes it starts.
    return len(command) > 1 and command[1].startswith("src/stages/")


def processor_seconds(process: psutil.Process) -> float:
    """Return what a process took of the processor so far, its finished children left out."""
    times = process.cpu_times()
    return float(times.user + times.system)


def output_paths(project: Path) -> dict[str, list[str]]:
    """Return the outputs of each stage of a finished run, from dvc.lock."""
    stages = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    return {name: [out["path"] for out in stage["outs"]] for name, stage in stages.items()}


def hash_files(project: Path, paths: Sequence[str]) -> dict[str, str]:
    """Return the sha256 of those of `paths` that are there, and of all files in folders."""
    files: list[Path] = []
    for path in paths:
        file = project / path
        files += [*file.rglob("*")] if file.is_dir() else [file]
    return {
        str(file.relative_to(project)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


def copy_run(project: Path, target: Path) -> Path:
    """Copy a finished run; what is never written in place is linked, which saves time."""

    def copy_file(source: str, target: str) -> None:
        if "/.dvc/cache/files/" in source or source.endswith((".safetensors", ".npy", ".png")):
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    shutil.copytree(project, target, copy_function=copy_file)
    return target


def hash_outputs(project: Path, like: Path) -> dict[str, str]:
    """Return the sha256 of everything the run `like` wrote that `project` has."""
    paths = [path for outputs in output_paths(like).values() for path in outputs]
    return hash_files(project, [*paths, "dvc.lock"])


@cache
def finished_twins(base: Path) -> Twins:
    """Run one project in two clones at once below `base`, in surroundings that share nothing.

    The two time zones never have the same date, and no byte of an output may depend on the
    rest: home, user, language, hash seed, file mode.
    """
    first = make_checkout(base / "first", quick_params())
    second = base / "second" / "much" / "deeper" / "a folder, with others"
    second.parent.mkdir(parents=True)
    run("git", "clone", "-q", str(first), str(second), cwd=first)
    differences = (
        {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "1", "USER": "adalovelace"},
        {"TZ": "Pacific/Pago_Pago", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2", "USER": "emmynoether"},
    )  # fmt: skip
    environments, runs = [], []
    for folder, difference, umask in zip(
        (first, second), differences, (0o022, 0o077), strict=True
    ):
        home = base / f"home-of-{difference['USER']}"
        home.mkdir()
        environment = ENVIRONMENT | difference
        environment |= {"HOME": str(home), "LOGNAME": environment["USER"]}
        environments.append(environment)
        command = ("/bin/sh", "-c", f"umask {umask:o}; exec dvc repro")
        runs.append(start(*command, cwd=folder, log=home / "repro.log", environment=environment))
    seconds: dict[str, float] = {}
    for name, process in running_stages(runs[0]):
        with suppress(psutil.Error):
            seconds[name] = processor_seconds(process)
    for each, environment in zip(runs, environments, strict=True):
        assert each.wait() == 0, (Path(environment["HOME"]) / "repro.log").read_text()
    return Twins(first, second, (environments[0], environments[1]), seconds)
