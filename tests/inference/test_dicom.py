import io
import sys
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_dicom import encode, make_dicom
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import apply_voi, apply_windowing
from pydicom.uid import MPEG2MPML, DeflatedExplicitVRLittleEndian

from chestxray14.base.errors import InputError
from chestxray14.inference.dicom import decode_dicom, is_dicom

TWELVE_BITS = np.random.default_rng(0).integers(100, 4000, (32, 40), dtype=np.uint16)
EIGHT_BITS = np.random.default_rng(1).integers(20, 200, (32, 40), dtype=np.uint8)


def decode(file: Dataset) -> NDArray[np.uint8]:
    return np.asarray(decode_dicom(encode(file), name="x.dcm"))


def stretch(values: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    shares = (values.astype(np.float64) - low) / (high - low)
    return shares.clip(0, 1) * 255


def test_a_file_is_known_by_its_beginning() -> None:
    assert is_dicom(encode(make_dicom(EIGHT_BITS)))
    assert not is_dicom(b"\x89PNG" * 100)


def test_eight_bits_without_a_window_stay_as_they_are() -> None:
    np.testing.assert_array_equal(decode(make_dicom(EIGHT_BITS)), EIGHT_BITS)


def test_more_bits_without_a_window_have_their_full_range_spread() -> None:
    expected = stretch(TWELVE_BITS, TWELVE_BITS.min(), TWELVE_BITS.max())
    np.testing.assert_allclose(decode(make_dicom(TWELVE_BITS)), expected, atol=0.51)


def test_monochrome1_is_the_negative_of_monochrome2() -> None:
    for values in (EIGHT_BITS, TWELVE_BITS):
        positive = decode(make_dicom(values)).astype(int)
        negative = decode(make_dicom(values, PhotometricInterpretation="MONOCHROME1"))
        np.testing.assert_allclose(255 - negative.astype(int), positive, atol=1)


@pytest.mark.parametrize("shape", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_files_window_is_applied_as_pydicom_applies_it(shape: str) -> None:
    file = make_dicom(TWELVE_BITS, WindowCenter=2000, WindowWidth=1500, VOILUTFunction=shape)
    expected = stretch(apply_windowing(TWELVE_BITS, file), 0, 4095)
    np.testing.assert_allclose(decode(file), expected, atol=0.6)


def test_of_several_windows_the_first_counts_and_it_is_of_rescaled_values() -> None:
    rescaled = TWELVE_BITS.astype(float) * 2 - 1000
    file = make_dicom(
        TWELVE_BITS,
        RescaleSlope=2,
        RescaleIntercept=-1000,
        VOILUTFunction="LINEAR_EXACT",
        WindowCenter=[3000, 1],
        WindowWidth=[2000, 1],
    )
    np.testing.assert_allclose(decode(file), stretch(rescaled, 2000, 4000), atol=0.51)


@pytest.mark.parametrize("width", [0, -5])
def test_an_impossible_window_is_as_none(width: int) -> None:
    file = make_dicom(TWELVE_BITS, WindowCenter=5, WindowWidth=width)
    np.testing.assert_array_equal(decode(file), decode(make_dicom(TWELVE_BITS)))


def test_a_lookup_table_comes_before_a_window() -> None:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4096, 0, 10])
    curve = 1023 * np.linspace(0, 1, 4096) ** 2
    table.add_new("LUTData", "OW", curve.astype(np.uint16).tobytes())
    file = make_dicom(TWELVE_BITS, VOILUTSequence=[table], WindowCenter=2000, WindowWidth=10)
    expected = stretch(apply_voi(TWELVE_BITS, file), 0, 1023)
    np.testing.assert_allclose(decode(file), expected, atol=0.51)


def make_table(entries: NDArray[Any], *, bits: int, vr: str = "OW") -> Dataset:
    """Return a lookup table of 8- or 16-bit entries, packed as they are."""
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [len(entries), 0, bits])
    packed = entries.tobytes()
    words = np.frombuffer(packed, "<u2").tolist()
    table.add_new("LUTData", vr, packed if vr == "OW" else words)
    return table


CURVE = 4095 * np.linspace(0, 1, 4096) ** 2


def test_a_table_that_says_16_bits_and_holds_12_is_spread() -> None:
    table = make_table(CURVE.astype("<u2"), bits=16)
    expected = stretch(CURVE.astype(int)[TWELVE_BITS], 0, 4095)
    found = decode(make_dicom(TWELVE_BITS, VOILUTSequence=[table]))
    np.testing.assert_allclose(found, expected, atol=0.51)


@pytest.mark.parametrize("vr", ["OW", "US"])
@pytest.mark.parametrize("kind", ["u1", "<u2"])
def test_a_table_of_8_bits_is_read_one_or_two_in_a_word(kind: str, vr: str) -> None:
    entries = (CURVE / 4095 * 255).astype(kind)
    table = make_table(entries, bits=8, vr=vr)
    found = decode(make_dicom(TWELVE_BITS, VOILUTSequence=[table]))
    np.testing.assert_array_equal(found, entries[TWELVE_BITS])


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("dtype", "elements"),
    [
        ("u2", {"PixelPaddingValue": 60_000}),
        ("u2", {"PixelPaddingValue": 50_000, "PixelPaddingRangeLimit": 60_000}),
        ("i2", {"PixelPaddingValue": -5_536}),  # which is 60,000 without its sign
    ],
)
def test_padding_is_black_and_moves_no_other_value(
    dtype: str, elements: dict[str, object], kind: str
) -> None:
    padded = TWELVE_BITS.copy()
    padded[:4] = 60_000
    values = padded.view(dtype)
    common = {"BitsStored": 16, "HighBit": 15, "PhotometricInterpretation": kind}
    found = decode(make_dicom(values, **common, **elements))
    whole = decode(make_dicom(TWELVE_BITS[4:], PhotometricInterpretation=kind))
    np.testing.assert_array_equal(found[4:], whole)
    assert not found[:4].any()


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2000, "WindowWidth": 1500}])
def test_values_in_the_upper_bits_are_those_in_the_lower_ones(window: dict[str, int]) -> None:
    expected = decode(make_dicom(TWELVE_BITS, **window))
    upper = make_dicom(TWELVE_BITS << 4, HighBit=15, **window)
    np.testing.assert_array_equal(decode(upper), expected)
    # One that only says so.
    np.testing.assert_array_equal(decode(make_dicom(TWELVE_BITS, HighBit=15, **window)), expected)


@pytest.mark.parametrize("implicit", [True, False])
def test_a_file_without_preamble_is_read(implicit: bool) -> None:
    file = make_dicom(TWELVE_BITS)
    expected = decode(file)
    with_meta = encode(file)[132:]
    del file.file_meta
    bare = io.BytesIO()
    file.save_as(bare, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    for content in (with_meta, bare.getvalue()):
        assert is_dicom(content)
        np.testing.assert_array_equal(decode_dicom(content, name="x.dcm"), expected)


@pytest.mark.parametrize(
    ("sample", "package"),
    [
        ("JPEGLSNearLossless_16.dcm", "pylibjpeg-libjpeg"),
        ("SC_rgb_jpeg_gdcm.dcm", "pylibjpeg-libjpeg"),
        ("JPGExtended.dcm", "pylibjpeg-libjpeg"),
        ("GDCMJ2K_TextGBR.dcm", "pylibjpeg-openjpeg"),
    ],
)
def test_the_package_that_would_read_a_compression_is_named(sample: str, package: str) -> None:
    file = pydicom.dcmread(get_testdata_file(sample, download=False))
    if get_decoder(file.file_meta.TransferSyntaxUID).missing_dependencies == []:
        pytest.skip("every package is here")
    file.Modality, file.BodyPartExamined, file.NumberOfFrames = "DX", "CHEST", 1
    with pytest.raises(InputError) as caught:
        decode(file)
    assert f"pip install pylibjpeg {package}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_compression_that_nothing_reads_is_named() -> None:
    file = make_dicom(EIGHT_BITS)
    file.file_meta.TransferSyntaxUID = MPEG2MPML
    file.PixelData = encapsulate([file.PixelData])
    with pytest.raises(InputError, match=r"x\.dcm is compressed as MPEG2 .*, which pydicom"):
        decode(file)


def test_an_rgb_capture_is_returned_in_colour() -> None:
    colour = np.random.default_rng(2).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(make_dicom(colour, Modality="SC")), colour)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"Modality": "CT"}, r"x\.dcm has the modality 'CT', expected CR, DX or RG"),
        ({"ViewPosition": "LL"}, r"x\.dcm is a lateral view \(LL\)"),
        ({"NumberOfFrames": 7}, r"x\.dcm has 7 frames, expected one"),
        ({"Rows": 60_000, "Columns": 60_000}, r"x\.dcm has 60000 x 60000 pixels, too many"),
        ({"Columns": None}, r"x\.dcm holds no image"),
        ({"PixelData": None}, r"x\.dcm holds no image"),
        ({"PixelData": b"\0" * 100}, r"x\.dcm is no readable DICOM file: "),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "interpretation 'PALETTE COLOR'"),
    ],
)
def test_what_is_no_frontal_radiograph_is_refused(
    elements: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        decode(make_dicom(EIGHT_BITS, **elements))


def test_a_deflated_file_is_refused_before_it_inflates() -> None:
    file = make_dicom(EIGHT_BITS)
    file.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with pytest.raises(InputError, match=r"x\.dcm is a deflated DICOM file"):
        decode(file)


def test_without_pydicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(InputError, match=r"x\.dcm .* pip install -e '\.\[dicom\]'"):
        decode(make_dicom(EIGHT_BITS))


CONTENTS = (
    encode(make_dicom(TWELVE_BITS[:8, :8], WindowCenter=2000, WindowWidth=1500)),
    encode(make_dicom(EIGHT_BITS[:8, :8], PhotometricInterpretation="MONOCHROME1")),
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    content=st.sampled_from(CONTENTS),
    places=st.lists(st.tuples(st.integers(132, 900), st.integers(0, 255)), max_size=12),
    cut=st.integers(0, 1200),
)
def test_any_bytes_give_an_image_or_one_line(
    content: bytes, places: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(content)
    for place, value in places:
        damaged[place % len(damaged)] = value
    said = "x.dcm "
    try:
        image = decode_dicom(bytes(damaged[: cut or None]), name="x.dcm")
    except InputError as error:
        said = str(error)
    else:
        assert image.mode in ("L", "RGB")
    assert said.startswith("x.dcm ")
    assert "\n" not in said
