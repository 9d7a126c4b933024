from pathlib import Path

import pytest
from pydantic import BaseModel

from chestxray14.base.errors import InputError
from chestxray14.files.records import read_record, read_rows


class Counted(BaseModel):
    name: str
    images: int


def test_a_record_is_returned_or_its_first_wrong_key_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(InputError, match=r"a\.json: No such file.*; the split stage writes it$"):
        read_record(path, Counted, by="split")
    path.write_text('{"name": "a", "images": 3}')
    assert read_record(path, Counted, by="split") == Counted(name="a", images=3)
    path.write_text('{"name": "a", "images": "many"}')
    with pytest.raises(InputError, match=r"a\.json: images: .*found 'many'; the split stage"):
        read_record(path, Counted, by="split")
    path.write_text('{"name": "a"}')
    with pytest.raises(InputError, match=r"a\.json: images: Field required; the split stage"):
        read_record(path, Counted, by="split")
    path.write_bytes(b"\xff{}")
    with pytest.raises(InputError, match=r"a\.json: not UTF-8 text"):
        read_record(path, Counted, by="split")


def test_rows_are_returned_or_a_wrong_ones_line_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,images\na,1\nb,2\n")
    expected = (Counted(name="a", images=1), Counted(name="b", images=2))
    assert read_rows(path, Counted, by="train") == expected
    path.write_text("name,images\na,1\nb,two\n")
    with pytest.raises(InputError, match=r"a\.csv:3: images: .*found 'two'; the train stage"):
        read_rows(path, Counted, by="train")
