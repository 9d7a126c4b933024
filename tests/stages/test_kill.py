"""Kills, signals and second runs: the same command goes on, and the end is the same bytes."""

import os
import random
import runpy
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from PIL import Image
from projects import (
    BUSY,
    ENVIRONMENT,
    LONG,
    RECIPE,
    SPLIT,
    Twins,
    commit,
    copy_run,
    finished_twins,
    hash_files,
    hash_outputs,
    make_checkout,
    output_paths,
    polls,
    processor_seconds,
    quick_params,
    run,
    running_stages,
    script,
    start,
)

import chestxray14
from chestxray14.base.params import read_yaml
from chestxray14.training import checkpoint

pytestmark = pytest.mark.slow

SEEDS = (0, 1, 2) if LONG else (0,)
SOON = 30.0
"""Seconds in which a process that is to end must end, on a busy machine."""

long_version = pytest.mark.skipif(not LONG, reason="takes minutes; set CHESTXRAY14_LONG=1")


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    return finished_twins(tmp_path_factory.getbasetemp() / "twins")


@pytest.fixture
def copy(twins: Twins, tmp_path: Path) -> Path:
    """Return a finished run of one's own."""
    return copy_run(twins.first, tmp_path / "copy")


def forget(project: Path, stage: str) -> None:
    """Delete what a stage wrote, also from where DVC would bring it back."""
    cache = project / ".dvc/cache"
    shutil.rmtree(cache / "runs", ignore_errors=True)
    for out in yaml.safe_load((project / "dvc.lock").read_text())["stages"][stage]["outs"]:
        path, md5 = project / out["path"], out["md5"]
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        (cache / "files/md5" / md5[:2] / md5[2:]).unlink(missing_ok=True)


def end(process: psutil.Process, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process; check that it and all that it started end soon."""
    family = [process, *process.children(recursive=True)]
    process.send_signal(number)
    _, alive = psutil.wait_procs(family, timeout=SOON)
    for left in alive:
        left.kill()
    assert not alive


# Kills. What is written is compared with an undisturbed run after each of them.

Moment = Callable[[psutil.Process], bool]
"""Says of a stage's process whether it is to be killed now."""


def repro(project: Path, *stages: str) -> psutil.Popen:
    """Start the pipeline up to some stages, or all of it; it prints to `repro.log`."""
    return start("dvc", "repro", *stages, cwd=project, log=project.parent / "repro.log")


def kill_stage(project: Path, stage: str, moment: Moment) -> bool:
    """Run the pipeline and kill `stage` at its moment; say whether it came to that."""
    dvc = repro(project, stage)
    for name, process in running_stages(dvc):
        with suppress(psutil.NoSuchProcess):
            if name == stage and moment(process):
                end(process)
                break
    killed = bool(dvc.wait() != 0)
    told = (project.parent / "repro.log").read_text()
    assert killed == (f"failed to reproduce '{stage}'" in told), told
    return killed


def draw_moment(rng: random.Random, stage: str, *, project: Path, twins: Twins) -> Moment:
    """Return a moment in a stage's life: after some work, or once one of its outputs is there."""
    if rng.random() < 0.5:
        # What it took beside another run, so that a part of it is surely reached.
        work = rng.uniform(0, 0.7 * twins.seconds[stage])
        return lambda process: processor_seconds(process) >= work
    path = project / rng.choice(output_paths(twins.first)[stage])
    return lambda process: path.exists()


def check_whole(project: Path, twins: Twins) -> None:
    """Check that each output that is there has its final bytes."""
    found = hash_outputs(project, twins.first)
    found.pop("dvc.lock", None)
    assert found.items() <= hash_outputs(twins.first, twins.first).items()


def finish(project: Path, twins: Twins) -> None:
    """Run the pipeline to its end and check every byte it wrote."""
    run("dvc", "repro", cwd=project)
    assert hash_outputs(project, twins.first) == hash_outputs(twins.first, twins.first)
    assert not list(project.rglob("*.partial"))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pipeline_killed_again_and_again_ends_in_the_same_bytes(
    twins: Twins, copy: Path, seed: int
) -> None:
    rng = random.Random(seed)
    stages = list(output_paths(twins.first))
    if LONG:
        project, kills = copy.parent / "from-nothing", stages
        run("git", "clone", "-q", str(twins.first), str(project), cwd=copy)
    else:
        # Training, and two of what costs little.
        cheap = ["download", "prepare", f"split@{SPLIT}", f"evaluate@{RECIPE}", "compare"]
        project = copy
        kills = sorted([f"train@{RECIPE}", *rng.sample(cheap, 2)], key=stages.index)
    for stage in kills:
        # A moment that turns out to come after the end is drawn again.
        for attempt in range(10):
            if attempt or not LONG:
                forget(project, stage)
            moment = draw_moment(rng, stage, project=project, twins=twins)
            if kill_stage(project, stage, moment):
                break
        else:
            pytest.fail(f"{stage} was never killed")
        check_whole(project, twins)
    print(f"seed {seed}: {len(kills)} kills: {', '.join(kills)}")
    finish(project, twins)


@long_version
@pytest.mark.parametrize("seed", SEEDS[:1])
def test_a_killed_dvc_leaves_its_stage_running_and_the_next_run_says_so_or_is_right(
    twins: Twins, copy: Path, seed: int
) -> None:
    rng = random.Random(seed)
    refused = []
    for stage in output_paths(twins.first):
        forget(copy, stage)
        work = rng.uniform(0, twins.seconds[stage] / 3)
        dvc = repro(copy, stage)
        left = None
        for name, process in running_stages(dvc):
            if name == stage and processor_seconds(process) >= work:
                left = process
                dvc.kill()
                break
        assert dvc.wait() == -signal.SIGKILL
        assert left is not None
        if repro(copy, stage).wait():
            told = (copy.parent / "repro.log").read_text()
            assert f"error: process {left.pid} is running" in told, told
            refused.append(stage)
        assert not psutil.wait_procs([left], timeout=60)[1]
        check_whole(copy, twins)
        run("dvc", "repro", stage, cwd=copy)
    print(f"seed {seed}: refused: {', '.join(refused)}")
    finish(copy, twins)


# SIGINT and SIGTERM.

STOPPED = "stopped; the same command goes on from what is saved\n"


def stop(stage: str, project: Path, number: signal.Signals, until: Callable[[], bool]) -> str:
    """Run a stage by hand, send it a signal once `until` holds, check its end; return its words."""
    log = project.parent / "stopped.log"
    process = start(*script(stage), cwd=project, log=log)
    for _ in polls(process):
        if until():
            end(process, number)
            break
    told = log.read_text()
    assert process.wait() == 130, told
    assert told.endswith(STOPPED), told
    assert "Traceback" not in told, told
    return told


def test_a_training_stopped_within_an_epoch_goes_on_to_the_same_bytes(
    twins: Twins, copy: Path
) -> None:
    stage, log = f"train@{RECIPE}", copy.parent / "stopped.log"
    forget(copy, stage)
    # Once its checkpoint is there, or was read, the second epoch has begun.
    stop(stage, copy, signal.SIGINT, lambda: any(copy.glob("checkpoints/*/last.safetensors")))
    told = stop(stage, copy, signal.SIGTERM, lambda: "resumed after epoch 1" in log.read_text())
    assert "epoch 2 of 2" not in told
    assert set(hash_files(copy, output_paths(copy)[stage])) <= {f"plots/{RECIPE}/history.csv"}
    run(*script(stage), cwd=copy)
    assert hash_outputs(copy, twins.first) == hash_outputs(twins.first, twins.first)


def test_a_drawing_that_is_stopped_leaves_no_half_cohort(tmp_path: Path) -> None:
    params = quick_params()
    params["datasets"]["phantom"] |= {"patients": 60, "image_px": 128}
    project = make_checkout(tmp_path / "project", params)
    raw = project / "data/raw/phantom"
    for number in (signal.SIGINT, signal.SIGTERM):
        shutil.rmtree(raw, ignore_errors=True)
        stop("download", project, number, lambda: any(raw.glob("*.partial/*/images/*.png")))
        assert not list(raw.glob("*/PHANTOM.json"))
        assert not (project / "data/raw/phantom.json").exists()
    run(*script("download"), cwd=project)
    assert len(list(raw.glob("*/PHANTOM.json"))) == 1
    assert not list(raw.glob("*.partial"))


@pytest.fixture
def slow_to_prepare(tmp_path: Path) -> Path:
    """Return a checkout with a folder of 1,500 large images, all of them one file."""
    params = quick_params() | {"dataset": "folder"}
    params["datasets"]["folder"] |= {"path": "mine", "packed_px": 32}
    project = make_checkout(tmp_path / "project", params)
    mine = project / "mine"
    mine.mkdir()
    names = [f"{patient:08d}_000.png" for patient in range(1, 1501)]
    Image.effect_noise((1024, 1024), 64).save(mine / names[0], compress_level=1)
    for name in names[1:]:
        os.link(mine / names[0], mine / name)
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    )
    rows = [f"{name},No Finding,0,{int(name[:8])},50,F,PA,1024,1024,0.1,0.1" for name in names]
    (mine / "Data_Entry_2017.csv").write_text("\n".join([header, *rows]))
    run(*script("download"), cwd=project)
    return project


def test_a_preparation_that_is_stopped_keeps_what_was_there(slow_to_prepare: Path) -> None:
    packed = slow_to_prepare / "data/packed/folder"
    packed.mkdir(parents=True)
    (packed / "images.npy").write_bytes(b"an earlier run's")
    for number in (signal.SIGINT, signal.SIGTERM):
        stop("prepare", slow_to_prepare, number, lambda: (packed / "images.partial").exists())
        assert [file.name for file in packed.iterdir()] == ["images.npy"]
        assert (packed / "images.npy").read_bytes() == b"an earlier run's"


# Two at once.


@pytest.fixture
def hold() -> Iterator[Callable[[int], psutil.Process]]:
    """Yield what keeps a process where it is; none is left at the end."""
    processes: list[psutil.Process] = []

    def suspend(pid: int) -> psutil.Process:
        processes.append(psutil.Process(pid))
        processes[-1].suspend()
        return processes[-1]

    yield suspend
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def test_a_second_repro_says_that_one_is_running_and_ctrl_c_ends_the_first(
    twins: Twins, copy: Path, hold: Callable[[int], psutil.Process]
) -> None:
    stage = f"evaluate@{RECIPE}"
    forget(copy, stage)
    shutil.rmtree(copy / ".dvc/tmp/stages")
    dvc = repro(copy)
    for _, process in running_stages(dvc):
        if is_at_work(copy, process):
            break
    held = hold(process.pid)
    told = run("dvc", "repro", cwd=copy, status=BUSY)
    assert "is busy, it is being blocked by" in told
    assert f"(PID {dvc.pid})" in told
    held.resume()
    # As a terminal does it: to the whole group.
    os.killpg(dvc.pid, signal.SIGINT)
    assert not psutil.wait_procs([held, dvc], timeout=SOON)[1]
    assert dvc.wait() == BUSY
    told = (copy.parent / "repro.log").read_text()
    assert STOPPED in told
    assert "Traceback" not in told
    check_whole(copy, twins)
    finish(copy, twins)


def is_at_work(project: Path, process: psutil.Process) -> bool:
    """Say whether a stage has loaded its libraries, and so hears signals and keeps others out."""
    locks = (project / ".dvc/tmp/stages").glob("*.lock")
    return str(process.pid) in [lock.read_text() for lock in locks]


SCRIPTS = ["prepare", f"evaluate@{RECIPE}"]
if LONG:
    SCRIPTS += ["download", f"split@{SPLIT}", "fit_metadata", "compare"]
    SCRIPTS += [f"{stage}@{RECIPE}" for stage in ("train", "predict", "localize")]


@pytest.mark.parametrize("stage", SCRIPTS)
def test_a_second_process_of_a_stage_names_the_first(
    twins: Twins, copy: Path, stage: str, hold: Callable[[int], psutil.Process]
) -> None:
    held = None
    while held is None:  # on a busy machine a short stage may end unseen
        first = start(*script(stage), cwd=copy, log=copy.parent / "first.log")
        for _ in polls(first):
            if is_at_work(copy, first):
                held = hold(first.pid)
                break
    told = run(*script(stage), cwd=copy, status=1)
    assert told.startswith(f"error: process {first.pid} is running `{stage.partition('@')[0]}")
    assert told.count("\n") == 1
    held.resume()
    assert first.wait() == 0
    assert hash_outputs(copy, twins.first) == hash_outputs(twins.first, twins.first)


# Checkpoints.


class _KeyTaken(Exception):
    """Ends a training once it has said which checkpoint it wants."""


@pytest.fixture
def read_key(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], tuple[str, ...]]]:
    """Yield what returns the key under which the copy's training looks for a checkpoint."""
    keys: list[tuple[str, ...]] = []

    def refuse(*key: str) -> None:
        keys.append(key)
        raise _KeyTaken

    def read() -> tuple[str, ...]:
        main = runpy.run_path("src/stages/train.py", run_name="train")["main"]
        with pytest.raises(_KeyTaken):
            main()
        return keys[-1]

    monkeypatch.chdir(copy)
    monkeypatch.setattr(sys, "argv", ["src/stages/train.py", RECIPE])
    monkeypatch.setattr(checkpoint, "lock_folder", refuse)
    threads = torch.get_num_threads()
    yield read
    torch.set_num_threads(threads)


def set_param(copy: Path, *path: str, to: object) -> None:
    params = read_yaml(copy / "params.yaml")
    *parents, last = path
    inner = params
    for key in parents:
        inner = inner[key]
    inner[last] = to
    (copy / "params.yaml").write_text(yaml.safe_dump(params))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    # DVC's cache may be linked to it.
    path.unlink()
    path.write_text(text.replace(old, new, 1))


def change_pixels(copy: Path) -> None:
    """Change what prepare says of one image: the CRC-32 of its pixels."""
    path = copy / "data/packed/phantom/index.csv"
    head, row = (line.split(",") for line in path.read_text().splitlines()[:2])
    crc = row[head.index("crc32")]
    replace(path, crc, str(int(crc) ^ 1))


CHANGES: dict[str, Callable[[Path], None]] = {
    "rate": lambda copy: set_param(copy, "recipes", RECIPE, "optimizer", "lr", to=5e-5),
    "seed": lambda copy: set_param(copy, "recipes", RECIPE, "seed", to=1),
    "threads": lambda copy: set_param(copy, "compute", "threads", to=2),
    "limits": lambda copy: set_param(copy, "datasets", "phantom", "limits", "epochs", to=3),
    "script": lambda copy: replace(copy / "src/stages/train.py", "import math", "import math "),
    "split": lambda copy: replace(copy / f"data/splits/phantom/{SPLIT}.csv", ",train", ",val"),
    "pixels": change_pixels,
}


def test_a_checkpoint_is_of_these_params_this_code_and_this_data(
    copy: Path, read_key: Callable[[], tuple[str, ...]]
) -> None:
    keys = [read_key()]
    assert read_key() == keys[0]
    for name, change in CHANGES.items():
        change(copy)
        keys.append(read_key())
        assert keys[-1] not in keys[:-1], name


def test_a_checkpoint_is_of_every_room_that_training_uses(
    copy: Path, read_key: Callable[[], tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    deps = yaml.safe_load((copy / "dvc.yaml").read_text())["stages"]["train"]["do"]["deps"]
    rooms = [Path(dep).name for dep in deps if dep.startswith("src/chestxray14/")]
    # The library is the copy's, as where PYTHONPATH is its src/.
    monkeypatch.setattr(chestxray14, "__file__", str(copy / "src/chestxray14/__init__.py"))
    keys = {read_key()}
    for room in rooms:
        changed = max((copy / "src/chestxray14" / room).glob("*.py"))
        changed.write_text(changed.read_text() + "# changed\n")
        keys.add(read_key())
    assert len(keys) == 1 + len(rooms)
    other = copy / "src/chestxray14/report/tables.py"
    other.write_text(other.read_text() + "# changed\n")
    assert len(keys | {read_key()}) == 1 + len(rooms)


@long_version
@pytest.mark.parametrize("queued", [False, True], ids=["temp", "queue"])
def test_a_killed_experiment_goes_on_from_a_shared_checkpoint(copy: Path, queued: bool) -> None:
    commit(copy)
    shared, log = copy.parent / "checkpoints", copy.parent / "experiment.log"
    setting = ("-S", f"recipes.{RECIPE}.seed=1")
    environment = ENVIRONMENT | {"CHESTXRAY14_CHECKPOINTS": str(shared)}

    def experiment() -> psutil.Popen:
        how: tuple[str, ...] = ("--temp", *setting)
        if queued:
            run("dvc", "exp", "run", "--queue", *setting, cwd=copy)
            how = ("--run-all",)
        command = ("dvc", "exp", "run", *how)
        return start(*command, cwd=copy, log=log, environment=environment)

    dvc = experiment()
    for name, process in running_stages(dvc):
        if name == f"train@{RECIPE}" and any(shared.glob("*/last.safetensors")):
            end(process)
            break
    dvc.wait()
    assert any(shared.glob("*/last.safetensors"))
    assert experiment().wait() == 0
    assert "resumed after epoch 1" in log.read_text()
    assert not any(shared.glob("*/last.safetensors"))
