"""params.yaml is read as DVC reads it; what is wrong in a block is said by its key."""

import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
from conftest import ROOT
from dvc.utils.serialize import load_yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from chestxray14.base.errors import InputError
from chestxray14.base.params import Record, Share, list_names, load_block, load_file, read_yaml

PARAMS = ROOT / "params.yaml"


def test_we_read_params_exactly_as_dvc_does() -> None:
    assert read_yaml(PARAMS) == load_yaml(str(PARAMS))


@pytest.mark.parametrize(
    "text", ["1e-4", "5e-05", "1E5", "-2e3", ".5", "1.", "0.1", "+1e-4", "1", "1e", "e5", "1_0"]
)
def test_numbers_read_as_dvc_reads_them(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.yaml").write_text(f"a: {text}\n")
    ours = read_yaml(tmp_path / "p.yaml")["a"]
    theirs = load_yaml(str(tmp_path / "p.yaml"))["a"]
    assert (ours, type(ours)) == (theirs, type(theirs))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_dvc_writes_is_a_float_to_us(
    tmp_path_factory: pytest.TempPathFactory, value: float
) -> None:
    path = tmp_path_factory.mktemp("params") / "p.yaml"
    path.write_text(f"a: {value!r}\n")
    assert read_yaml(path)["a"] == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [", r"params.yaml:2: "),
        ("a: 2024-13-45", "params.yaml: month must be"),
        ('a: !!int ""', "params.yaml: a value is not what its `!!` tag"),
        ("a: !!bool x", "params.yaml: a value is not what its `!!` tag"),
        ("a: !!timestamp x", "a value is not what its `!!` tag says"),
        ("a: " + "[" * 500, "params.yaml is nested too deeply"),
        ("a: a\0b", "params.yaml: unacceptable character #x0000"),
        ("a: {b: 1,\nb: 2}", r"params.yaml:2: the key b occurs twice"),
        (b"a: \xff", r"params.yaml is not UTF-8 text \(byte 3\)"),
        (None, r"params.yaml not found; run from the root"),
    ],
)
def test_what_is_no_yaml_is_refused_in_one_line(
    tmp_path: Path, text: str | bytes | None, message: str
) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


class Disc(Record):
    shape: Literal["disc"]
    radius: Share


class Square(Record):
    shape: Literal["square"]
    side: int


SHAPE = TypeAdapter[Disc | Square](
    Annotated[Disc | Square, Field(discriminator="shape")]  # type: ignore[arg-type]
)

SHAPES = """
name: 3
shapes:
  round: {shape: disc, radius: 0.5}
  wrong: {shape: disc, radius: 1.5}
  cut: {shape: square}
  odd: {shape: square, side: 2, sides: 2}
  none: {shape: star}
  text: {shape: square, side: "2"}
plain: 7
"""


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(SHAPES)
    return path


def test_a_block_is_read_although_its_neighbours_are_wrong(shapes: Path) -> None:
    assert load_block("shapes.round", SHAPE, path=shapes) == Disc(shape="disc", radius=0.5)
    assert load_block("plain", int, path=shapes) == 7


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("shapes.wrong", "shapes.wrong.radius: found 1.5; input should be less than 1"),
        ("shapes.cut", "missing key shapes.cut.side"),
        ("shapes.odd", "unknown key shapes.odd.sides"),
        ("shapes.none", "shapes.none: found {'shape': 'star'}; input tag 'star'"),
        ("shapes.text", "shapes.text.side: found '2'; input should be a valid integer"),
        ("shapes.absent", "missing key shapes.absent"),
        ("shapes.round.radius.x", "missing key shapes.round.radius.x"),
        ("absent.at.all", "missing key absent"),
    ],
)
def test_a_wrong_key_is_said_with_the_way_from_the_top(
    shapes: Path, key: str, message: str
) -> None:
    with pytest.raises(InputError, match=rf"^{re.escape(f'{shapes}: {message}')}"):
        load_block(key, SHAPE, path=shapes)


def test_a_value_is_never_turned_into_what_was_expected(shapes: Path) -> None:
    with pytest.raises(InputError, match=r"name: found 3; input should be a valid string$"):
        load_block("name", str, path=shapes)
    with pytest.raises(InputError, match="shapes: found"):
        load_file(dict[str, int], path=shapes)


def test_names_of_a_block_come_in_the_files_order(shapes: Path) -> None:
    assert list_names("shapes", path=shapes) == ["round", "wrong", "cut", "odd", "none", "text"]
    assert list_names("plain", path=shapes) == list_names("absent", path=shapes) == []
