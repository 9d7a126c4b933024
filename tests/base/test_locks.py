"""Of two processes one has the lock, and whoever has it can be found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chestxray14.base.errors import InputError
from chestxray14.base.locks import hold

HOLDER = """
import sys
from pathlib import Path
from chestxray14.base.locks import hold

lock, log, name, wait = sys.argv[1:]
print("asks", flush=True)
with hold(Path(lock), doing="counting", wait=wait == "wait"):
    print("has it", flush=True)
    sys.stdin.read()
    with Path(log).open("a") as file:
        file.write(f"{name}\\n")
"""


def start(folder: Path, name: str, *, wait: bool = False) -> subprocess.Popen[str]:
    """Start a process that holds the lock until its standard input ends, then notes its name."""
    arguments = [folder / "a.lock", folder / "log", name, "wait" if wait else ""]
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert hear(process) == "asks"
    return process


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_a_second_process_is_told_whom_it_would_have_to_wait_for(tmp_path: Path) -> None:
    first = start(tmp_path, "first")
    assert hear(first) == "has it"
    with (
        pytest.raises(InputError, match=rf"^process {first.pid} is counting sheep already; "),
        hold(tmp_path / "a.lock", doing="counting sheep"),
    ):
        pytest.fail("two have the lock")
    # Being refused takes nothing from the first.
    first.communicate(timeout=60)
    assert (tmp_path / "log").read_text() == "first\n"
    with hold(tmp_path / "a.lock", doing="counting sheep"):
        assert (tmp_path / "a.lock").read_text() == str(os.getpid())


def test_who_waits_comes_after_the_other(tmp_path: Path) -> None:
    first = start(tmp_path, "first")
    assert hear(first) == "has it"
    second = start(tmp_path, "second", wait=True)
    first.communicate(timeout=60)
    assert hear(second) == "has it"
    assert (tmp_path / "log").read_text() == "first\n"
    second.communicate(timeout=60)
    assert (tmp_path / "log").read_text() == "first\nsecond\n"


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    first = start(tmp_path, "first")
    assert hear(first) == "has it"
    first.kill()
    first.communicate(timeout=60)
    with hold(tmp_path / "a.lock", doing="counting"):
        assert not (tmp_path / "log").exists()


def test_work_that_fails_lets_go(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), hold(tmp_path / "new" / "a.lock", doing="counting"):
            raise KeyError
