"""One process at a time holds a lock file, and a killed one lets go."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from projects import ENVIRONMENT

from chestxray14.base import locks
from chestxray14.base.errors import InputError
from chestxray14.base.locks import hold

HOLD = """
import sys
from pathlib import Path
from chestxray14.base.locks import hold
with hold(Path(sys.argv[1]), doing="holding"):
    print("held", flush=True)
    sys.stdin.read()
"""


def start(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds a lock until its input ends, and wait until it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | {"PYTHONPATH": str(Path(locks.__file__).parents[2])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_the_first_is(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.lock"
    with start(path) as first:
        with pytest.raises(InputError, match=f"process {first.pid} is working already"):
            hold(path, doing="working").__enter__()
        # A look must not make anybody forget who holds it.
        with pytest.raises(InputError, match=f"process {first.pid} is working already"):
            hold(path, doing="working").__enter__()
        first.communicate()
    with hold(path, doing="working"):
        assert path.read_text() == str(os.getpid())


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with start(path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
    with hold(path, doing="working"):
        pass


def test_who_waits_comes_after_the_first(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    waiting = HOLD.replace('doing="holding"', 'doing="waiting", wait=True')
    with start(path) as first:
        command = [sys.executable, "-c", waiting, str(path)]
        environment = ENVIRONMENT | {"PYTHONPATH": str(Path(locks.__file__).parents[2])}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as second:
            assert first.poll() is None
            first.communicate()
            told, _ = second.communicate()
        assert told == "held\n"
        assert path.read_text() == str(second.pid)
