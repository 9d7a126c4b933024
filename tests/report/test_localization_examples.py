import io

import numpy as np
import pytest
from fake_run import make_picture, make_shown
from PIL import Image

from chestxray14.report.localization_examples import choose_overlays, show_overlay

HIT = make_shown("Mass", hit=True)


def test_the_first_hit_and_the_first_miss_of_each_finding_are_taken_in_the_papers_order() -> None:
    shown = [
        make_shown("Nodule", hit=False, number=1),
        make_shown("Mass", hit=True, number=1),
        make_shown("Mass", hit=True, number=2),
        make_shown("Nodule", hit=False, number=2),
        make_shown("Mass", hit=False, number=1),
    ]
    assert [picture.file for picture in choose_overlays(shown)] == [
        "Mass_hit_1.jpg",
        "Mass_missed_1.jpg",
        "Nodule_missed_1.jpg",
    ]
    assert choose_overlays([]) == []


@pytest.mark.parametrize(("width", "expected"), [(64, (64, 72)), (512, (384, 432))])
def test_a_large_picture_is_reduced_in_its_proportions_and_a_small_one_is_not(
    width: int, expected: tuple[int, int]
) -> None:
    overlay = show_overlay(HIT, make_picture(width=width))
    picture = Image.open(io.BytesIO(overlay.picture))
    assert (picture.format, picture.size) == ("JPEG", expected)
    assert overlay.shown == HIT
    assert np.abs(np.asarray(picture).astype(int) - 90).max() <= 2
    assert show_overlay(HIT, make_picture(width=width)) == overlay


@pytest.mark.parametrize("content", [b"", b"GIF89a", make_picture()[:200]])
def test_what_is_no_whole_jpeg_is_refused(content: bytes) -> None:
    with pytest.raises(OSError, match=r"(?i)identify|truncated"):
        show_overlay(HIT, content)
