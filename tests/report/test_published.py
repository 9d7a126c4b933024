import csv
import dataclasses
import shutil
from pathlib import Path

import pytest
from conftest import ROOT
from fake_extras import make_localization
from fake_run import PUBLISHED, Kind, Source, make_prepared, make_run
from hypothesis import given
from hypothesis import strategies as st

from chestxray14.base.errors import InputError
from chestxray14.base.findings import BOXED_FINDINGS, FINDINGS
from chestxray14.report.published import System, compares, read_published

FOLDER = ROOT / "data/published"
SYSTEMS = PUBLISHED.systems
IMPLAUSIBLE = "primary, implausible as a macro AUROC"
RUNS = {kind: make_run(kind=kind) for kind in ("patient", "official", "image", "lists")}


def system(protocol: str, evidence: str = "primary") -> System:
    return System(
        source="x",
        title="X",
        protocol=protocol,
        selected_on="val",
        evidence=evidence,
        mean_auroc=0.8,
    )


def write_tables(folder: Path, **rows: list[str]) -> Path:
    """Copy the published tables, one of them with other rows."""
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    for name, lines in rows.items():
        header = (FOLDER / f"{name}.csv").read_text().splitlines()[0]
        (folder / f"{name}.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder


def test_a_macro_mean_is_the_mean_of_the_14_rows_of_its_source() -> None:
    by_hand: dict[str, dict[str, float]] = {}
    with (FOLDER / "auroc.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            by_hand.setdefault(row["source"], {})[row["finding"]] = float(row["auroc"])
    assert len(by_hand) == 17
    for source, values in by_hand.items():
        assert sorted(values) == sorted(FINDINGS)
        assert SYSTEMS[source].mean_auroc == pytest.approx(sum(values.values()) / 14, abs=1e-6)


@pytest.mark.parametrize(
    ("source", "mean", "family"),
    [
        ("densenet121_step", "0.8454", "random patient split"),
        ("chexnet_2017", "0.8414", "random patient split"),
        # Their sources do not say whether patients or images were drawn.
        ("wang_2017", "0.7381", "other"),
        ("yao_2017", "0.8027", "other"),
        ("agcnn_2018", "0.8710", "other"),
        # A mean over 15 columns, No Finding among them.
        ("csc490_ensemble", "0.8565", "other"),
        ("wang_2017_v5", "0.7451", "official split"),
        ("ark_2023", "0.8290", "official split"),
        ("yzaza_swin_t_2026", "0.8184", "official split"),
        ("mrm_2023", "0.8590", "published lists"),
        ("refers_2022", "0.8470", "published lists"),
        ("resnet50_frozen", "0.9561", "other"),
    ],
)
def test_means_and_protocols_are_those_known_from_the_sources(
    source: str, mean: str, family: str
) -> None:
    assert f"{SYSTEMS[source].mean_auroc:.4f}" == mean
    assert SYSTEMS[source].family == family


def test_a_micro_average_is_known_as_one() -> None:
    micro = {source for source, entry in SYSTEMS.items() if entry.micro}
    assert micro == {source for source, entry in SYSTEMS.items() if "micro" in entry.note}


def test_what_makes_a_number_doubtful_is_said_with_its_protocol() -> None:
    chosen = {source for source, entry in SYSTEMS.items() if entry.selected_on_test}
    assert chosen == {"medical_mae_vitb_2023", "eva_x_b_2025"}
    assert all("TEST SET" in SYSTEMS[source].conditions for source in chosen)
    assert "implausible" in SYSTEMS["resnet50_frozen"].conditions


@given(
    source=st.sampled_from(["phantom", "kaggle", "folder", "table"]),
    listed=st.sampled_from([147, 112_119, 112_120, 112_121]),
    kind=st.sampled_from(list(RUNS)),
    protocol=st.sampled_from(sorted({entry.protocol for entry in SYSTEMS.values()})),
)
def test_only_all_of_nih_under_the_same_protocol_compares(
    source: Source, listed: int, kind: Kind, protocol: str
) -> None:
    same = (kind, protocol) in {
        ("patient", "random patient"),
        ("patient", "random patient 80/10/10"),
        ("official", "official"),
    }
    prepared = make_prepared(source, listed=listed)
    expected = same and listed == 112_120 and source not in ("phantom", "table")
    assert compares(system(protocol), run=RUNS[kind], prepared=prepared) is expected
    assert not compares(system(protocol, IMPLAUSIBLE), run=RUNS[kind], prepared=prepared)


def test_a_split_that_leaves_images_out_compares_with_nothing() -> None:
    run, whole = RUNS["patient"], make_prepared("kaggle")
    assert compares(system("random patient"), run=run, prepared=whole)
    prepared = whole.model_copy(update={"images": 112_120, "rejected": 0})
    assert not compares(system("random patient"), run=run, prepared=prepared)


def test_a_run_of_fewer_findings_or_from_elsewhere_has_no_mean_beside_it() -> None:
    nih = make_prepared("kaggle")
    assert "chexnet_2017" in {s.source for s in PUBLISHED.comparable(RUNS["patient"], nih)}
    assert not PUBLISHED.comparable(make_run(findings=FINDINGS[:8]), nih)
    assert not PUBLISHED.comparable(make_run(pretrained="nih"), nih)


def test_published_decisions_are_the_macro_means_of_their_findings() -> None:
    rows: dict[str, list[list[float]]] = {}
    with (FOLDER / "precision_recall_f1.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["finding"] in FINDINGS:
                numbers = [float(row[key]) for key in ("precision", "recall", "f1")]
                rows.setdefault(row["source"], []).append(numbers)
    assert set(rows) == set(PUBLISHED.decisions)
    for source, told in PUBLISHED.decisions.items():
        means = [sum(column) / 8 for column in zip(*rows[source], strict=True)]
        assert told == pytest.approx(means, abs=1e-4)


def test_published_boxes_are_all_of_nihs_and_wang_found_what_his_table_says() -> None:
    assert {rows[0].dataset for rows in PUBLISHED.boxes.values()} == {
        "ChestX-ray14",
        "ChestX-ray8",
    }
    for rows in PUBLISHED.boxes.values():
        assert sorted(row.finding for row in rows) == sorted(BOXED_FINDINGS)
    wang = {row.finding: row for row in PUBLISHED.boxes["Wang et al. 2017 Table 19"]}
    assert sum(row.boxes for row in wang.values()) == 984
    assert wang["Cardiomegaly"].accuracy == 0.9863


def test_published_boxes_stand_beside_a_run_that_counts_the_same_ones_on_the_official_list() -> (
    None
):
    table = "Wang et al. 2017 Table 19"
    wang = PUBLISHED.boxes[table]
    nih = make_prepared("kaggle")
    run = RUNS["official"]
    found = make_localization(run.split.test.sha256)
    counts = {
        row.finding: found.findings["Mass"].model_copy(update={"boxes": row.boxes}) for row in wang
    }
    same = dataclasses.replace(run, localization=found.model_copy(update={"findings": counts}))
    mean = sum(row.accuracy for row in wang) / 8
    assert PUBLISHED.comparable_boxes(same, nih) == {table: pytest.approx(mean)}
    assert not PUBLISHED.comparable_boxes(same, make_prepared())
    assert not PUBLISHED.comparable_boxes(dataclasses.replace(run, localization=found), nih)
    assert not PUBLISHED.comparable_boxes(run, nih)


def test_a_name_ends_where_its_description_begins() -> None:
    titles = "Wang et al. 2017, ResNet-50, Table 17", "zoogzog/chexnet README (DenseNet-121)"
    named = [system("official").model_copy(update={"title": title}).name for title in titles]
    assert named == ["Wang et al. 2017", "zoogzog/chexnet"]


BOX = "wang_2017,T,ChestX-ray14,IoBB,0.25,{},10,0.5,1"


@pytest.mark.parametrize(
    ("table", "rows", "message"),
    [
        (
            "systems",
            ["a,T,official,val,primary,75,"],
            r"systems\.csv row 2: mean_auroc: found '75'",
        ),
        ("systems", ["a,T,official,val,primary,nan,"], r"row 2: mean_auroc: found 'nan'"),
        ("systems", ["a,T,official,val,primary,0.7,"] * 2, "source a occurs twice"),
        ("systems", ["a,T,official,TEST,primary,0.7,"], r"row 2: selected_on: found 'TEST'"),
        ("systems", ["a,T,official,val,Implausible,0.7,"], "evidence: found 'Implausible'"),
        ("precision_recall_f1", ["a,A,Mass,0.1,0.2,1.3"], r"f1\.csv row 2: f1: found '1.3'"),
        ("precision_recall_f1", ["a,A,macro avg,0.1,0.2,0.3"] * 2, "macro avg of a occurs twice"),
        ("localization", [BOX.format("Infiltrate")], r"localization\.csv row 2: finding"),
        ("localization", [BOX.format("Mass")], "T at 0.25 must have each of the 8"),
        (
            "localization",
            [BOX.format(finding) for finding in (*BOXED_FINDINGS, "Mass")],
            "repeated: Mass",
        ),
        ("localization", [BOX.format("Mass").replace("wang_2017", "who")], "source who"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    tmp_path: Path, table: str, rows: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_published(write_tables(tmp_path, **{table: rows}))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("table", ["systems", "precision_recall_f1", "localization"])
def test_a_missing_table_is_named(tmp_path: Path, table: str) -> None:
    folder = write_tables(tmp_path)
    (folder / f"{table}.csv").unlink()
    with pytest.raises(InputError, match=rf"{table}\.csv: No such file"):
        read_published(folder)
