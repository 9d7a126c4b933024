import re

import pytest
from fake_run import TABLES, make_localization
from svg import marks, texts

from chestxray14.report.figures import MUTED, SERIES
from chestxray14.report.localization_figures import draw_accuracy
from chestxray14.report.published_localization import PublishedTable


def draw(*references: PublishedTable) -> str:
    return draw_accuracy(
        make_localization(), references, name="second", names=["first", "second"], title="Boxes"
    )


def test_both_overlaps_have_a_panel_and_the_run_a_mark_at_each_threshold() -> None:
    svg = draw()
    assert {"IoBB", "IoU", "second", "maps of noise", "box in the centre"} <= set(texts(svg))
    assert "first" not in texts(svg)
    # Five thresholds of IoBB and seven of IoU.
    assert marks(svg, SERIES[1]) == 5 + 7
    assert SERIES[0] not in svg


def test_a_line_goes_through_the_share_found_at_each_threshold() -> None:
    svg = draw()
    # The panel is 1 high.
    [top, height] = re.findall(r'<rect x="[^"]*" y="([^"]*)" width="[^"]*" height="([^"]*)"', svg)[
        0
    ]
    [line, *_] = re.findall(rf'<path d="([^"]*)"[^>]*stroke: var\(--series-2, {SERIES[1]}', svg)
    drawn = [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", line)]
    shares = [1 - (y - float(top)) / float(height) for y in drawn]
    # By hand: the mean of the findings is 0.64 of 1 - threshold.
    assert shares == pytest.approx([0.576, 0.48, 0.32, 0.16, 0.064], abs=0.002)


def test_a_published_table_is_marked_at_its_thresholds_and_named() -> None:
    table = TABLES["Wang et al. 2017 Table 19"]
    svg = draw(table)
    assert table.title in texts(svg)
    assert marks(svg, MUTED) == len(table.scores)
    assert table.title not in texts(draw())
