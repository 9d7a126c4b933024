import numpy as np
import pytest

from chestxray14.base.errors import InputError
from chestxray14.files.heatmaps import Geometry, Heatmaps, Window
from chestxray14.localization.cases import lay_out_images


def make_heatmaps() -> Heatmaps:
    """Return maps each of one value: ten times the image's place and once the finding's."""
    geometry = Geometry(
        method="cam",
        stride=32,
        first=16,
        resize_px=64,
        input_px=64,
        windows=(Window(left=0, top=0, mirrored=False),),
    )
    values = np.add.outer(np.arange(3) * 10, np.arange(3)).astype(np.float32)
    maps = values[:, None, :, None, None] * np.ones((3, 1, 3, 2, 2), dtype=np.float32)
    return Heatmaps(("a.png", "b.png", "c.png"), ("Mass", "Edema", "Nodule"), geometry, maps)


def test_maps_stand_in_the_order_of_the_images_and_findings_that_are_asked_for() -> None:
    maps = lay_out_images(make_heatmaps(), ["c.png", "a.png"], findings=["Mass", "Nodule"])
    assert maps.shape[:2] == (2, 2)
    expected = np.array([[20, 22], [0, 2]])[..., None, None]
    np.testing.assert_allclose(maps, np.broadcast_to(expected, maps.shape), atol=1e-4)


def test_annotated_images_without_a_map_are_named_with_the_stage_that_draws_them() -> None:
    with pytest.raises(InputError) as caught:
        lay_out_images(make_heatmaps(), ["a.png", "x.png", "y.png"], findings=["Mass"])
    line = str(caught.value)
    assert all(word in line for word in ("2 ", "x.png", "y.png", "predict"))
    assert "a.png" not in line
