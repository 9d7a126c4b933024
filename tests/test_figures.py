import math
import re
import subprocess
import sys
from xml.etree import ElementTree

from chestxray14.figures import COLOURS, SERIES, draw_auroc, draw_training
from chestxray14.findings import FINDINGS

OURS = {"first": dict.fromkeys(FINDINGS, 0.7), "second": dict.fromkeys(FINDINGS[:5], 0.8)}
REFERENCES = {"Published 2017": dict.fromkeys(FINDINGS, 0.75)}
HISTORY = {
    "train_loss": [0.5, 0.4, 0.3],
    "val_loss": [0.6, 0.5, 0.55],
    "val_auroc": [math.nan, 0.6, 0.65],
    "lr": [1e-3, 1e-3, 1e-4],
}
SVG = "{http://www.w3.org/2000/svg}"


def draw(
    ours: dict[str, dict[str, float]] = OURS,
    references: dict[str, dict[str, float]] = REFERENCES,
    *,
    title: str = "AUROC by finding",
) -> str:
    return draw_auroc(ours, references, findings=FINDINGS, names=["first", "second"], title=title)


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def marks(svg: str, colour: str) -> int:
    """Count the marks of a colour, without the one in the legend."""
    uses = [node.get("style", "") for node in ElementTree.fromstring(svg).iter(f"{SVG}use")]
    return sum(f"var(--{COLOURS[colour]}, {colour})" in style for style in uses) - 1


def test_a_scored_finding_has_one_dot_and_another_has_none() -> None:
    svg = draw()
    assert marks(svg, SERIES[0]) == 14
    assert marks(svg, SERIES[1]) == 5


def test_text_stays_text_and_names_every_finding_recipe_and_reference() -> None:
    found = texts(draw())
    named = {finding.replace("_", " ") for finding in FINDINGS}
    assert named | {"first", "second", "Published 2017"} <= set(found)
    assert {"Learning rate", "Validation macro AUROC", "first"} <= set(
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
        "import sys; sys.path.insert(0, sys.argv[1]); import test_figures as t;"
        "sys.stdout.buffer.write((t.draw() + t.draw_training({'a': t.HISTORY}, title='T'))"
        ".encode()); assert 'matplotlib.pyplot' not in sys.modules"
    )
    command = [sys.executable, "-c", program, __file__.rpartition("/")[0]]
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
    one = {"train_loss": [0.5], "val_loss": [0.6], "val_auroc": [math.nan], "lr": [1e-3]}
    assert "epoch" in texts(draw_training({"a": one}, title="T"))
