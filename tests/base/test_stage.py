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
from chestxray14.stage import run
from test_stage import fail
run(fail)
"""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        command = [sys.executable, "-u", "-c", script]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        ended = subprocess.run(command, stderr=theirs, cwd=tmp_path, env=environment, check=False)
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


def test_the_command_line_names_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "a"])
    assert choose({"a": 1}, of="recipes", doc="Train.") == ("a", 1)
    with pytest.raises(InputError, match=r"recipes has no 'a'; found \['b'\]"):
        choose({"b": 1}, of="recipes", doc="Train.")


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
