import json
from pathlib import Path

import pytest

from chestxray14.base.errors import InputError
from chestxray14.files.outputs import read_table, write_json


def test_what_is_absent_or_damaged_is_named_with_its_stage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv not found; run the split stage"):
        read_table(tmp_path / "a.csv", by="split", columns=())
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(InputError, match=r"a\.csv is no table"):
        read_table(tmp_path / "a.csv", by="split", columns=())
    (tmp_path / "a.csv").write_text("image,part\n")
    with pytest.raises(InputError, match=r"a\.csv lacks the column 'row'"):
        read_table(tmp_path / "a.csv", by="split", columns=("image", "row"))


def test_what_is_there_is_returned(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,part\na.png,val\n")
    assert read_table(tmp_path / "a.csv", by="split", columns=("part",))["part"].tolist() == [
        "val"
    ]


def test_a_name_stays_text_whatever_it_looks_like(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,age\n007,3\nNA,\n1e5,4\n")
    table = read_table(tmp_path / "a.csv", by="prepare", columns=("image",))
    assert table["image"].tolist() == ["007", "NA", "1e5"]
    assert table["age"].isna().tolist() == [False, True, False]


def test_a_written_file_never_changes_the_cache_it_is_linked_to(tmp_path: Path) -> None:
    cache, output = tmp_path / "cache", tmp_path / "metrics" / "a.json"
    cache.write_text("old")
    cache.chmod(0o444)
    output.parent.mkdir()
    output.hardlink_to(cache)
    write_json(output, {"images": 3})
    assert cache.read_text() == "old"
    assert json.loads(output.read_text()) == {"images": 3}
    assert [file.name for file in output.parent.iterdir()] == ["a.json"]


def test_no_metric_is_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"auroc": float("nan")})
