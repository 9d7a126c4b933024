"""How every stage script starts and ends."""

import argparse
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from types import FrameType

from chestxray14.base.errors import InputError
from chestxray14.base.locks import hold, is_read_only
from chestxray14.base.params import list_names, load_block

LONGEST = 800
"""Characters of an error that are printed: it may quote a whole file without line breaks."""


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main`; end a user's mistake or the system's refusal in one line, status 1.

    SIGTERM ends a stage as SIGINT does, with exit status 130; what was saved stays. A second
    process that runs the same script with the same arguments in this checkout is refused.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    signal.signal(signal.SIGTERM, _stop)
    for stream in (sys.stdout, sys.__stdout__):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal has no letters for must not end a stage in mid-line.
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        # A line leaves in one piece: torchrun's processes share a terminal, and are unbuffered.
        sys.stderr.reconfigure(line_buffering=True, write_through=False)
    try:
        with _alone():
            main()
    except InputError as error:
        sys.exit(_one_line(f"error: {error}"))
    except OSError as error:
        reason = f"{error.filename or 'the system'}: {error.strerror or error}"
        sys.exit(_one_line(f"error: {reason}"))
    except MemoryError as error:
        sys.exit(_one_line(f"error: too little memory: {error}"))
    except RuntimeError as error:
        # Torch has an error of its own for a GPU's memory, and none for the computer's.
        short = ("out of memory", "can't allocate memory")
        if not any(words in str(error) for words in short):
            raise
        sys.exit(_one_line(f"error: too little memory: {error}"))
    except KeyboardInterrupt:
        print("stopped; the same command goes on from what is saved", file=sys.stderr)
        sys.exit(130)


def choose(*, of: str, doc: str | None) -> str:
    """Return the name on the command line, a key of the block `of` in params.yaml.

    `doc` is the script's docstring. Raises `InputError` for a name that is not there.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help=f"a key of {of} in params.yaml")
    name: str = parser.parse_args().name
    if name not in (known := list_names(of)):
        raise InputError(f"params.yaml: {of} has no {name!r}; found {sorted(known)}")
    return name


def choose_dataset(*, doc: str | None) -> tuple[str, bool]:
    """Return the dataset on the command line, or the active one, and whether it is that.

    As `choose`, the name being a key of `datasets`.
    """
    active = load_block("dataset", str)
    if len(sys.argv) == 1:
        return active, True
    name = choose(of="datasets", doc=doc)
    return name, name == active


def count_processors() -> int:
    """Return how many processors this process may use, which a job may have fewer of than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _alone() -> Iterator[None]:
    """Keep others from running this stage, with these arguments, in this checkout.

    DVC knows nothing of a stage run by hand, and a DVC that was killed leaves its stage running.
    The processes of one torchrun are the same run. Where the checkout is read-only nothing is kept
    from anybody: what a stage writes goes elsewhere then.
    """
    checkout = Path(".dvc")
    if not checkout.is_dir() or "LOCAL_RANK" in os.environ:
        yield
        return
    command = [Path(sys.argv[0]).name, *sys.argv[1:]]
    name = f"{sha256(os.fsencode(chr(0).join(command))).hexdigest()[:16]}.lock"
    with ExitStack() as held:
        try:
            doing = f"running `{' '.join(command)}` here"
            held.enter_context(hold(checkout / "tmp" / "stages" / name, doing=doing))
        except OSError as error:
            if not is_read_only(error):
                raise
        yield


def _one_line(text: str) -> str:
    """Return text cut to `LONGEST`, what cannot be printed on one line as Python writes it."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in (text if len(text) <= LONGEST else f"{text[:LONGEST]}...")
    )


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
