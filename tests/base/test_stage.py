import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
    assert (
        capsys.readouterr().err == "stopped; nothing finished is lost, the same command goes on\n"
    )


def test_the_command_line_names_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "a"])
    Path("params.yaml").write_text("recipes: {a: 1, c: 2}\n")
    assert choose(of="recipes", doc="Train.") == "a"
    Path("params.yaml").write_text("recipes: {b: 1}\n")
    with pytest.raises(InputError, match=r"recipes has no 'a'; found \['b'\]"):
        choose(of="recipes", doc="Train.")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_read_only_checkout_keeps_nobody_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)

    def refuse(path: Path, **_: object) -> None:
        raise OSError(number, "no", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    ran = []
    run(lambda: ran.append(True))
    assert ran == [True]


def test_a_full_disk_is_no_read_only_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)

    def refuse(path: Path, **_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SystemExit, match="no space left"):
        run(lambda: None)
