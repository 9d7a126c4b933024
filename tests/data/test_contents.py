import pandas as pd
import pytest

from chestxray14.base.errors import InputError
from chestxray14.data.contents import _keep_archives


def test_archives_that_hold_no_listed_image_are_named() -> None:
    # NIH's first archive begins with patient 1, its last ends with patient 30,805.
    labels = pd.DataFrame({"image": ["00000001_000.png", "00030805_000.png"]})
    kept, lists = _keep_archives(labels, {"test": labels["image"].tolist()}, [12], name="folder")
    assert kept["image"].tolist() == lists["test"] == ["00030805_000.png"]
    with pytest.raises(InputError, match=r"datasets\.folder\.archives: found \[5\].* 2 listed"):
        _keep_archives(labels, {}, [5], name="folder")
