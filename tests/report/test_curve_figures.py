import re
import subprocess
import sys
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from svg import SVG, texts

from chestxray14.base.findings import FINDINGS
from chestxray14.report.curve_figures import draw_curves, draw_reliability
from chestxray14.report.figures import COLOURS, SERIES

NAMES = ["first", "second"]
PREVALENCE = dict.fromkeys(FINDINGS, 0.25)
CORNERS = [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]
RELIABILITY = pd.DataFrame(
    {
        "calibration": ["as predicted"] * 3 + ["after Platt"] * 3,
        "predicted": [0.1, 0.2, 0.4, 0.05, 0.1, 0.2],
        "observed": [0.05, 0.1, 0.2, 0.05, 0.1, 0.2],
        "labels": [400, 100, 100, 400, 100, 100],
    }
)


def roc_table(*findings: str) -> pd.DataFrame:
    rows = [(finding, *corner) for finding in findings for corner in CORNERS]
    return pd.DataFrame(rows, columns=["finding", "false_positive_rate", "true_positive_rate"])


TABLES = {"first": roc_table("Mass", "Edema"), "second": roc_table("Mass")}


def draw(tables: dict[str, pd.DataFrame] = TABLES, *, title: str = "ROC") -> str:
    return draw_curves(
        tables, kind="roc", findings=FINDINGS, names=NAMES, prevalence=PREVALENCE, title=title
    )


def draw_precision(prevalence: float, *, precision: float) -> str:
    table = pd.DataFrame(
        {"finding": "Mass", "recall": [0.0, 1.0], "precision": [precision, precision]}
    )
    return draw_curves(
        {"first": table},
        kind="precision_recall",
        findings=FINDINGS,
        names=NAMES,
        prevalence={"Mass": prevalence},
        title="PR",
    )


def styled(svg: str, what: str, *, closed: bool = False) -> Iterator[list[tuple[float, float]]]:
    """Yield the points of each line, or closed shape, whose style has `what` in it."""
    for node in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        path = node.get("d", "")
        if what in node.get("style", "") and path.lower().endswith("z") == closed:
            numbers = [float(number) for number in re.findall(r"-?[\d.]+", path)]
            yield list(zip(numbers[::2], numbers[1::2], strict=True))


def lines(svg: str, colour: str) -> list[list[tuple[float, float]]]:
    """List the lines of a colour, without those in the legend, which stand on top."""
    found = styled(svg, f"stroke: var(--{COLOURS[colour]}, {colour})")
    height = float(ElementTree.fromstring(svg).get("viewBox", "").split()[3])
    return [line for line in found if len(line) > 1 and max(y for _, y in line) > 0.2 * height]


def test_a_finding_has_a_panel_where_a_recipe_has_it_and_else_none() -> None:
    found = texts(draw())
    assert [finding for finding in FINDINGS if finding in found] == ["Mass", "Edema"]
    assert len(lines(draw(), SERIES[0])) == 2
    assert len(lines(draw(), SERIES[1])) == 1


def test_a_recipe_keeps_its_colour_when_drawn_alone() -> None:
    svg = draw({"second": TABLES["second"]})
    assert SERIES[0] not in svg
    assert len(lines(svg, SERIES[1])) == 1
    svg = draw_reliability({"second": RELIABILITY}, names=NAMES, title="R")
    assert SERIES[0] not in svg
    assert SERIES[1] in svg


def test_a_line_goes_through_its_points_in_a_square_panel_that_chance_crosses() -> None:
    svg = draw({"first": roc_table("Mass")})
    [chance] = [line for line in styled(svg, "stroke-dasharray") if len(line) == 2]
    (left, bottom), (right, top) = chance
    side = right - left
    assert bottom - top == pytest.approx(side, abs=0.2)
    [line] = lines(svg, SERIES[0])
    expected = [(left + x * side, bottom - y * side) for x, y in CORNERS]
    corners = list(dict.fromkeys(line))
    assert np.array(corners) == pytest.approx(np.array(expected), abs=0.2)


def test_chance_in_precision_is_the_prevalence() -> None:
    # A recipe whose precision is the prevalence lies on the dotted line, and another does not.
    for precision, gap in ((0.25, 0.0), (0.75, 0.5)):
        svg = draw_precision(0.25, precision=precision)
        [chance] = styled(svg, "stroke-dasharray")
        [line] = lines(svg, SERIES[0])
        side = chance[1][0] - chance[0][0]
        assert chance[0][1] == chance[1][1]
        assert chance[0][1] - line[0][1] == pytest.approx(gap * side, abs=0.2)


def test_marks_of_nine_recipes_do_not_meet_on_one_line() -> None:
    names = [f"recipe_{number}" for number in range(9)]
    rate = np.linspace(0, 1, 101)
    table = pd.DataFrame(
        {"finding": "Mass", "false_positive_rate": rate, "true_positive_rate": rate}
    )
    svg = draw_curves(
        dict.fromkeys(names, table),
        kind="roc",
        findings=FINDINGS,
        names=names,
        prevalence=PREVALENCE,
        title="T",
    )
    uses = [
        (float(use.get("x", "")), float(use.get("y", "")))
        for use in ElementTree.fromstring(svg).iter(f"{SVG}use")
        if any(colour in use.get("style", "") for colour in SERIES)
    ]
    marks = sorted(uses, key=lambda place: place[1])[9:]
    assert len(marks) == 9
    places = sorted(x for x, _ in marks)
    # In points; a mark is 3.5 wide.
    assert min(np.diff(places)) > 5


@pytest.mark.parametrize("kind", ["roc", "precision_recall"])
def test_nine_recipes_of_fourteen_jagged_curves_stay_below_300_kilobytes(kind: str) -> None:
    rng = np.random.default_rng(0)
    names = [f"recipe_{number}" for number in range(9)]
    columns = {
        "roc": ("false_positive_rate", "true_positive_rate"),
        "precision_recall": ("recall", "precision"),
    }[kind]
    tables = {
        name: pd.concat(
            [
                pd.DataFrame(np.sort(rng.random((101, 2)), axis=0), columns=list(columns)).assign(
                    finding=finding
                )
                for finding in FINDINGS
            ]
        )
        for name in names
    }
    svg = draw_curves(
        tables,
        kind="roc" if kind == "roc" else "precision_recall",
        findings=FINDINGS,
        names=names,
        prevalence=PREVALENCE,
        title="T",
    )
    assert len(svg.encode()) < 300_000
    assert sum(len(lines(svg, colour)) for colour in SERIES) == 9 * 14


def test_reliability_has_a_panel_a_recipe_with_both_series() -> None:
    svg = draw_reliability(dict.fromkeys(NAMES, RELIABILITY), names=NAMES, title="R")
    assert {"first", "second", "as predicted", "after Platt"} <= set(texts(svg))
    for colour in SERIES[:2]:
        drawn = lines(svg, colour)
        assert len(drawn) == 2
        assert [line in list(styled(svg, "stroke-dasharray")) for line in drawn] == [True, False]


def test_reliability_without_platt_names_and_draws_one_series() -> None:
    raw = RELIABILITY[RELIABILITY["calibration"] == "as predicted"]
    svg = draw_reliability({"first": raw}, names=NAMES, title="R")
    assert "as predicted" in texts(svg)
    assert "after Platt" not in texts(svg)
    assert len(lines(svg, SERIES[0])) == 1


def test_reliability_is_drawn_as_far_as_the_probabilities_go() -> None:
    found = texts(draw_reliability({"first": RELIABILITY}, names=NAMES, title="R"))
    assert found.count("0.4") == 2
    assert "1" not in found


def test_a_bin_of_more_labels_has_a_larger_mark() -> None:
    svg = draw_reliability({"first": RELIABILITY}, names=NAMES, title="R")
    marks = styled(svg, f"stroke: var(--series-1, {SERIES[0]})", closed=True)
    sizes = [max(x for x, _ in mark) - min(x for x, _ in mark) for mark in marks]
    # Areas of 30 for 400 labels and 17.5 for 100, and two calibrations.
    assert len(sizes) == 6
    assert max(sizes) / min(sizes) == pytest.approx(np.sqrt(30 / 17.5), rel=0.05)


def test_where_there_is_nothing_to_draw_the_text_is_empty() -> None:
    assert draw({}) == ""
    assert draw({"first": roc_table()}) == ""
    assert draw_reliability({"first": RELIABILITY[:0]}, names=NAMES, title="R") == ""


def test_the_bytes_do_not_depend_on_the_process_and_colours_may_be_replaced() -> None:
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; import test_curve_figures as t;"
        "sys.stdout.write(t.draw() + t.draw_reliability({'first': t.RELIABILITY},"
        "names=t.NAMES, title='R')); assert 'matplotlib.pyplot' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(ROOT / "tests"), str(ROOT / "tests/report")]
    other = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    svg = draw() + draw_reliability({"first": RELIABILITY}, names=NAMES, title="R")
    assert other == svg
    drawn = re.findall(r"#[0-9a-f]{6}\b", svg)
    assert drawn
    assert len(drawn) == len(re.findall(r"var\(--[\w-]+, #[0-9a-f]{6}\)", svg))


def test_a_figure_is_one_labelled_image_and_two_share_no_id() -> None:
    figures = [draw(title="one & only"), draw(title="two")]
    root = ElementTree.fromstring(figures[0])
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.findtext(f"{SVG}title") == "one & only"
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in figures]
    assert ids[0]
    assert not ids[0] & ids[1]
