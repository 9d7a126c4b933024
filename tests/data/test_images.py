import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from chestxray14.base.errors import InputError
from chestxray14.data.images import FEWEST_GREYS, count_greys, decode, pack, spread

GREY = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_is_the_same_in_every_mode(mode: str) -> None:
    content = encode(Image.fromarray(GREY).convert(mode))
    np.testing.assert_array_equal(np.asarray(decode(content, name="x.png")), GREY)


def test_sixteen_bits_keep_their_upper_byte() -> None:
    content = encode(Image.fromarray(GREY.astype(np.uint16) * 256 + 17))
    np.testing.assert_array_equal(np.asarray(decode(content, name="x.png")), GREY)


def encode_sixteen_bits(values: np.ndarray) -> bytes:
    """Return a PNG file of values (rows, columns, channels), by the letter of its standard."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    height, width, channels = values.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = values.astype(">u2").reshape(height, -1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("step", "offset"), [(1, 0), (4, 0), (16, 0), (64, 0), (9, 32_768)])
def test_fewer_bits_than_sixteen_have_the_range_in_use_spread(
    channels: int, step: int, offset: int
) -> None:
    values = np.stack([GREY.astype(int) * step + offset] * channels, axis=2)
    if channels in (2, 4):
        values[..., -1] = 65_535
    image = decode(encode_sixteen_bits(values), name="x.png")
    np.testing.assert_array_equal(np.asarray(image), GREY)


def test_colours_of_twelve_bits_in_sixteen_stay_colours() -> None:
    values = np.stack([GREY, GREY // 2, 255 - GREY], axis=2).astype(int) * 16
    image = decode(encode_sixteen_bits(values), name="x.png")
    np.testing.assert_array_equal(np.asarray(image), values // 16)


def test_noise_of_a_blank_is_not_spread_to_a_picture() -> None:
    noise = np.random.default_rng(0).integers(0, 20, (64, 64)).astype(np.uint16)
    for step in (1, 64):
        content = encode(Image.fromarray(noise * step + 9_000))
        assert count_greys(decode(content, name="x.png")) < FEWEST_GREYS


def test_what_is_not_used_is_black_and_moves_nothing() -> None:
    values = GREY.astype(np.int64) * 3 + 500
    values[:9] = -2_000
    used = values >= 0
    scaled = (values - values[used].min()) * 255 / np.ptp(values[used])
    np.testing.assert_array_equal(spread(values, used), np.where(used, np.rint(scaled), 0))


def test_greys_are_counted_between_the_1st_and_the_99th_percentile() -> None:
    for low, high in ((0, 255), (100, 131), (7, 7)):
        pixels = np.repeat(np.linspace(low, high, 100).round().astype(np.uint8), 100)[:, None]
        first, last = np.percentile(pixels, (1, 99), method="inverted_cdf").astype(int)
        pixels[0], pixels[-1] = 0, 255  # a marker is no contrast
        assert abs(count_greys(Image.fromarray(pixels)) - (last - first)) <= 3


def test_a_standard_deviation_below_2_is_flat() -> None:
    rng = np.random.default_rng(0)
    for share in (0.0, 0.005, 0.015, 0.03):
        for high in (5, 31, 32, 120):
            pixels = np.where(rng.random((200, 200)) < share, 60 + high, 60).astype(np.uint8)
            if pixels.std() < 2:
                assert count_greys(Image.fromarray(pixels)) < FEWEST_GREYS


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    # Smooth, so that JPEG changes little, and no two corners alike.
    ramp = np.add.outer(np.arange(64) * 2, np.arange(48)).astype(np.uint8)
    # What a camera stores of a picture that is `ramp` when upright: EXIF 2.3, 4.6.4.
    stored = {
        1: ramp, 2: ramp[:, ::-1], 3: ramp[::-1, ::-1], 4: ramp[::-1],
        5: ramp.T, 6: np.rot90(ramp), 7: ramp[::-1, ::-1].T, 8: np.rot90(ramp, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(content, kind, exif=exif)
    np.testing.assert_allclose(np.asarray(decode(content.getvalue(), name="x")), ramp, atol=2)


def test_damaged_exif_does_not_hide_whole_pixels() -> None:
    content = io.BytesIO()
    Image.fromarray(GREY).save(content, "PNG", exif=b"Exif\0\0nonsense")
    np.testing.assert_array_equal(np.asarray(decode(content.getvalue(), name="x")), GREY)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an image",
        encode(Image.fromarray(GREY))[:500],
        encode(Image.fromarray(GREY))[:40],
    ],
)
def test_what_is_no_whole_image_is_named(content: bytes) -> None:
    with pytest.raises(InputError, match=r"x\.png is no readable PNG or JPEG"):
        decode(content, name="x.png")


def test_no_flipped_bit_changes_a_png_unseen() -> None:
    x = np.arange(64)
    grey = (np.add.outer(x * x, x) % 256).astype(np.uint8)  # as noise it would not be compressed
    content = encode(Image.fromarray(grey))
    for place in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        with contextlib.suppress(InputError):
            np.testing.assert_array_equal(np.asarray(decode(bytes(flipped), name="x.png")), grey)


def test_an_absurd_number_of_pixels_is_refused_before_decoding() -> None:
    header = bytearray(encode(Image.fromarray(GREY)))
    header[16:24] = (50_000).to_bytes(4, "big") * 2
    with pytest.raises(InputError, match=r"x\.png"):
        decode(bytes(header), name="x.png")


def test_reduction_is_antialiased_as_torch_does_it() -> None:
    expected = F.interpolate(
        torch.from_numpy(GREY)[None, None].float(), (16, 16), mode="bilinear", antialias=True
    )[0, 0]
    packed = pack(Image.fromarray(GREY), px=16)
    assert packed.dtype == np.uint8
    np.testing.assert_allclose(packed, expected.numpy(), atol=1)


def test_what_is_not_square_keeps_its_proportions() -> None:
    packed = pack(Image.fromarray(np.full((32, 64), 200, np.uint8)), px=16)
    assert (packed[4:12] == 200).all()
    assert (packed[:4] == 0).all()
    assert (packed[12:] == 0).all()


def test_real_rgba_radiographs_are_their_first_channel(nih_sample: Path) -> None:
    colour = [f for f in nih_sample.rglob("*.png") if Image.open(f).mode == "RGBA"]
    assert len(colour) == 3
    for file in colour:
        grey = decode(file.read_bytes(), name=file.name)
        np.testing.assert_array_equal(np.asarray(grey), np.asarray(Image.open(file))[..., 0])


def test_real_radiographs_have_the_bytes_that_pillow_reads_and_are_not_flat(
    nih_sample: Path,
) -> None:
    for file in nih_sample.rglob("*.png"):
        image = decode(file.read_bytes(), name=file.name)
        assert image.tobytes() == Image.open(file).getchannel(0).tobytes()
        assert count_greys(image) > 2 * FEWEST_GREYS
