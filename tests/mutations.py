"""What can happen to a file between the one who wrote it and the one who reads it."""

import csv
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

Draw = Callable[[st.SearchStrategy[Any]], Any]
Mutation = tuple[str, bytes]
"""What was done, in a word or two, and the bytes that came of it."""

CELLS = (
    *("", " ", "NA", "nan", "inf", "-1", "0", "1", "1.5", "1e400", "0x10", "9" * 30, "9" * 5000),
    *("Mass", "Hernia|Mass", "No Finding|Mass", "a,b", "ä", "１", "\u2028", "a\nb", "a\rb", "\0"),
    *('"', "'", ";", "=1+1", "../x.png", "/etc/passwd", "a\\b.png", "\x1b[31m"),
    "00000001_000.png",
)
"""Cells that spreadsheets, other people's scripts and accidents leave behind."""

VALUES = (
    *(None, True, "", "x", "all", "random", "a\0b", "a\nb", "é", -1, 0, 1, 2, 3, 7, 10**6, 10**30),
    *(0.0, 0.5, 1.0, 1e-300, 1e300, float("nan"), float("inf"), -0.5),
    *([], [[]], {}, ["Mass"], ["Mass", "Mass"], {"a": 1}, {"name": "x"}, {1: 2}, "1e-4"),
    "9" * 5000,
)
"""Values that a key of params.yaml may be given."""

YAML = (
    *("[", "{", "- ", "\t", "&a [*a]", "*a", "<<: 3", '!!int ""', "!!bool x", "!!timestamp x"),
    *("!!python/name:os.system", "? [a]\n: b", "\0", "---\n", "%YAML 9\n", "2020-99-99", "0x_"),
    *("[" * 500, "a: b: c\n", "'", '"\\ud800"', "!!float ''", "9" * 5000, "~: 1\n", "\ufeff"),
)
"""Pieces of text that mean something in YAML."""


@st.composite
def damaged(draw: Draw, content: bytes) -> Mutation:
    """Damage bytes as disks, wires and interrupted copies do."""
    place = draw(st.integers(0, max(0, len(content) - 1)))
    length = draw(st.integers(1, max(1, min(64, len(content) - place))))
    before, piece, after = content[:place], content[place : place + length], content[place:]
    rest = content[place + length :]
    some = draw(st.binary(min_size=1, max_size=16))
    made = {
        "bit flips": before + bytes([after[0] ^ (1 << length % 8)]) + after[1:] if after else b"",
        "cut short": before,
        "a piece lost": before + rest,
        "a piece inserted": before + some + after,
        "a piece twice": before + piece + after,
        "zeros": before + bytes(len(piece)) + rest,
        "empty": b"",
        "another file": some * 20,
    }
    kind = draw(st.sampled_from(sorted(made)))
    if kind == "bit flips":
        for _ in range(draw(st.integers(0, 3))):
            kept = bytearray(made[kind])
            kept[draw(st.integers(0, len(kept) - 1))] ^= 1 << draw(st.integers(0, 7))
            made[kind] = bytes(kept)
    return kind, made[kind]


@st.composite
def retyped(draw: Draw, content: bytes) -> Mutation:
    """Change how a text is written down: encoding, ends of lines, marks."""
    text = content.decode("utf-8-sig")
    made = {
        "UTF-16": text.encode("utf-16"),
        "Latin-1": text.replace("a", "é", 3).encode("latin-1"),
        "byte order mark": "\ufeff".encode() + content,
        "CRLF": text.replace("\r\n", "\n").replace("\n", "\r\n").encode(),
        "CR alone": text.replace("\r\n", "\n").replace("\n", "\r").encode(),
        "NULs": text.replace("\n", "\n\0", draw(st.integers(1, 3))).encode(),
        "spaces": text.replace("\n", " \n").encode(),
        "blank lines": text.replace("\n", "\n\n", draw(st.integers(1, 3))).encode(),
        "no last end of line": text.rstrip("\r\n").encode(),
        "unclosed quote": text.replace("\n", '\n"', 1).encode(),
        "semicolons": text.replace(",", ";").encode(),
    }
    kind = draw(st.sampled_from(sorted(made)))
    return kind, made[kind]


@st.composite
def edited(draw: Draw, content: bytes, cells: Sequence[str] = CELLS) -> Mutation:
    """Edit a table as people do: a cell, a row, a column, the header."""
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    row = draw(st.integers(0, len(rows) - 1))
    column = draw(st.integers(0, max(0, len(rows[row]) - 1)))
    cell = draw(st.sampled_from(cells) | st.text(max_size=6))
    other = draw(st.integers(0, len(rows) - 1))
    kind = draw(
        st.sampled_from(
            [
                *("cell", "cell of another row", "row lost", "row twice", "rows swapped"),
                *(
                    "column lost",
                    "column twice",
                    "columns moved",
                    "header renamed",
                    "header alone",
                ),
                *("no header", "longer row", "whole column"),
            ]
        )
    )
    match kind:
        case "cell":
            rows[row][column : column + 1] = [cell]
        case "cell of another row":
            rows[row][column : column + 1] = rows[other][column : column + 1]
        case "row lost":
            del rows[row]
        case "row twice":
            rows.insert(other, rows[row])
        case "rows swapped":
            rows[row], rows[other] = rows[other], rows[row]
        case "column lost":
            rows = [each[:column] + each[column + 1 :] for each in rows]
        case "column twice":
            rows = [each[: column + 1] + each[column:] for each in rows]
        case "columns moved":
            rows = [each[column:] + each[:column] for each in rows]
        case "header renamed":
            rows[0][min(column, len(rows[0]) - 1)] = cell
        case "header alone":
            rows = rows[:1]
        case "no header":
            rows = rows[1:]
        case "longer row":
            rows[row] = [*rows[row], cell]
        case "whole column":
            rows[1:] = [[*each[:column], cell, *each[column + 1 :]] for each in rows[1:]]
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    return kind, file.getvalue().encode()


def tables(content: bytes, cells: Sequence[str] = CELLS) -> st.SearchStrategy[Mutation]:
    """Return all that happens to a CSV or list file."""
    return edited(content, cells) | edited(content, cells) | retyped(content) | damaged(content)


@st.composite
def rekeyed(draw: Draw, content: Any) -> tuple[str, Any]:
    """Change one key or value of nested mappings and lists."""
    place = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 4)) == 0:
            break
        place = inner
    kind = draw(st.sampled_from(["value", "value", "value", "key lost", "key renamed", "nested"]))
    match kind:
        case "value":
            place[key] = draw(st.sampled_from(VALUES) | st.integers() | st.floats() | st.text())
        case "key lost":
            del place[key]
        case "nested":
            place[key] = {"a": inner}
        case "key renamed" if isinstance(place, dict):
            place[draw(st.sampled_from(["", "x", 1, None, "a b", f"{key}s"]))] = place.pop(key)
    return kind, content


@st.composite
def inserted(draw: Draw, content: bytes, pieces: Sequence[str] = YAML) -> Mutation:
    """Put a piece of text that means something in the format at the start of a line or after it."""
    lines = content.decode().splitlines(keepends=True)
    line = draw(st.integers(0, len(lines) - 1))
    piece = draw(st.sampled_from(pieces))
    if draw(st.booleans()):
        lines[line] = piece + lines[line]
    else:
        lines[line] = lines[line].partition(":")[0] + ": " + piece + "\n"
    return "syntax", "".join(lines).encode()


@st.composite
def pictures(draw: Draw, content: bytes) -> Mutation:
    """Damage a PNG, or write it as somebody else would."""
    image = Image.open(io.BytesIO(content))
    kind = draw(st.sampled_from(["damage", "damage", "mode", "16 bits", "JPEG", "dimensions"]))
    if kind == "damage":
        return draw(damaged(content))  # type: ignore[no-any-return]
    if kind == "dimensions":
        sides = st.sampled_from([0, 1, 47, 5000, 9000, 65_535, 2**31 - 1, 2**32 - 1])
        return kind, _resize_header(content, draw(sides), draw(sides))
    written = io.BytesIO()
    if kind == "mode":
        mode = draw(st.sampled_from(["1", "P", "LA", "RGB", "RGBA"]))
        image.convert(mode).save(written, "PNG")
        return f"mode {mode}", written.getvalue()
    if kind == "16 bits":
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(
            written, "PNG"
        )
    else:
        image.convert(draw(st.sampled_from(["L", "RGB", "CMYK"]))).save(written, "JPEG")
    if draw(st.booleans()):
        return kind, written.getvalue()
    damage, made = draw(damaged(written.getvalue()))
    return f"{kind}, {damage}", made


def _resize_header(content: bytes, width: int, height: int) -> bytes:
    """Return a PNG whose header says another size, its checksum right."""
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
