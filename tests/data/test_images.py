import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from chestxray14.base.errors import InputError
from chestxray14.data.images import decode, pack

GREY = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_grey_is_the_same_in_every_mode(mode: str) -> None:
    content = encode(Image.fromarray(GREY).convert(mode))
    np.testing.assert_array_equal(np.asarray(decode(content, name="x.png")), GREY)


def test_sixteen_bits_keep_their_upper_byte() -> None:
    content = encode(Image.fromarray(GREY.astype(np.uint16) * 256 + 17))
    np.testing.assert_array_equal(np.asarray(decode(content, name="x.png")), GREY)


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
