"""Finding one's way in finished sections and tables, for the tests of what they say."""

from collections.abc import Sequence

from chestxray14.report.sections import Section
from chestxray14.report.tables import Cell, Table


def find(sections: Sequence[Section], anchor: str) -> Section:
    """Return the one section with this anchor."""
    [section] = [section for section in sections if section.anchor == anchor]
    return section


def words(sections: Sequence[Section]) -> str:
    """Return all sentences of some sections."""
    return " ".join(line for section in sections for line in (*section.text, *section.points))


def column(table: Table, title: str, note: str = "") -> dict[str, Cell]:
    """Return the cells of the one column with this title and start of a note, by row."""
    [place] = [
        i for i, c in enumerate(table.columns) if c.title == title and c.note.startswith(note)
    ]
    return {row.cells[0].text: row.cells[place] for row in table.rows}


def texts(table: Table, title: str, note: str = "") -> list[str]:
    """Return what such a column shows, from top to bottom."""
    [place] = [
        i for i, c in enumerate(table.columns) if c.title == title and c.note.startswith(note)
    ]
    return [row.cells[place].text for row in table.rows]
