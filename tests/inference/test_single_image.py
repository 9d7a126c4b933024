from pathlib import Path

import numpy as np
import pytest
import torch
from fake_run import make_evaluation
from PIL import Image
from scipy.special import expit, logit
from tiny import CPU, tiny_network, tiny_recipe

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.base.notices import NOTICE
from chestxray14.data.images import pack
from chestxray14.files.heatmaps import lay_out
from chestxray14.inference.single_image import (
    Answer,
    as_record,
    caption,
    judge,
    map_images,
    name_findings,
    name_pictures,
    predict_images,
    read_evaluation,
    read_files,
    tabulate_answers,
)
from chestxray14.model.backbones import build_network
from chestxray14.model.batches import Part
from chestxray14.model.maps import Method, Stride, describe_maps, draw_maps
from chestxray14.model.views import normalize, view
from chestxray14.scoring.evaluation import Evaluation

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
RECIPE = tiny_recipe(resize_px=40)


def evaluate() -> Evaluation:
    """Make up an evaluation without a calibration of Mass and a threshold for Hernia."""
    made = make_evaluation(dict.fromkeys(FINDINGS, 0.75), sha256="ab" * 32)
    mass = made.findings["Mass"].model_copy(update={"calibrated": None})
    youden = made.operating_points["youden"]
    kept = {name: value for name, value in youden.thresholds.items() if name != "Hernia"}
    point = youden.model_copy(update={"thresholds": kept})
    return made.model_copy(
        update={
            "findings": made.findings | {"Mass": mass},
            "operating_points": made.operating_points | {"youden": point},
        }
    )


@pytest.mark.parametrize("count", [1, 5])
def test_the_raw_probability_is_the_mean_over_the_views(count: int) -> None:
    network = tiny_network().eval()
    with torch.no_grad():
        views = view(torch.from_numpy(PIXELS[:count]), RECIPE, "ten_crop")
        expected = torch.stack([network(normalize(grey)).sigmoid() for grey in views]).mean(dim=0)
    found = predict_images(
        *(network, PIXELS[:count], RECIPE), views="ten_crop", device=CPU, precision="fp32"
    )
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_files_are_packed_as_a_dataset_and_the_bad_ones_named(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (150, 130), dtype=np.uint8))
    files = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    image.save(files[0])
    files[1].write_text("no image")
    image.rotate(90, expand=True).save(files[2])
    good, pixels, failed = read_files(files, px=48)
    assert good == [files[0], files[2]]
    np.testing.assert_array_equal(pixels[0], pack(image, px=48))
    np.testing.assert_array_equal(pixels[1], pack(image.rotate(90, expand=True), px=48))
    assert [file for file, _ in failed] == [files[1]]
    assert "b.png is no readable PNG" in failed[0][1]


def test_an_answer_has_platts_probability_and_the_threshold_of_the_raw_one() -> None:
    raw = np.linspace(0.05, 0.9, 14, dtype=np.float32)
    answers = {answer.finding: answer for answer in judge(raw, RECIPE, evaluate())}
    assert list(answers) == list(FINDINGS)
    for given, answer in zip(raw, answers.values(), strict=True):
        assert answer.raw == pytest.approx(given, abs=1e-9)
        if answer.finding != "Mass":
            # The slope and intercept that make_evaluation has.
            assert answer.probability == pytest.approx(expit(0.9 * logit(given) - 0.5), abs=1e-6)
        if answer.finding != "Hernia":
            assert answer.reached == (given >= 0.125)
    assert not answers["Mass"].is_calibrated
    assert answers["Mass"].probability == answers["Mass"].raw
    assert answers["Hernia"].reached is None


def test_the_image_that_set_a_threshold_reaches_it() -> None:
    given = np.float32(0.1)  # which prediction files hold as 0.100000001
    made = evaluate()
    point = made.operating_points["youden"].model_copy(
        update={"thresholds": dict.fromkeys(FINDINGS, 0.100000001)}
    )
    made = made.model_copy(update={"operating_points": {"youden": point}})
    assert judge(np.full(14, given), RECIPE, made)[0].reached


def test_without_an_evaluation_all_is_raw_and_nothing_is_reached() -> None:
    answers = judge(np.full(14, 0.5, np.float32), RECIPE, None)
    assert {(a.probability, a.is_calibrated, a.threshold, a.reached) for a in answers} == {
        (0.5, False, None, None)
    }


def test_table_and_record_say_what_is_not_calibrated_and_what_has_no_threshold() -> None:
    answers = judge(np.full(14, 0.5, np.float32), RECIPE, evaluate())
    lines = {line.split()[0]: line.split() for line in tabulate_answers(answers).splitlines()}
    assert len(lines) == 15
    assert lines["Edema"] == ["Edema", "0.3775", "0.5000", "0.1250", "yes"]
    assert lines["Mass"] == ["Mass", "0.5000*", "0.5000", "0.1250", "yes"]
    assert lines["Hernia"] == ["Hernia", "0.3775", "0.5000", "-", "-"]
    record = as_record(answers)
    assert record["Mass"] == {
        "probability": 0.5, "calibrated": False, "raw": 0.5, "threshold": 0.125, "reached": True,
    }  # fmt: skip


def test_an_evaluation_is_none_where_absent_and_named_where_of_another_version(
    tmp_path: Path,
) -> None:
    path = tmp_path / "detail.json"
    assert read_evaluation(path) is None
    path.write_text(evaluate().model_dump_json())
    assert read_evaluation(path) == evaluate()
    for text in ("{}", "", "{"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"detail\.json is of another version"):
            read_evaluation(path)


@pytest.mark.parametrize(("head", "px", "method", "stride"), [
    ("linear", 224, "cam", 32), ("linear", 32, "grad_cam_plus_plus", 8),
    ("fully_connected", 224, "grad_cam_plus_plus", 32),
])  # fmt: skip
def test_heatmaps_are_cam_where_it_is_exact(
    head: str, px: int, method: Method, stride: Stride
) -> None:
    recipe = tiny_recipe(input_px=px, resize_px=px, head=head, findings=["Mass", "Edema"])
    network = build_network(recipe)
    pixels = PIXELS[:2]
    maps = draw_maps(
        network,
        Part(pixels, np.arange(2), ["a", "b"], torch.zeros(2, 2)),
        recipe,
        views="flip",
        findings=["Edema"],
        method=method,
        stride=stride,
        device=CPU,
        precision="fp32",
        what="",
    )
    geometry = describe_maps(recipe, views="flip", method=method, stride=stride)
    expected = [lay_out(coarse, geometry, cells=48) for coarse in maps]
    found = list(map_images(network, pixels, recipe, views="flip", findings=["Edema"], device=CPU))
    assert found[0].shape == (1, 48, 48)
    np.testing.assert_allclose(np.stack(found), np.stack(expected), atol=1e-5)


def test_a_caption_has_finding_probability_and_what_it_is_not() -> None:
    answer = Answer("Mass", raw=0.25, calibrated=0.5, threshold=None)
    first, second = caption(answer, recipe="best", drawn=True)
    assert first == "Mass 0.500 calibrated (0.250 raw), best"
    assert second == f"{NOTICE} best was trained on drawn images."
    raw = Answer("Mass", raw=0.25, calibrated=None, threshold=None)
    assert caption(raw, recipe="best", drawn=False) == ("Mass 0.250 raw, best", NOTICE)


def test_every_file_has_a_name_of_its_own() -> None:
    files = ["a/x.png", "b/X.jpg", "x-2.png", "1.2.840.1", "1.2.840.2", "y" * 300 + ".png"]
    names = name_pictures([Path(file) for file in files])
    assert names[:5] == ["x", "X-2", "x-2-2", "1.2.840.1", "1.2.840.2"]
    assert len(names[5]) == 100


def test_a_finding_is_part_of_a_file_name_whatever_it_is_called() -> None:
    found = name_findings(["Mass", "Nodule/Mass", "Nodule Mass", "Ödem (links)", "a.b"])
    assert found == ["Mass", "Nodule-Mass", "Nodule-Mass-2", "Ödem-links-", "a.b"]
