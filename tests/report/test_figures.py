import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from fake_run import estimate, make_curves, make_history
from matplotlib.figure import Figure

from chestxray14.base.findings import FINDINGS
from chestxray14.report.curves import (
    draw_curves,
    draw_lines,
    draw_losses,
)
from chestxray14.report.figures import (
    Dot,
    draw_by_finding,
    draw_intervals,
    draw_matrix,
    draw_published,
)
from chestxray14.report.published import System
from chestxray14.report.svg import SERIES, to_svg
from chestxray14.scoring.evaluation import Estimate

SVG = "{http://www.w3.org/2000/svg}"
HISTORY = make_history()
CURVES = make_curves(FINDINGS)
NAMES = ("false positives", "true positives")


def make_system(title: str, mean: float) -> System:
    said = {"protocol": "official", "selected_on": "test", "evidence": "primary"}
    return System(source=title, title=title, mean_auroc=mean, **said)


DRAWN: dict[str, Callable[[], Figure]] = {
    "intervals": lambda: draw_intervals(
        [Dot("a_recipe", estimate(0.7), "lead"), Dot("other", estimate(0.6))],
        about="AUROC",
    ),
    "by finding": lambda: draw_by_finding(
        {"a_recipe": dict.fromkeys(FINDINGS, estimate(0.7))},
        others=[dict.fromkeys(FINDINGS, 0.6)],
        findings=FINDINGS,
        about="AUROC",
        chance=0.5,
    ),
    "published": lambda: draw_published(
        {"official split": [make_system("b, a network", 0.81), make_system("a", 0.8)]}
    ),
    "curves": lambda: draw_curves(CURVES["roc"], axes_names=NAMES, chance=None),
    "matrix": lambda: draw_matrix(
        np.array([[0.5, np.nan], [0.25, 1]]), findings=("Mass", "Nodule")
    ),
    "lines": lambda: draw_lines(
        {"a_recipe": (HISTORY["epoch"], HISTORY["val_auroc"])}, axes_names=NAMES, diagonal=True
    ),
    "losses": lambda: draw_losses({"a_recipe": HISTORY}),
}


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_one_labelled_image_the_same_bytes_again(name: str) -> None:
    svg = to_svg(DRAWN[name](), '<b onload="x">&')
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == '<b onload="x">&'
    assert "<b" not in svg
    assert svg == to_svg(DRAWN[name](), '<b onload="x">&')


@pytest.mark.parametrize("name", DRAWN)
def test_every_colour_may_be_replaced_by_the_page(name: str) -> None:
    svg = to_svg(DRAWN[name](), "T")
    drawn = re.findall(r"#[0-9a-f]{6}\b", svg)
    assert drawn
    assert len(drawn) == len(re.findall(r"var\(--[\w-]+, #[0-9a-f]{6}\)", svg))


def test_two_figures_on_a_page_share_no_id() -> None:
    ids = [
        set(re.findall(r'\bid="([^"]+)"', to_svg(DRAWN["by finding"](), title)))
        for title in ("one", "two")
    ]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_rows_and_lines_are_named_in_order_and_a_heading_has_no_dot() -> None:
    dots = [
        Dot("split patient", None, "heading"),
        Dot("first $x$", estimate(0.7), "lead", floor=0.55),
        Dot("second", Estimate(value=0.6), floor=0.57),
        Dot("leak", estimate(0.9), "apart"),
    ]
    svg = to_svg(draw_intervals(dots, about="AUROC"), "T")
    found = texts(svg)
    rows = [text for text in found if text in {dot.label for dot in dots}]
    assert rows == [dot.label for dot in dots]
    assert [found.count(line) for line in ("chance", "metadata alone")] == [1, 1]
    # The leader alone is in its colour: its line and its dot.
    assert SERIES[0] in svg


def test_a_finding_that_a_network_lacks_has_no_dot() -> None:
    def draw(findings: tuple[str, ...]) -> int:
        shown = {"a": dict.fromkeys(findings, Estimate(value=0.7))}
        figure = draw_by_finding(shown, findings=FINDINGS, about="")
        return to_svg(figure, "T").count("<use")

    assert draw(FINDINGS) - draw(FINDINGS[:5]) == 9


def test_a_matrix_has_the_share_in_percent_and_nothing_where_none_is_labelled() -> None:
    found = texts(to_svg(DRAWN["matrix"](), "T"))
    assert {"50", "25", "100"} <= set(found)
    assert "nan" not in found


def test_curves_have_a_panel_a_finding() -> None:
    svg = to_svg(DRAWN["curves"](), "T")
    assert {finding.replace("_", " ") for finding in FINDINGS} <= set(texts(svg))


def test_points_stand_in_the_panel_of_their_finding() -> None:
    points = {"Mass": {"reader 8": (0.1, 0.5)}}
    figure = draw_curves(CURVES["roc"], axes_names=NAMES, points=points)
    found = {
        panel.get_title(loc="left"): line.get_xydata().tolist()
        for panel in figure.axes
        for line in panel.lines
        if line.get_marker() != "None" and len(line.get_xydata())
    }
    assert found == {"Mass": [[0.1, 0.5]]}
    assert "reader 8" in texts(to_svg(figure, "T"))


def test_of_published_numbers_the_highest_is_named() -> None:
    found = texts(to_svg(DRAWN["published"](), "T"))
    assert "b" in found
    assert "a" not in found
    assert "official split" in found
