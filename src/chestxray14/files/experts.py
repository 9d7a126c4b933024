"""What radiologists say of images, set by set: the tables that `prepare` hands on."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from chestxray14.files.outputs import read_table, write_text
from chestxray14.files.packed import as_ids

LABEL_COLUMNS = ("image", "patient", "part")
READER_COLUMNS = ("image", "reader", "reference")


@dataclass(frozen=True)
class ExpertSet:
    """The readings of one set of images, `name` being what params.yaml calls it.

    `labels` has a row an image: image, patient (-1 where the set does not say), part (`test` or
    `train_val` of NIH's lists, empty where the set does not say) and the findings as 0 and 1, named
    as NIH names them where it does. `readers` has a row for each reader of each image: image, reader
    (text), reference (1 where the labels were made of this reader's readings too, else 0) and the
    findings as 1, 0 and NaN, where a reader hedged. Its images are all among those of `labels`.
    """

    name: str
    labels: pd.DataFrame
    readers: pd.DataFrame

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings of the set, in the order of its columns."""
        return tuple(str(column) for column in self.labels if column not in LABEL_COLUMNS)

    def restrict(self, images: Iterable[str]) -> "ExpertSet":
        """Return the readings of these images alone."""
        chosen = set(images)
        tables = (t[t["image"].isin(chosen)] for t in (self.labels, self.readers))
        labels, readers = (table.reset_index(drop=True) for table in tables)
        return ExpertSet(self.name, labels, readers)


def write_sets(folder: Path, sets: Iterable[ExpertSet]) -> None:
    """Write `experts.csv` and `readers.csv`: the sets below each other, empty where one has no value."""
    sets = list(sets)
    for file, columns in (("experts", LABEL_COLUMNS), ("readers", READER_COLUMNS)):
        tables = [each.labels if file == "experts" else each.readers for each in sets]
        head = pd.DataFrame(columns=["set", *columns])
        table = pd.concat(
            [head, *(t.assign(set=s.name) for t, s in zip(tables, sets, strict=True))]
        )
        rows = table.to_csv(index=False, float_format="%.0f", lineterminator="\n")
        write_text(folder / f"{file}.csv", rows)


def read_sets(folder: Path) -> list[ExpertSet]:
    """Return the sets that `write_sets` wrote, none of a dataset without experts."""
    labels = read_table(folder / "experts.csv", by="prepare", columns=("set", *LABEL_COLUMNS))
    readers = read_table(folder / "readers.csv", by="prepare", columns=("set", *READER_COLUMNS))
    labels["patient"] = as_ids(labels["patient"])
    labels["part"] = labels["part"].astype(object).fillna("")
    readers["reader"] = readers["reader"].astype(str)
    sets = []
    for name, rows in labels.groupby("set", sort=False):
        own = rows.drop(columns="set").dropna(axis="columns").reset_index(drop=True)
        findings = [column for column in own if column not in LABEL_COLUMNS]
        read = readers.loc[readers["set"] == name].reindex(columns=[*READER_COLUMNS, *findings])
        sets.append(
            ExpertSet(
                str(name),
                own.astype(dict.fromkeys(findings, "int64")),
                read.reset_index(drop=True),
            )
        )
    return sets


def describe_set(experts: ExpertSet) -> dict[str, object]:
    """Return how many images, patients and readers a set has, and images with each finding."""
    return {
        "images": len(experts.labels),
        "patients": int(experts.labels["patient"].nunique()),
        "readers": int(experts.readers["reader"].nunique()),
        "positives": {finding: int(experts.labels[finding].sum()) for finding in experts.findings},
    }
