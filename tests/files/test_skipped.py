import csv
import json
from pathlib import Path

import pytest

from chestxray14.files.skipped import read_skipped, write_skipped

REASON = 'the dataset lacks "Mass", Ödem'


def test_the_reason_is_read_back_and_stands_in_json_and_tables(tmp_path: Path) -> None:
    model, metrics, table = (tmp_path / n for n in ("m.safetensors", "t.json", "h.csv"))
    write_skipped(REASON, model, metrics, table)
    assert read_skipped(model) == read_skipped(metrics) == read_skipped(table) == REASON
    assert json.loads(metrics.read_text()) == {"skipped": REASON}
    with table.open(newline="") as file:
        assert list(csv.reader(file)) == [["skipped"], [REASON]]


@pytest.mark.parametrize(
    "content",
    [b"", b"skipped\n", b"image,part\n", b'{"auroc": 1}', b'{"skipped": ', bytes(range(256))],
)
def test_anything_else_is_not_skipped(tmp_path: Path, content: bytes) -> None:
    for name in ("x", "x.csv"):
        (tmp_path / name).write_bytes(content)
        assert read_skipped(tmp_path / name) is None
    assert read_skipped(tmp_path / "absent") is None
