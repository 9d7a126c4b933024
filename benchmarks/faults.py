"""Plant faults in the package, one at a time, and print which test catches each.

    python benchmarks/faults.py                        # all, 10 minutes on 2 cores; --list names them
    python benchmarks/faults.py training/schedules.py  # those of some files

Twenty stand in `LISTED`: add a line of your own. Ten are drawn, at most one a file: a comparison, plus or minus,
a constant or a name of the same function is another. Which, depends on `SEED` and the line alone, so that
work elsewhere moves no fault. Messages, types and documentation are never drawn, nor what `SAME` says
changes nothing.

For each fault a copy of src is changed and the tests of its room run against it, those of the
file first, to the first failure. A test catches a fault if it passes without it. Exit status 1 when a
fault survives.
"""

import argparse
import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "chestxray14"
SEED = 3
DRAWN = 10
SECONDS = 300
"""After which tests that hang are stopped; the fault counts as caught."""


@dataclass(frozen=True)
class Fault:
    """`old`, which stands once in a file of the package, becomes `new`."""

    file: str
    old: str
    new: str
    meaning: str


LISTED = (
    Fault(
        *("training/fit.py", "        training.average,\n", "        training.network,\n"),
        "the raw network is validated, not its average",
    ),
    Fault(
        *("training/fit.py", "score < progress.best_score", "score <= progress.best_score"),
        "of equally good epochs the last is kept",
    ),
    Fault(
        *("training/epoch.py", "step=epoch * steps + step", "step=epoch"),
        "the average's steps are counted by epoch",
    ),
    Fault(
        *("training/epoch.py", "and not module.weight", "and module.weight"),
        "frozen statistics move, the others stay",
    ),
    Fault(
        *("training/schedules.py", "waited > patience", "waited >= patience"),
        "the rate falls an epoch too early",
    ),
    Fault(
        *("training/schedules.py", "rate * (done + 1) / warmup", "rate * done / warmup"),
        "the warm-up begins at 0",
    ),
    Fault(
        *("training/losses.py", "alpha=params.alpha", "alpha=1 - params.alpha"),
        "the focal loss weighs the other class",
    ),
    Fault(
        *("training/losses.py", "known * (2 *", "known * (1 *"),
        "class weights have a mean of 2",
    ),
    Fault(
        *("data/splits.py", ".cumsum() <= most", ".cumsum() < most"),
        "a part is never as large as at_most",
    ),
    Fault(
        *("data/splits.py", "sides[sides > 1]", "sides[sides > 2]"),
        "a patient in two parts is no leak",
    ),
    Fault(
        *("model/batches.py", "len(part) // 2))", "len(part)))"),
        "a batch may have a single image",
    ),
    Fault(
        *("model/batches.py", "labels=_pick(part.labels, chosen),", "labels=part.labels,"),
        "a sample has everybody's labels",
    ),
    Fault(
        *("model/views.py", "rng.uniform(1 - spread,", "rng.uniform(1,"),
        "tones only ever rise",
    ),
    Fault(
        *("model/views.py", "centre.flip(-1)) if", "centre.flip(-2)) if"),
        "the view `flip` stands on its head",
    ),
    Fault(
        *("scoring/bootstrap.py", "rng.integers(size, size", "rng.integers(size - 1, size"),
        "the last patient is never drawn",
    ),
    Fault(
        *("scoring/claims.py", "[2.5, 97.5]", "[5, 95]"),
        "intervals hold 90 %",
    ),
    Fault(
        *("scoring/calibration.py", "(positives + 1) / (positives + 2)", "1"),
        "Platt's targets of positives are not smoothed",
    ),
    Fault(
        *("scoring/decisions.py", "right / positives >= sens", "right / positives > sens"),
        "the sensitivity asked for does not suffice",
    ),
    Fault(
        *("localization/boxes.py", "scaled > cut", "scaled >= cut"),
        "cells at a cut lie in a region",
    ),
    Fault(
        *("localization/boxes.py", "points <= end", "points < end"),
        "a point on the far edge is not held",
    ),
)

SAME: dict[str, str] = {}
"""Changed lines that nobody could tell from the line before, and why."""

FILES = tuple(dict.fromkeys(fault.file for fault in LISTED))
"""Where faults are drawn, too."""

OPERATORS = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Add: ("+", "-"), ast.Sub: ("-", "+"),
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """Which test caught a fault, None where none did, and how long that took."""

    caught_by: str | None
    seconds: float


def main() -> None:
    """Run what is asked for, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="faults of these files alone")
    parser.add_argument("--list", action="store_true", help="name the faults, run nothing")
    arguments = parser.parse_args()
    faults = [
        fault
        for fault in (*LISTED, *draw_faults())
        if not arguments.files or fault.file in arguments.files
    ]
    for fault in faults:
        plant(fault, ROOT / "src")
    if arguments.list:
        outcomes = None
    else:
        with ThreadPoolExecutor(max_workers=2) as pool:
            outcomes = confirm(list(pool.map(try_fault, faults)))
    print_table(faults, outcomes)
    if outcomes and any(outcome.caught_by is None for outcome in outcomes):
        sys.exit(1)


def plant(fault: Fault, src: Path) -> str:
    """Return the changed text of a fault's file; exit where its old text is not there once."""
    text = (src / PACKAGE / fault.file).read_text()
    if (count := text.count(fault.old)) != 1:
        sys.exit(f"{fault.file} has {count} times, expected once: {fault.old!r} ({fault.meaning})")
    return text.replace(fault.old, fault.new)


def try_fault(fault: Fault) -> Outcome:
    """Run the tests of a fault's room against a copy of src that has it."""
    room, name = fault.file.split("/")
    first = f"tests/{room}/test_{name}"
    others = sorted(path.relative_to(ROOT) for path in (ROOT / "tests" / room).glob("test_*.py"))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        src = Path(folder) / "src"
        shutil.copytree(ROOT / "src", src, ignore=shutil.ignore_patterns("__pycache__"))
        (src / PACKAGE / fault.file).write_text(plant(fault, src))
        failed = run_tests([first, *(str(path) for path in others if str(path) != first)], src)
    print(f"{fault.file}: {fault.meaning}: {failed or 'SURVIVES'}", file=sys.stderr, flush=True)
    return Outcome(caught_by=failed[0] if failed else None, seconds=time.monotonic() - began)


def confirm(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Take back what was caught by tests that fail on the unchanged src, too."""
    tests = sorted({outcome.caught_by for outcome in outcomes if outcome.caught_by} - {"time"})
    broken = set(run_tests(tests, ROOT / "src", stop=False)) if tests else set()
    for test in sorted(broken):
        print(f"{test} fails without any fault", file=sys.stderr)
    return [
        Outcome(None, outcome.seconds) if outcome.caught_by in broken else outcome
        for outcome in outcomes
    ]


def run_tests(tests: Sequence[str], src: Path, *, stop: bool = True) -> list[str]:
    """Return the tests that fail against a src, `time` where they do not end."""
    options = ["-q", "-m", "not slow", "-p", "no:cacheprovider", "--tb=no", "-rfE"]
    environment = os.environ | {"PYTHONPATH": str(src), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *(["-x"] if stop else []), *tests],
            cwd=ROOT,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"},
            capture_output=True,
            check=False,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return ["time"]
    failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, flags=re.MULTILINE)
    if bool(done.returncode) != bool(failed):
        sys.exit(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return failed


def draw_faults() -> list[Fault]:
    """Return the drawn faults: of a file one kind, of that kind one change."""
    drawn = []
    for file in sorted(FILES, key=_lot)[:DRAWN]:
        changes = list(list_changes(file))
        kind = min({kind for kind, _ in changes}, key=lambda kind: _lot(file, kind))
        alike = [fault for other, fault in changes if other == kind]
        drawn.append(min(alike, key=lambda fault: _lot(fault.file, fault.old, fault.new)))
    return sorted(drawn, key=lambda fault: FILES.index(fault.file))


def _lot(*key: str) -> bytes:
    """Return what is drawn for a key: the lowest is chosen."""
    return hashlib.sha256(" ".join([str(SEED), *map(str.strip, key)]).encode()).digest()


def list_changes(file: str) -> Iterator[tuple[str, Fault]]:
    """Yield every change that can be drawn in a file, with its kind."""
    text = (ROOT / "src" / PACKAGE / file).read_text()
    lines = text.splitlines(keepends=True)
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef):
            continue
        nodes = list(_walk(function))
        # By the line from which on they are known.
        names = {arg.arg: 0 for arg in function.args.args + function.args.kwonlyargs}
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.setdefault(node.id, node.lineno)
        for node in nodes:
            for kind, start, end, new in _changes(node, names, lines):
                line, _ = start
                row = lines[line - 1]
                # Columns count bytes.
                raw = row.encode()
                old = raw[start[1] : end].decode()
                changed = (raw[: start[1]] + new.encode() + raw[end:]).decode()
                if text.count(row) == 1 and changed.strip() not in SAME:
                    meaning = f"`{old}` is `{new}` in `{row.strip()}`"
                    yield kind, Fault(file, row, changed, meaning)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what computes: no types, messages, logs, names of keys, functions inside."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.AnnAssign | ast.FunctionDef):
        bodies: list[ast.AST] = []
        if isinstance(node, ast.FunctionDef):
            bodies = [*node.body]
        elif isinstance(node, ast.AnnAssign) and node.value:
            bodies = [node.value]
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "log":
            return
        bodies = [*node.args, *node.keywords]
        if not isinstance(node.func, ast.Name):
            bodies.append(node.func)
    else:
        bodies = list(ast.iter_child_nodes(node))
    yield node
    for child in bodies:
        if not isinstance(child, ast.FunctionDef):
            yield from _walk(child)


Change = tuple[str, tuple[int, int], int, str]
"""Kind, line and column, column of the end, new text."""


def _changes(node: ast.AST, names: dict[str, int], lines: Sequence[str]) -> Iterator[Change]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        yield from _operator("comparison", node.left, node.ops[0], node.comparators[0], lines)
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield from _operator("sign", node.left, node.op, node.right, lines)
    elif (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not (isinstance(node.value, bool))
    ):
        assert node.end_col_offset is not None
        yield "constant", (node.lineno, node.col_offset), node.end_col_offset, f"{node.value + 1}"
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        assert node.end_col_offset is not None
        for name, known in names.items():
            if name != node.id and known < node.lineno:
                yield "name", (node.lineno, node.col_offset), node.end_col_offset, name


def _operator(
    kind: str, left: ast.expr, op: ast.AST, right: ast.expr, lines: Sequence[str]
) -> Iterator[Change]:
    assert left.end_lineno is not None
    assert left.end_col_offset is not None
    if left.end_lineno != right.lineno:
        return
    old, new = OPERATORS[type(op)]
    between = lines[right.lineno - 1].encode()[left.end_col_offset : right.col_offset].decode()
    start = left.end_col_offset + between.index(old)
    yield kind, (right.lineno, start), start + len(old), new


def print_table(faults: Sequence[Fault], outcomes: Sequence[Outcome] | None) -> None:
    """Print a row a fault, and what came of it where it was tried."""
    print("| file | fault | caught by | seconds |\n| --- | --- | --- | --: |")
    for place, fault in enumerate(faults):
        row = f"| {fault.file} | {fault.meaning} |"
        if outcomes is not None:
            outcome = outcomes[place]
            test = "**nothing**" if outcome.caught_by is None else outcome.caught_by
            test = test.partition("[")[0].removeprefix("tests/").rpartition("/")[2]
            row += f" {test} | {outcome.seconds:.0f} |"
        print(row)


if __name__ == "__main__":
    main()
