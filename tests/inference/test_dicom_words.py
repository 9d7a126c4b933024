import pytest
from pydicom.dataset import Dataset

from chestxray14.base.errors import InputError
from chestxray14.inference.dicom_words import check_words


def make(**elements: object) -> Dataset:
    file = Dataset()
    file.Modality = "DX"
    for keyword, value in elements.items():
        setattr(file, keyword, value)
    return file


def code(value: str, meaning: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SRT", meaning
    return [item]


@pytest.mark.parametrize(
    "elements",
    [
        {},
        *(
            {"BodyPartExamined": part}
            for part in ("CHEST", "PORT CHEST", "THORAX", "LUNG", "UNKNOWN")
        ),
        {"AnatomicRegionSequence": code("T-D3000", "Brustkorb")},
        *({"ViewPosition": view} for view in ("AP", "PA", "PA ERECT", "AP_SUPINE", "FRONTAL")),
        {"ViewCodeSequence": code("R-10206", "antero-posterior")},
        {"ViewCodeSequence": code("R-10214", "")},
        {"ViewCodeSequence": code("1", "Postero-Anterior")},
        *({"PatientOrientation": sides} for sides in (["L", "F"], ["R", "F"], ["LA", "FP"], "")),
        # Of a study, of which this is one image.
        {"StudyDescription": "CHEST PA AND LATERAL"},
        {"ViewPosition": "PA", "SeriesDescription": "CHEST LAT"},
        {"BodyPartExamined": "CHEST", "StudyDescription": "CHEST AND SPINE"},
    ],
)
def test_a_frontal_chest_passes_in_any_words(elements: dict[str, object]) -> None:
    check_words(make(**elements), name="x.dcm")


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        *(
            ({"BodyPartExamined": part}, f"shows '{part}', expected a chest")
            for part in ("EXTREMITY", "ABDOMEN", "HAND", "SKULL", "KNEE", "TSPINE", "THORACIC SPINE")
        ),
        ({"AnatomicRegionSequence": code("T-D8700", "Hand")}, "shows 'HAND'"),
        ({"SeriesDescription": "XR Hand left"}, "shows 'XR HAND LEFT'"),
        *(
            ({"ViewPosition": view}, "is a lateral view")
            for view in ("LL", "RL", "LEFT LATERAL", "LAT LEFT", "LAT", "LAT_RIGHT", "PA LAT")
        ),
        *(
            ({"ViewPosition": view}, "is no frontal view")
            for view in ("LLO", "RLO", "LAO", "RPO", "LLD", "AP OBLIQUE", "DECUBITUS")
        ),
        ({"ViewCodeSequence": code("R-10236", "left lateral")}, "is a lateral view"),
        ({"ViewCodeSequence": code("R-10220", "Left Anterior Oblique")}, "is no frontal view"),
        ({"ViewCodeSequence": code("R-10242", "cranio-caudal")}, "is no frontal view"),
        ({"ViewPosition": "PA", "ViewCodeSequence": code("R-10232", "right lateral")}, "lateral"),
        ({"SeriesDescription": "Chest, LAT"}, "is a lateral view"),
        *(
            ({"PatientOrientation": sides}, "has the patient orientation")
            for sides in (["A", "F"], ["P", "F"], ["L", "H"], ["F", "L"])
        ),
        ({"Modality": "CT"}, "has the modality 'CT'"),
    ],
)  # fmt: skip
def test_what_calls_itself_something_else_is_named(
    elements: dict[str, object], found: str
) -> None:
    with pytest.raises(InputError, match=r"^x\.dcm ") as caught:
        check_words(make(**elements), name="x.dcm")
    assert found in str(caught.value)
