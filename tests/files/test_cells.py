import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chestxray14.base.errors import InputError
from chestxray14.files.cells import read_cells

CELL = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=5)


@given(st.lists(st.tuples(CELL, CELL), max_size=5))
def test_what_the_csv_module_writes_is_read_back(rows: list[tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("a", "b"), *rows])
    table = read_cells(file.getvalue().encode(), name="file")
    assert table.columns.tolist() == ["a", "b"]
    assert list(table.itertuples(index=False, name=None)) == [
        (first.strip(), second.strip()) for first, second in rows
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("a,b\n1,2\n", "a,b,\r\n1,2\r\n", "a,b\n1,2,\n", "\ufeffa,b\n1,2"),
        *("a,,b,\n1,junk,2,junk\n", ",a,b,,\n0,1,2\n"),
    ],
)
def test_what_has_no_name_is_no_column(text: str) -> None:
    assert read_cells(text.encode(), name="file").to_dict("list") == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n1\n", "file row 3: found 1 cells, expected 2"),
        ("a,b\n1,2,3\n", "file row 2: found 3 cells, expected 2"),
        ("a,b\n\n1,2\n", "file row 2: found 0 cells, expected 2"),
        ("a, a\n1,2\n", "file has two columns named 'a'"),
        ("\n", "file is not a table: it is empty"),
    ],
)
def test_a_ragged_table_is_refused_with_its_row(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_cells(text.encode(), name="file")
