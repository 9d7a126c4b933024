import numpy as np
import pytest
import torch

from chestxray14.localization.baselines import enlarge, put_noise
from chestxray14.localization.boxes import NO_BOXES
from chestxray14.localization.cases import Case


def case(image: str, finding: str) -> Case:
    """Make a case in which nothing is found."""
    return Case(
        *(image, finding, NO_BOXES, NO_BOXES, NO_BOXES),
        peak=(np.nan, np.nan),
        probability=0.5,
        called=True,
        labelled=True,
    )


def test_noise_depends_on_seed_image_and_finding_alone() -> None:
    cases = [case("a.png", "Mass"), case("b.png", "Mass"), case("a.png", "Nodule")]

    def peaks(cases: list[Case], seed: int) -> dict[tuple[str, str], list[tuple[float, float]]]:
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for noisy in put_noise(cases, cells=8, resolution=32, seed=seed):
            found.setdefault((noisy.image, noisy.finding), []).append(noisy.peak)
        return found

    first, again = peaks(cases, 0), peaks(cases[::-1], 0)
    assert first == again
    drawn = [*first.values(), *peaks(cases, 1).values()]
    assert len({tuple(points) for points in drawn}) == 6
    assert all(len(set(points)) > 1 for points in drawn)


@pytest.mark.parametrize(("cells", "resolution"), [(1, 4), (7, 128), (8, 32), (7, 100)])
def test_maps_are_enlarged_as_pytorch_does(cells: int, resolution: int) -> None:
    heatmap = np.random.default_rng(0).random((cells, cells))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(heatmap)[None, None],
        size=(resolution, resolution),
        mode="bilinear",
        align_corners=False,
    )[0, 0]
    np.testing.assert_allclose(enlarge(heatmap, resolution), expected.numpy(), atol=1e-12)
