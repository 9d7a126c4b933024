"""What stands in a stage's outputs where it cannot run on a dataset: the reason.

Each later stage finds it in the file that it reads first and passes it on, and the report names it: a
recipe that a dataset has no labels for must not stop all the others.
"""

import csv
import json
from pathlib import Path

from chestxray14.files.outputs import write_text


def write_skipped(reason: str, *paths: Path) -> None:
    """Write the reason as the content of each file; a table gets it as its only cell."""
    cell = reason.replace('"', '""')
    for path in paths:
        table = path.suffix == ".csv"
        write_text(path, f'skipped\n"{cell}"\n' if table else json.dumps({"skipped": reason}))


def read_skipped(path: Path) -> str | None:
    """Return why there is nothing in a file, None where there is something, or no file."""
    table = path.suffix == ".csv"
    start = b"skipped\n" if table else b'{"skipped": '
    try:
        with path.open("rb") as file:
            if file.read(len(start)) != start:
                return None
            text = (start + file.read()).decode()
        if table:
            return list(csv.reader(text.splitlines()))[1][0]
        reason: str = json.loads(text)["skipped"]
    except (OSError, ValueError, LookupError):
        return None
    return reason
