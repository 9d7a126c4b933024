from pathlib import Path

import pytest
from pydantic import BaseModel

from chestxray14.base.errors import InputError
from chestxray14.files.records import read_record


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
