"""Made-up DICOM files of radiographs."""

import io

import numpy as np
from numpy.typing import ArrayLike
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def make_dicom(values: ArrayLike, **elements: object) -> Dataset:
    """Return a radiograph of values (rows, columns) or (rows, columns, 3)."""
    pixels = np.asarray(values)
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, generate_uid()
    file.Modality = "DX"
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    file.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        file.PlanarConfiguration = 0
    file.BitsAllocated = 8 * pixels.itemsize
    file.BitsStored = 8 if pixels.itemsize == 1 else 12
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    file.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(file, keyword, value)
    return file


def encode(file: Dataset) -> bytes:
    """Return a file's bytes."""
    content = io.BytesIO()
    file.save_as(content, enforce_file_format=True)
    return content.getvalue()
