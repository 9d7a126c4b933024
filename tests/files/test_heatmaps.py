from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from chestxray14.base.errors import InputError
from chestxray14.files.heatmaps import (
    Geometry,
    Heatmaps,
    Window,
    lay_out,
    read_heatmaps,
    write_heatmaps,
)
from chestxray14.files.tensors import write_tensors


def list_views(kind: str, *, edge: int) -> tuple[Window, ...]:
    """Return the windows of a kind of views, `edge` pixels being cut from each side in all."""
    middle = edge // 2
    corners = [(0, 0), (edge, 0), (0, edge), (edge, edge), (middle, middle)]
    places = {
        "centre": [(middle, middle, False)],
        "flip": [(middle, middle, False), (edge - middle, middle, True)],
        "ten_crop": [(*corner, mirrored) for mirrored in (False, True) for corner in corners],
    }[kind]
    return tuple(Window(left=left, top=top, mirrored=turned) for left, top, turned in places)


def place(
    kind: str = "centre", *, input_px: int, resize_px: int, stride: int = 8, first: float = 4
) -> Geometry:
    return Geometry(
        method="cam",
        stride=stride,
        first=first,
        resize_px=resize_px,
        input_px=input_px,
        windows=list_views(kind, edge=resize_px - input_px),
    )


def see(image: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """Return the mean of the pixels of each cell in every view of an image: maps (views, 1, h, w)."""
    count, px = geometry.input_px // geometry.stride, geometry.input_px
    seen = []
    for window in geometry.windows:
        whole = image[:, ::-1] if window.mirrored else image
        cut = whole[window.top : window.top + px, window.left : window.left + px]
        cells = cut[: count * geometry.stride, : count * geometry.stride]
        seen.append(cells.reshape(count, geometry.stride, count, -1).mean(axis=(1, 3)))
    return np.stack(seen)[:, None]


@settings(deadline=None)
@given(
    sizes=st.sampled_from([(64, 64), (64, 73), (64, 112), (96, 111), (224, 256)]),
    kind=st.sampled_from(["centre", "flip", "ten_crop"]),
    x=st.floats(0.3, 0.7),
    y=st.floats(0.3, 0.7),
)
def test_a_planted_square_is_where_it_was_to_within_a_cell(
    sizes: tuple[int, int], kind: str, x: float, y: float
) -> None:
    input_px, resize_px = sizes
    geometry = place(kind, input_px=input_px, resize_px=resize_px)
    image = np.zeros((resize_px, resize_px), dtype=np.float32)
    left, top, side = round(x * resize_px) - 2, round(y * resize_px) - 2, 4
    image[top : top + side, left : left + side] = 1
    whole = lay_out(see(image, geometry), geometry, cells=128)[0]
    row, column = np.unravel_index(np.nanargmax(whole), whole.shape)
    pixel = resize_px / 128
    assert abs((column + 0.5) * pixel - (left + side / 2)) <= geometry.stride
    assert abs((row + 0.5) * pixel - (top + side / 2)) <= geometry.stride


@pytest.mark.parametrize("kind", ["centre", "flip", "ten_crop"])
def test_a_map_is_the_mean_of_the_views_that_cover_a_place_and_nan_where_none_does(
    kind: str,
) -> None:
    geometry = place(kind, input_px=64, resize_px=96, stride=32, first=16)
    maps = np.stack(
        [np.full((1, 2, 2), 1.0 + i, dtype=np.float32) for i in range(len(geometry.windows))]
    )
    whole = lay_out(maps, geometry, cells=96)[0]
    # A cell of the map is a pixel of the reduced image here.
    total, covers = np.zeros((96, 96)), np.zeros((96, 96))
    for i, window in enumerate(geometry.windows):
        seen = np.zeros((96, 96))
        seen[window.top : window.top + 64, window.left : window.left + 64] = 1
        seen = seen[:, ::-1] if window.mirrored else seen
        total, covers = total + (1 + i) * seen, covers + seen
    expected = np.divide(total, covers, out=np.full((96, 96), np.nan), where=covers > 0)
    np.testing.assert_allclose(whole, expected, rtol=1e-5)
    assert (covers.min() == 0) == (kind != "ten_crop")


def test_between_cells_a_map_is_torchs_bilinear_enlargement() -> None:
    maps = torch.randn(1, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    geometry = place(input_px=96, resize_px=96, stride=32, first=16)
    whole = lay_out(maps.numpy(), geometry, cells=128)
    expected = F.interpolate(maps, (128, 128), mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(whole, expected.numpy(), rtol=1.3e-6, atol=1e-5)


def make_heatmaps(kind: str = "flip") -> Heatmaps:
    geometry = place(kind, input_px=64, resize_px=73)
    shape = 3, len(geometry.windows), 2, 8, 8
    maps = np.random.default_rng(0).random(shape, dtype=np.float32)
    return Heatmaps(("a.png", "b.png", "c.png"), ("Mass", "Edema"), geometry, maps)


def test_a_file_gives_back_every_bit_and_what_the_maps_are_of(tmp_path: Path) -> None:
    path, made = tmp_path / "heatmaps.safetensors", make_heatmaps()
    write_heatmaps(path, made)
    read = read_heatmaps(path)
    assert (read.images, read.findings, read.geometry) == (
        *(made.images, made.findings),
        made.geometry,
    )
    assert read.maps.dtype == np.float32
    np.testing.assert_array_equal(read.maps, made.maps)


def test_an_absent_file_is_named_with_the_stage_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"heatmaps\.safetensors not found; run the predict stage"
    ):
        read_heatmaps(tmp_path / "heatmaps.safetensors")


@pytest.mark.parametrize("place", [0, 20, 300, -1])
def test_a_single_wrong_bit_is_noticed(tmp_path: Path, place: int) -> None:
    path = tmp_path / "heatmaps.safetensors"
    write_heatmaps(path, make_heatmaps())
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"heatmaps\.safetensors.*run the predict stage again"):
        read_heatmaps(path)


@pytest.mark.parametrize(
    "change",
    [
        {"images": ["a.png"]},
        {"findings": ["Mass"]},
        {"geometry": None},
        {"key": 1},
    ],
)
def test_a_record_that_does_not_fit_the_maps_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path, made = tmp_path / "heatmaps.safetensors", make_heatmaps()
    record: dict[str, object] = {
        "images": list(made.images),
        "findings": list(made.findings),
        "geometry": made.geometry.model_dump(mode="json"),
    }
    write_tensors(path, {"maps": made.maps}, record=record | change)
    with pytest.raises(InputError, match=r"run the predict stage again") as caught:
        read_heatmaps(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["map", "maps"])
def test_a_file_of_other_arrays_is_refused(tmp_path: Path, name: str) -> None:
    path, made = tmp_path / "heatmaps.safetensors", make_heatmaps()
    record = {
        "images": list(made.images),
        "findings": list(made.findings),
        "geometry": made.geometry.model_dump(mode="json"),
    }
    flat = cast(NDArray[np.float32], made.maps[..., 0])
    write_tensors(path, {name: flat}, record=record)
    with pytest.raises(InputError, match=r"run the predict stage again"):
        read_heatmaps(path)
