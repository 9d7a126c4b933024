"""A page as a browser would see it."""

from collections import defaultdict
from html.parser import HTMLParser


class Page(HTMLParser):
    """Tags, attributes, words and tables, what is folded away apart; whether all is closed.

    `tables` are by caption: a row is a cell's text, its note after it, by the head of its column.
    `sections` are the words of each, by id.
    """

    VOID = frozenset({"meta", "wbr", "path", "use", "rect", "img", "option"})
    UNREAD = frozenset({"style", "script", "svg", "title"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str]]] = []
        self.visible: list[str] = []
        self.words = 0
        self.sections: dict[str, str] = defaultdict(str)
        self.tables: dict[str, list[dict[str, str]]] = {}
        self._section = ""
        self._cells: list[list[str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if "details" not in self.open:
            self.visible.append(tag)
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
        if tag == "figcaption":
            self._cells = [[""]]
        elif tag == "tr":
            self._cells.append([])
        elif tag in ("th", "td"):
            self._cells[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        assert self.open.pop() == tag
        if tag == "table":
            [caption], heads, *rows = self._cells
            self.tables[caption] = [dict(zip(heads, row, strict=True)) for row in rows]

    def handle_data(self, data: str) -> None:
        if self.UNREAD & set(self.open):
            return
        if "details" not in self.open:
            self.words += len(data.split())
        self.sections[self._section] += data
        if {"figcaption", "th", "td"} & set(self.open):
            self._cells[-1][-1] += data

    def all(self, name: str) -> list[str]:
        return [named[name] for _, named in self.attributes if name in named]
