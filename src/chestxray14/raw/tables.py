"""Which of a dataset's files are NIH's tables, under the names that circulate."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from chestxray14.base.errors import InputError, name_some
from chestxray14.files.names import is_image, spell
from chestxray14.raw.archive import Archive

_NAMES = {
    "boxes": re.compile(r"bbox(es)?(list)?(2017)?(official|nih|copy|\d)*\.csv"),
    "train_val": re.compile(r"train(and)?val(idation)?list(official|nih|copy|\d)*\.txt"),
    "test": re.compile(r"testlist(official|nih|copy|\d)*\.txt"),
}
"""A name in small letters and digits, as `BBox_List_2017_Official_NIH.csv` is `bboxlist2017...csv`."""

_LIKE = re.compile(r"bbox|list|entry|label|train|val|test")


@dataclass(frozen=True)
class Tables:
    """The names of a dataset's tables; boxes and the official lists may be absent.

    `labels` is None where they are in a table of somebody's own.
    """

    labels: str | None
    boxes: str | None
    train_val: str | None
    test: str | None

    @property
    def names(self) -> list[str]:
        """Those that are there."""
        found = (self.labels, self.boxes, self.train_val, self.test)
        return [name for name in found if name is not None]


def find_tables(archive: Archive, *, labels: str | None, images: bool = True) -> Tables:
    """Return which files are read as what; `labels` is the label file's name.

    `images` says whether radiographs must be there too, which may lie elsewhere.

    Of several that have a table's name the shortest is read, NIH's own. Raises `InputError` where
    there is no image or no such label file, saying what there is.
    """
    if images and not archive.images:
        raise InputError(
            f"{archive.path} holds no PNG or JPEG; found {archive.describe_content()}"
        )
    if labels is not None and labels not in archive:
        raise InputError(
            f"{archive.path} holds no label file named {labels}; found "
            f"{archive.describe_content()}; say which in params.yaml, `labels` of the dataset"
        )

    def find(role: str) -> str | None:
        named = [name for name in archive.tables if _NAMES[role].fullmatch(_plain(name))]
        return min(named, key=lambda name: (len(name), name), default=None)

    return Tables(labels, boxes=find("boxes"), train_val=find("train_val"), test=find("test"))


def list_oddities(archive: Archive, tables: Tables) -> list[str]:
    """Return a line for each kind of table that is absent, and one for those that are not read."""
    lines = []
    if tables.boxes is None:
        lines.append("no boxes: it has no file named like BBox_List_2017.csv")
    lists = {"train_val_list.txt": tables.train_val, "test_list.txt": tables.test}
    if absent := [name for name, found in lists.items() if found is None]:
        lines.append(f"no official split: it has no file named like {' or '.join(absent)}")
    rest = sorted(set(archive.tables) - {spell(name) for name in tables.names})
    if unread := [name for name in rest if _is_like_ours(archive, name)]:
        lines.append(f"not read, though like NIH's tables: {name_some(unread, most=8)}")
    return lines


def _plain(name: str) -> str:
    path = PurePosixPath(name.lower())
    return re.sub(r"[\W_]+", "", path.stem) + path.suffix


def _is_like_ours(archive: Archive, name: str) -> bool:
    """Tell by its name, or by a first line that names an image or the column of images."""
    if _LIKE.search(name.lower()):
        return True
    try:
        line = archive.read_line(name).lower().lstrip('"')
    except InputError:
        return False
    return line.startswith("image") or is_image(re.split(r'[",;\t ]', line)[0])
