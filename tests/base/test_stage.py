import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chestxray14.base.errors import InputError
from chestxray14.base.stage import choose, run


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Hear SIGINT also where tests run in the background, and restore what a stage sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def fail() -> None:
    raise InputError("params.yaml: unknown key x")


def test_a_users_mistake_is_one_line_and_status_1() -> None:
    # SystemExit with a text prints it on stderr and exits with status 1.
    with pytest.raises(SystemExit, match=r"^error: params\.yaml: unknown key x$"):
        run(fail)


def test_a_refusal_of_the_system_is_one_line_too(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^error: .*absent: No such file or directory$"):
        run(lambda: print((tmp_path / "absent").read_text()))


def test_too_little_memory_is_one_line_too() -> None:
    with pytest.raises(SystemExit, match=r"^error: too little memory: Unable to allocate .+$"):
        run(lambda: print(np.empty((2**31, 2**31), dtype=np.uint8)))


def test_too_little_memory_for_torch_is_one_line_and_other_errors_of_it_crash() -> None:
    with pytest.raises(SystemExit, match=r"^error: too little memory: .*can't allocate memory"):
        run(lambda: print(torch.empty(10**15)))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run(lambda: print(torch.ones(2, 3) @ torch.ones(2, 3)))


def test_what_cannot_be_printed_on_one_line_is_escaped() -> None:
    def fail() -> None:
        raise InputError("two\nlines, \x1b[31mred, \u2028, ä")

    with pytest.raises(SystemExit) as caught:
        run(fail)
    assert caught.value.code == r"error: two\nlines, \x1b[31mred, \u2028, ä"


def test_an_endless_line_is_cut() -> None:
    def fail() -> None:
        raise InputError("x" * 10_000)

    with pytest.raises(SystemExit, match=r"^error: x{793}\.\.\.$"):
        run(fail)


def test_a_line_of_error_leaves_in_one_piece_also_unbuffered(tmp_path: Path) -> None:
    # Lines of several processes on one terminal would else mix.
    script = """
from chestxray14.base.errors import InputError
from chestxray14.base.stage import run

def fail() -> None:
    raise InputError("params.yaml: unknown key x")

run(fail)
"""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        command = [sys.executable, "-u", "-c", script]
        ended = subprocess.run(command, stderr=theirs, cwd=tmp_path, check=False)
        assert ended.returncode == 1
        # Of such a socket a write is a packet.
        assert ours.recv(1000, socket.MSG_DONTWAIT) == b"error: params.yaml: unknown key x\n"


def test_a_programmers_mistake_crashes_loudly() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda: print(1 / 0))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_stage_with_status_130(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(lambda: os.kill(os.getpid(), number))
    assert caught.value.code == 130
    assert capsys.readouterr().err == "stopped; the same command goes on from what is saved\n"


def test_the_command_line_names_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "a"])
    Path("params.yaml").write_text("recipes: {a: 1, c: 2}\n")
    assert choose(of="recipes", doc="Train.") == "a"
    Path("params.yaml").write_text("recipes: {b: 1}\n")
    with pytest.raises(InputError, match=r"recipes has no 'a'; found \['b'\]"):
        choose(of="recipes", doc="Train.")


TWICE = """
import os, subprocess, sys
from chestxray14.base.stage import run

def main() -> None:
    if "INNER" not in os.environ:
        inner = os.environ | {"INNER": "1"}
        for name in ("a", "b"):
            subprocess.run([sys.executable, __file__, name], env=inner, check=False)
    print("ran", sys.argv[1], flush=True)

run(main)
"""


def test_a_stage_runs_once_at_a_time_and_beside_others(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    script = tmp_path / "train.py"
    script.write_text(TWICE)
    process = subprocess.Popen(
        [sys.executable, script, "a"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "ran b\nran a\n")
    assert err.startswith(f"error: process {process.pid} is running `train.py a` here already")
    assert err.count("\n") == 1


def refuse(
    monkeypatch: pytest.MonkeyPatch, number: int, *, below: Path, calls: tuple[str, ...]
) -> None:
    """Have the system refuse to make anything below a folder."""

    def refusing(call: Any) -> Any:
        def made(path: Any, *arguments: Any, **options: Any) -> Any:
            if isinstance(path, str | Path) and below in Path(path).absolute().parents:
                raise OSError(number, os.strerror(number), str(path))
            return call(path, *arguments, **options)

        return made

    for name in calls:
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES], ids=["EROFS", "EACCES"])
@pytest.mark.parametrize("ran_before", [False, True])
def test_a_checkout_that_is_read_only_keeps_nobody_from_a_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, ran_before: bool
) -> None:
    # As root one may write everywhere, so that the system's answer is put in its place.
    checkout = tmp_path / ".dvc"
    (checkout / "tmp/stages" if ran_before else checkout).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    refuse(monkeypatch, number, below=tmp_path / ".dvc", calls=("mkdir", "open"))
    ran: list[str] = []
    run(lambda: run(lambda: ran.append("at once")))
    assert ran == ["at once"]
    assert not [path for path in checkout.rglob("*") if path.is_file()]


def test_a_full_disk_is_no_read_only_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    refuse(monkeypatch, errno.ENOSPC, below=tmp_path / ".dvc", calls=("mkdir", "open"))
    with pytest.raises(SystemExit, match=r"^error: \.dvc/.*: No space left on device$"):
        run(lambda: pytest.fail("ran without a lock"))


@pytest.mark.parametrize("checkout", [True, False])
def test_a_name_that_cannot_be_printed_ends_no_stage(tmp_path: Path, checkout: bool) -> None:
    if checkout:
        (tmp_path / ".dvc").mkdir()
    script = """
import logging, sys
from chestxray14.base.stage import run

def main():
    logging.getLogger().warning(sys.argv[1])
    print(sys.argv[1])
    sys.__stdout__.write(sys.argv[1])

run(main)
"""
    # The last byte is no UTF-8.
    command = [os.fsencode(sys.executable), b"-c", script.encode(), "\u00e4".encode() + b"\xff"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    ended = subprocess.run(
        command, capture_output=True, cwd=tmp_path, env=environment, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.split() == [rb"\xe4\udcff"] * 3
