import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_dicom import encode as encode_dicom
from made_dicom import make_dicom
from numpy.typing import ArrayLike
from PIL import Image

from chestxray14.base.errors import InputError
from chestxray14.data.images import decode
from chestxray14.inference.radiographs import (
    MOST_OBLONG,
    SMALLEST_PX,
    list_radiographs,
    read_radiograph,
    show_path,
)

GREY = np.random.default_rng(0).integers(0, 256, (160, 140), dtype=np.uint8)


def encode(pixels: ArrayLike, kind: str = "PNG", mode: str | None = None) -> bytes:
    image = Image.fromarray(np.asarray(pixels))
    content = io.BytesIO()
    (image.convert(mode) if mode else image).save(content, kind)
    return content.getvalue()


def read(folder: Path, content: bytes, name: str = "x.png") -> np.ndarray:
    path = folder / name
    path.write_bytes(content)
    return np.asarray(read_radiograph(path))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_a_png_is_what_prepare_would_decode_in_every_mode_of_grey(
    tmp_path: Path, mode: str
) -> None:
    content = encode(GREY, mode=mode)
    expected = np.asarray(decode(content, name="x.png"))
    np.testing.assert_array_equal(read(tmp_path, content), expected)
    np.testing.assert_array_equal(expected, GREY)


def test_real_radiographs_are_what_prepare_would_decode(nih_sample: Path) -> None:
    files = sorted(nih_sample.rglob("*.png"))
    colour = [file for file in files if Image.open(file).mode == "RGBA"]
    for file in [*files[:3], *colour]:
        expected = decode(file.read_bytes(), name=file.name)
        assert read_radiograph(file).tobytes() == expected.tobytes()


def test_jpeg_and_dicom_are_read_whatever_the_file_is_called(tmp_path: Path) -> None:
    jpeg = encode(GREY, "JPEG")
    np.testing.assert_array_equal(read(tmp_path, jpeg, "x.png"), decode(jpeg, name="x"))
    np.testing.assert_array_equal(read(tmp_path, encode_dicom(make_dicom(GREY)), "1.2.3"), GREY)


def test_a_grey_capture_in_colour_is_its_first_channel(tmp_path: Path) -> None:
    file = make_dicom(np.stack([GREY] * 3, axis=2), Modality="SC")
    np.testing.assert_array_equal(read(tmp_path, encode_dicom(file), "x.dcm"), GREY)


def test_sixteen_bits_keep_their_upper_byte_as_prepare_does(tmp_path: Path) -> None:
    wide = GREY.astype(np.uint16) * 256 + 17
    np.testing.assert_array_equal(read(tmp_path, encode(wide)), GREY)


def test_twelve_bits_in_a_sixteen_bit_file_have_their_range_spread(tmp_path: Path) -> None:
    twelve = GREY.astype(np.uint16) * 10 + 100
    expected = (GREY - float(GREY.min())) / float(np.ptp(GREY)) * 255
    np.testing.assert_allclose(read(tmp_path, encode(twelve)), expected, atol=0.51)


@pytest.mark.parametrize("steps", [1, 16, 64, 257])
def test_what_prepare_packs_is_what_is_predicted_whatever_the_bits(
    tmp_path: Path, steps: int
) -> None:
    content = encode(GREY.astype(np.uint16) * steps)
    np.testing.assert_array_equal(read(tmp_path, content), decode(content, name="x.png"))
    np.testing.assert_array_equal(read(tmp_path, content), GREY)


def scene() -> np.ndarray:
    return np.stack([GREY, GREY // 2, 255 - GREY], axis=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no readable PNG or JPEG"),
        (encode(GREY)[:2000], "no readable PNG or JPEG"),
        (b"GIF89a" + bytes(100), "no readable PNG or JPEG"),
        (encode(GREY[:100]), f"has 140 x 100 pixels, expected at least {SMALLEST_PX} a side"),
        (
            encode(np.tile(GREY, (1, 3))),
            r"has 420 x 160 pixels, no .* shape \(sides up to 1 : 2\)",
        ),
        (encode(scene()), "is in colour, expected a grey radiograph"),
        (encode(scene(), "JPEG"), "is in colour"),
        (encode(scene(), mode="P"), "is in colour"),
        (encode_dicom(make_dicom(scene(), Modality="SC")), "is in colour"),
        (encode(np.full((200, 200), 7, np.uint8)), "is one grey throughout"),
        (encode(GREY // 16), "within 15 of 256 greys, expected at least 32"),
        (encode(GREY // 32 + 90), "within 7 of 256 greys"),
        (encode_dicom(make_dicom(GREY // 9)), "within 28 of 256 greys"),
        (
            encode_dicom(make_dicom(GREY.astype("u2") * 16, WindowCenter=9, WindowWidth=9)),
            "of 256 greys",
        ),
    ],
)
def test_what_does_not_look_like_a_radiograph_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(InputError, match=rf"x\.png.* {message}"):
        read(tmp_path, content)


def test_a_decompression_bomb_is_refused_unread(tmp_path: Path) -> None:
    header = bytearray(encode(GREY))
    header[16:24] = (50_000).to_bytes(4, "big") * 2
    with pytest.raises(InputError, match=r"x\.png"):
        read(tmp_path, bytes(header))


def test_the_largest_shape_is_taken(tmp_path: Path) -> None:
    tall = np.resize(GREY, (int(SMALLEST_PX * MOST_OBLONG), SMALLEST_PX))
    np.testing.assert_array_equal(read(tmp_path, encode(tall)), tall)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.png", r"absent\.png not found"),
        ("", "is no file"),
        ("a\0b.png", "(not found|cannot be read)"),
    ],
)
def test_what_is_no_file_is_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_radiograph(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(InputError, match="is no file"):
        read_radiograph(tmp_path / "x.png")


def test_a_folder_stands_for_its_images_sorted_and_counts_the_rest(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "deep/c.dcm", "notes.txt", ".hidden.png", "._b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    dicom = bytes(128) + b"DICM"
    for name in ("deep/1.2.840", "DICOMDIR"):
        (tmp_path / name).write_bytes(dicom)
    (tmp_path / "deep/1.2.841").write_bytes(b"\x08\0\x05\0CS\x0a\0ISO_IR 100")
    named = tmp_path / "notes.txt"
    files, others = list_radiographs([named, tmp_path])
    inside = ["a.jpeg", "b.PNG", "deep/1.2.840", "deep/1.2.841", "deep/c.dcm"]
    assert files == [named, *(tmp_path / name for name in inside)]
    assert others == 2


def test_a_name_of_any_bytes_is_shown_on_one_line() -> None:
    assert show_path(Path("a b.png")) == "a b.png"
    for name in ("a\nb", "\x1b[31m", os.fsdecode(b"\xff")):
        assert show_path(Path(name)).isprintable()


CONTENTS = (
    *(encode(GREY), encode(GREY, mode="RGBA"), encode(GREY, mode="P"), encode(GREY, "JPEG")),
    *(encode(scene(), "JPEG"), encode(GREY.astype(np.uint16) * 9)),
)


@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    content=st.sampled_from(CONTENTS),
    places=st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 50_000),
)
def test_any_bytes_give_a_radiograph_or_one_line(
    tmp_path: Path, content: bytes, places: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(content)
    for place, value in places:
        damaged[place] = value
    said = "x.png"
    try:
        pixels = read(tmp_path, bytes(damaged[: cut or None]))
    except InputError as error:
        said = str(error)
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 2
    assert "x.png" in said
    assert "\n" not in said
