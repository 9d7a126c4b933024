import csv
import shutil
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.report.published import System, read_decisions, read_published, why_apart
from chestxray14.scoring.evaluation import AVERAGES

FOLDER = ROOT / "data/published"
PUBLISHED = read_published(FOLDER)
HEADER = "source,title,protocol,selected_on,evidence,finding,auroc"


def system(protocol: str) -> System:
    return System(
        source="x",
        title="X",
        protocol=protocol,
        selected_on="val",
        evidence="primary",
        note="",
        mean=0.8,
        auroc={},
    )


def write_tables(folder: Path, rows: list[str]) -> Path:
    """Make a folder of published tables in which auroc.csv has these rows."""
    shutil.copy(FOLDER / "mean_auroc.csv", folder / "mean_auroc.csv")
    (folder / "auroc.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return folder


def rows_of(source: str) -> list[str]:
    return [f"{source},Title,official,val,primary,{finding},0.75" for finding in FINDINGS]


def test_a_macro_mean_is_the_mean_of_the_14_rows_of_its_source() -> None:
    by_hand: dict[str, list[float]] = {}
    with (FOLDER / "auroc.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            by_hand.setdefault(row["source"], []).append(float(row["auroc"]))
    assert len(by_hand) == 17
    for source, values in by_hand.items():
        assert len(values) == 14
        assert PUBLISHED[source].mean == pytest.approx(sum(values) / 14, abs=1e-12)


@pytest.mark.parametrize(
    ("source", "mean"),
    [
        ("densenet121_step", "0.8454"),
        ("densenet121_step_micro", "0.8878"),
        ("chexnet_2017", "0.8414"),
        ("wang_2017", "0.7381"),
        ("wang_2017_v5", "0.7451"),
        ("resnet50_frozen", "0.9561"),
    ],
)
def test_means_are_those_known_from_the_sources(source: str, mean: str) -> None:
    assert f"{PUBLISHED[source].mean:.4f}" == mean


def test_protocols_fall_into_families_and_an_inferred_one_into_none() -> None:
    families = {entry.protocol: entry.family for entry in PUBLISHED.values()}
    assert families == {
        "official": "official split",
        "random patient": "random patient split",
        "random patient 80/10/10": "random patient split",
        "published lists 78,468/11,219/22,433": "published lists",
        "random patient (inferred)": "other",
        "10,000 train / 500 test images": "other",
        "internal test": "other",
        "not stated": "other",
    }


def test_the_three_regimes_of_one_system_are_found_by_the_names_of_their_recipes() -> None:
    regimes = ("chexnet_untrained", "chexnet_head", "chexnet")
    assert [PUBLISHED[name].mean for name in regimes] == [0.512, 0.531, 0.556]
    assert all(PUBLISHED[name].title.startswith("NIH_Chest_XRay README") for name in regimes)


def test_a_micro_average_is_known_as_one() -> None:
    micro = {source for source, entry in PUBLISHED.items() if entry.micro}
    assert micro == {source for source, entry in PUBLISHED.items() if "micro" in entry.note}
    assert micro == {"densenet121_step_micro"}


def test_the_systems_selected_on_the_test_set_are_known_and_say_so() -> None:
    found = {source for source, entry in PUBLISHED.items() if entry.selected_on_test}
    assert found == {"medical_mae_vitb_2023", "eva_x_b_2025"}
    assert all("TEST SET" in PUBLISHED[source].conditions for source in found)


@given(
    drawn=st.booleans(),
    listed=st.sampled_from([1, 147, 112_119, 112_120, 112_121]),
    left_out=st.sampled_from([0, 1, 100_000]),
    kind=st.sampled_from(["patient", "official", "image", "lists"]),
    protocol=st.sampled_from(sorted({entry.protocol for entry in PUBLISHED.values()})),
)
def test_only_all_of_nih_under_the_same_protocol_compares(
    drawn: bool, listed: int, left_out: int, kind: str, protocol: str
) -> None:
    same = (kind, protocol) in {
        ("patient", "random patient"),
        ("patient", "random patient 80/10/10"),
        ("official", "official"),
    }
    reason = why_apart(system(protocol), drawn=drawn, listed=listed, left_out=left_out, kind=kind)
    assert (reason is None) == (same and listed == 112_120 and not drawn and not left_out)


def test_a_missing_finding_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_tables(tmp_path, rows_of("a")[:-1])
    with pytest.raises(InputError, match=r"auroc\.csv: source a .*Hernia"):
        read_published(folder)


def test_a_repeated_finding_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_tables(tmp_path, [*rows_of("a"), rows_of("a")[0]])
    with pytest.raises(InputError, match=r"source a .*Atelectasis"):
        read_published(folder)


def test_an_auroc_above_one_is_refused_with_its_line(tmp_path: Path) -> None:
    rows = rows_of("a")
    rows[2] = rows[2].replace("0.75", "75")
    with pytest.raises(InputError, match=r"auroc\.csv row 4: auroc: found '75'"):
        read_published(write_tables(tmp_path, rows))


def test_rows_of_one_source_under_two_protocols_are_refused(tmp_path: Path) -> None:
    rows = rows_of("a")
    rows[3] = rows[3].replace("official", "random patient")
    with pytest.raises(InputError, match="source a has rows that differ"):
        read_published(write_tables(tmp_path, rows))


def test_a_source_with_two_means_is_refused(tmp_path: Path) -> None:
    folder = write_tables(tmp_path, rows_of("eva_x_b_2025"))
    with pytest.raises(InputError, match=r"mean_auroc\.csv: source eva_x_b_2025"):
        read_published(folder)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"auroc\.csv: No such file"):
        read_published(tmp_path)


DECISIONS = FOLDER / "precision_recall_f1.csv"
KEYS = ("precision", "recall", "f1")


def write_decisions(folder: Path, *rows: str) -> Path:
    """Make a folder whose precision_recall_f1.csv has these rows."""
    header = "source,title,finding,precision,recall,f1"
    (folder / DECISIONS.name).write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_decisions_are_the_rows_of_the_file_in_its_order() -> None:
    read = read_decisions(FOLDER)
    with DECISIONS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [
        (source, entry.title, name, found.precision, found.recall, found.f1)
        for source, entry in read.items()
        for name, found in entry.decisions.items()
    ] == [
        (row["source"], row["title"], row["finding"], *(float(row[key]) for key in KEYS))
        for row in rows
    ]
    assert len(rows) == 24


@pytest.mark.parametrize("source", ["densenet121_last_block", "torchxrayvision"])
def test_published_decisions_hold_together(source: str) -> None:
    decisions = read_decisions(FOLDER)[source].decisions
    findings = [name for name in decisions if name in FINDINGS]
    assert len(findings) == 8
    assert set(decisions) - set(findings) == set(AVERAGES)
    for name in [*findings, "micro avg"]:
        found = decisions[name]
        harmonic = 2 * found.precision * found.recall / (found.precision + found.recall)
        assert found.f1 == pytest.approx(harmonic, abs=1e-4)
    for key in KEYS:
        mean = sum(getattr(decisions[name], key) for name in findings) / 8
        assert getattr(decisions["macro avg"], key) == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,A,Mass,0.1,0.2,1.3"], r"f1\.csv row 2: f1: found '1.3'"),
        (["a,A,Mass,0.1,nan,0.3"], r"f1\.csv row 2: recall: found 'nan'"),
        (["a,A,Mass,,0.2,0.3"], r"f1\.csv row 2: precision: found ''"),
        (
            ["a,A,Infiltrate,0.1,0.2,0.3"],
            r"f1\.csv row 2: finding: found 'Infiltrate'; .*micro avg",
        ),
        (["a,A,Mass,0.1,0.2,0.3"] * 2, "source a has Mass twice"),
        (
            ["a,A,Mass,0.1,0.2,0.3", "a,B,Edema,0.1,0.2,0.3"],
            "source a has two titles, 'A' and 'B'",
        ),
    ],
)
def test_decisions_that_cannot_be_true_are_refused_in_one_line(
    tmp_path: Path, rows: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_decisions(write_decisions(tmp_path, *rows))
    assert "\n" not in str(raised.value)


def test_a_missing_table_of_decisions_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"precision_recall_f1\.csv: No such file"):
        read_decisions(tmp_path)
