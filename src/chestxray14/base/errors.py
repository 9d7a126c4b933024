"""What a user did wrong, said in one line."""

import textwrap
from collections.abc import Iterable


class InputError(Exception):
    """Report a mistake in what the user supplied.

    The message is one line that names the file, row or key, and says what was found and what
    was expected. Stages print it and exit with status 1.
    """


def name_some(names: Iterable[str], *, most: int = 3) -> str:
    """Return the first few names of many, for an error line."""
    names = list(names)
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def shorten(error: Exception) -> str:
    """Return what an error says in at most 120 characters on one line."""
    return textwrap.shorten(str(error), width=120, placeholder=" ...") or type(error).__name__
