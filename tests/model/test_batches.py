import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_index

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.model.batches import (
    count_steps,
    ordered_batches,
    sample_part,
    select_part,
    shuffled_batches,
)

CPU = torch.device("cpu")
INDEX = make_index(11)
IMAGES = np.arange(len(INDEX), dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), dtype=np.uint8)
SPLIT = pd.DataFrame({"image": INDEX["image"], "part": ["train"] * 30 + ["val", "test", "test"]})
TRAIN = select_part(IMAGES, INDEX, SPLIT, part="train")


@pytest.mark.parametrize("batch", [2, 7, 29, 30, 64])
def test_an_epoch_shows_every_image_once_beside_its_own_labels(batch: int) -> None:
    batches = list(shuffled_batches(TRAIN, batch=batch, seed=0, epoch=0, device=CPU))
    seen = torch.cat([images[:, 0, 0] for images, _ in batches]).numpy()
    labels = torch.cat([labels for _, labels in batches]).numpy()
    assert sorted(seen) == list(range(30))
    np.testing.assert_array_equal(labels, INDEX[list(FINDINGS)].to_numpy()[seen])
    assert len(batches) == count_steps(TRAIN, batch=batch)
    sizes = {len(images) for images, _ in batches}
    assert max(sizes) <= batch
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1


def test_an_odd_number_of_images_leaves_no_batch_of_one() -> None:
    split = SPLIT.assign(part=["train"] * 5 + ["val"] * 28)
    part = select_part(IMAGES, INDEX, split, part="train")
    batches = shuffled_batches(part, batch=2, seed=0, epoch=0, device=CPU)
    assert sorted(len(images) for images, _ in batches) == [2, 3]


def order(seed: int, epoch: int) -> list[int]:
    batches = shuffled_batches(TRAIN, batch=8, seed=seed, epoch=epoch, device=CPU)
    return torch.cat([images[:, 0, 0] for images, _ in batches]).tolist()


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert order(0, 3) == order(0, 3)
    assert len({tuple(order(*key)) for key in ((0, 0), (0, 1), (1, 0), (1, 1))}) == 4


def test_prediction_keeps_the_order_of_the_index() -> None:
    batches = ordered_batches(TRAIN, batch=8, device=CPU)
    assert torch.cat([images[:, 0, 0] for images, _ in batches]).tolist() == list(range(30))


def test_labels_are_those_of_the_named_findings_in_their_order() -> None:
    part = select_part(IMAGES, INDEX, SPLIT, part="val", findings=("Hernia", "Mass"))
    expected = INDEX.loc[INDEX["image"].isin(part.names), ["Hernia", "Mass"]]
    np.testing.assert_array_equal(part.labels.numpy(), expected.to_numpy())


def test_a_sample_is_drawn_by_its_seed_in_order_with_its_own_labels() -> None:
    drawn = sample_part(TRAIN, at_most=9, seed=3)
    assert drawn.names == sample_part(TRAIN, at_most=9, seed=3).names == sorted(drawn.names)
    assert drawn.names != sample_part(TRAIN, at_most=9, seed=4).names
    rows = INDEX.set_index("image").loc[drawn.names]
    np.testing.assert_array_equal(drawn.rows, rows["row"])
    np.testing.assert_array_equal(drawn.labels.numpy(), rows[list(FINDINGS)])
    assert sample_part(TRAIN, at_most=99, seed=0).names == TRAIN.names


def test_a_split_of_other_data_is_refused() -> None:
    strange = pd.DataFrame({"image": ["strange.png"], "part": ["train"]})
    with pytest.raises(InputError, match="names 1 images that the packed data lacks"):
        select_part(IMAGES, INDEX, strange, part="train")


def test_an_index_of_other_images_is_refused() -> None:
    last = len(INDEX) - 1
    with pytest.raises(InputError, match=rf"names row {last} of {last} packed images"):
        select_part(IMAGES[:last], INDEX, SPLIT, part="test")
