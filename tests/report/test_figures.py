import math
import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
from conftest import ROOT
from matplotlib.figure import Figure
from svg import SVG, marks, texts

from chestxray14.base.findings import FINDINGS
from chestxray14.report.figures import (
    COLOURS,
    SERIES,
    STYLE,
    draw_auroc,
    draw_training,
    look,
    to_svg,
)

OURS = {"first": dict.fromkeys(FINDINGS, 0.7), "second": dict.fromkeys(FINDINGS[:5], 0.8)}
REFERENCES = {"Published 2017": dict.fromkeys(FINDINGS, 0.75)}
HISTORY: dict[str, list[float]] = {
    "epoch": [1, 2, 3],
    "train_loss": [0.5, 0.4, 0.3],
    "val_loss": [0.6, 0.5, 0.55],
    "val_auroc": [math.nan, 0.6, 0.65],
    "lr": [1e-3, 1e-3, 1e-4],
}


def draw(
    ours: dict[str, dict[str, float]] = OURS,
    references: dict[str, dict[str, float]] = REFERENCES,
    *,
    title: str = "AUROC by finding",
) -> str:
    return draw_auroc(ours, references, findings=FINDINGS, names=["first", "second"], title=title)


def test_a_scored_finding_has_one_dot_and_another_has_none() -> None:
    svg = draw()
    assert marks(svg, SERIES[0]) == 14
    assert marks(svg, SERIES[1]) == 5


def test_text_stays_text_and_names_every_finding_recipe_and_reference() -> None:
    found = texts(draw())
    named = {finding.replace("_", " ") for finding in FINDINGS}
    assert named | {"first", "second", "Published 2017"} <= set(found)
    assert {"Learning rate, all recipes", "Validation macro AUROC, all recipes", "first"} <= set(
        texts(draw_training({"first": HISTORY}, title="Training"))
    )


def test_without_references_none_is_drawn() -> None:
    assert "Published 2017" not in texts(draw(references={}))


def test_a_recipe_keeps_its_colour_when_drawn_alone() -> None:
    svg = draw({"second": OURS["second"]}, {})
    assert marks(svg, SERIES[1]) == 5
    assert SERIES[0] not in svg


def test_the_bytes_do_not_depend_on_the_process() -> None:
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; import test_figures as t;"
        "sys.stdout.buffer.write((t.draw() + t.draw_training({'a': t.HISTORY}, title='T'))"
        ".encode()); assert 'matplotlib.pyplot' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(ROOT / "tests"), str(ROOT / "tests/report")]
    other = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert other == draw() + draw_training({"a": HISTORY}, title="T")
    assert "date" not in other.lower().replace("validation", "")


def test_every_colour_may_be_replaced_by_the_page() -> None:
    svg = draw() + draw_training({"a": HISTORY}, title="T")
    drawn = re.findall(r"#[0-9a-f]{6}\b", svg)
    assert drawn
    assert len(drawn) == len(re.findall(r"var\(--[\w-]+, #[0-9a-f]{6}\)", svg))


def test_a_figure_is_one_labelled_image_whose_title_is_escaped() -> None:
    svg = draw(title='<b onload="x">&')
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == '<b onload="x">&'
    assert root.findtext(f"{SVG}title") == '<b onload="x">&'
    assert "<b" not in svg


def test_two_figures_on_a_page_share_no_id() -> None:
    first, second = draw(title="one"), draw(title="two")
    ids = [re.findall(r'\bid="([^"]+)"', svg) for svg in (first, second)]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])


def test_one_epoch_and_a_never_scored_validation_part_can_be_drawn() -> None:
    one: dict[str, list[float]] = {
        "train_loss": [0.5],
        "val_loss": [0.6],
        "val_auroc": [math.nan],
        "lr": [1e-3],
    }
    assert "epoch" in texts(draw_training({"a": {"epoch": [1], **one}}, title="T"))


def test_81_recipes_in_a_row_all_look_different() -> None:
    assert len({look(number) for number in range(81)}) == 81
    assert look(81) == look(0)
    # Neighbours differ in colour, and the first nine in colour and in marker.
    assert [len({look(number)[part] for number in range(9)}) for part in (0, 1)] == [9, 9]
    assert all(look(n)[0] != look(n + 1)[0] for n in range(80))


def test_losses_have_a_panel_for_each_recipe_and_the_rest_one_for_all() -> None:
    names = [f"recipe_{number}" for number in range(9)]
    svg = draw_training(dict.fromkeys(names, HISTORY), title="T")
    # Each name twice, over its panel and in the legend; one panel is left empty.
    assert [texts(svg).count(name) for name in names] == [2] * 9
    assert texts(svg).count("Learning rate, all recipes") == 1


def test_what_trains_nothing_is_drawn_at_epoch_0_without_a_rate() -> None:
    idle: dict[str, list[float]] = {
        "epoch": [0],
        "train_loss": [0.5],
        "val_loss": [0.6],
        "val_auroc": [0.5],
    }
    svg = draw_training({"a": HISTORY, "idle": {**idle, "lr": [math.nan]}}, title="T")
    assert "0" in texts(svg)
    # Two losses and an AUROC.
    assert marks(svg, SERIES[1]) == 3
    assert "0" not in texts(draw_training({"a": HISTORY}, title="T"))


def test_equal_scores_of_nine_recipes_do_not_hide_each_other() -> None:
    names = [f"recipe_{number}" for number in range(9)]
    ours = {name: {"Hernia": 0.7} for name in names}
    svg = draw_auroc(ours, {}, findings=FINDINGS, names=names, title="T")
    uses = list(ElementTree.fromstring(svg).iter(f"{SVG}use"))
    middle = [
        float(use.get("y", ""))
        for use in uses
        if any(COLOURS[colour] in use.get("style", "") for colour in SERIES)
        # The legend stands to the left of the dots or above them.
        and float(use.get("y", "")) > 100
    ]
    assert len(middle) == 9
    gaps = [low - high for high, low in zip(sorted(middle), sorted(middle)[1:], strict=False)]
    # In points; a dot is about 5 wide.
    assert min(gaps) > 2.5
    # All of them within the row of their finding: less than the 14th part of the figure.
    height = float(ElementTree.fromstring(svg).get("viewBox", "").split()[3])
    assert max(middle) - min(middle) < height / 14


def test_places_have_one_decimal_and_stand_where_they_stood() -> None:
    points = [0.123456, 1.0, 2.7654321]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1, 1))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 3), ylim=(0, 3))
        axes.plot(points, points, color=SERIES[0], marker="o")
        svg = to_svg(figure, title="T")
    root = ElementTree.fromstring(svg)
    [path] = [
        node.get("d", "")
        for node in root.iter(f"{SVG}path")
        if "fill: none" in node.get("style", "") and SERIES[0] in node.get("style", "")
    ]
    # 72 points wide and high, y downwards.
    placed = [(72 * point / 3, 72 - 72 * point / 3) for point in points]
    assert path == "M" + "L".join(f"{x:.1f} {y:.1f}".replace(".0", "") for x, y in placed)
    uses = [(float(use.get("x", "")), float(use.get("y", ""))) for use in root.iter(f"{SVG}use")]
    assert all(any(math.dist(use, place) < 0.1 for use in uses) for place in placed)
    attributes = re.findall(r' (?:d|x|y)="([^"]*)"', svg)
    assert attributes
    assert not any(re.search(r"\.\d\d", attribute) for attribute in attributes)
