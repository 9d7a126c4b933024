"""How every stage script starts and ends."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TypeVar

from chestxray14.errors import InputError

T = TypeVar("T")


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main`; end a user's mistake or the system's refusal in one line, status 1.

    SIGTERM ends a stage as SIGINT does, with exit status 130; what was finished stays.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    signal.signal(signal.SIGTERM, _stop)
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename or 'the system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        print("stopped; nothing finished is lost, the same command goes on", file=sys.stderr)
        sys.exit(130)


def choose(entries: Mapping[str, T], *, of: str, doc: str | None) -> tuple[str, T]:
    """Return the name on the command line and the entry of params.yaml it stands for.

    `of` is the key of params.yaml that holds the entries, `doc` the script's docstring. Raises
    `InputError` for a name that is not there.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help=f"a key of {of} in params.yaml")
    name = parser.parse_args().name
    if name not in entries:
        raise InputError(f"params.yaml: {of} has no {name!r}; found {sorted(entries)}")
    return name, entries[name]


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
