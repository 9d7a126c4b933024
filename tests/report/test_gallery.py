import numpy as np
import pytest
from fake_run import make_test
from hypothesis import given
from hypothesis import strategies as st

from chestxray14.base.findings import FINDINGS
from chestxray14.files.predictions import Predicted
from chestxray14.report.gallery import choose_at_random, choose_mistakes


def test_mistakes_are_the_surest_of_each_finding() -> None:
    test = make_test()
    found = {
        (kind, finding): place for kind, finding, place in choose_mistakes(test, thresholds={})
    }
    assert len(found) == 2 * len(FINDINGS)
    for finding in FINDINGS:
        table = test.probabilities[finding]
        absent, present = (table[test.known[finding] == label] for label in (0, 1))
        assert found["false alarm", finding] == absent.idxmax()
        assert found["missed", finding] == present.idxmin()


def test_what_is_called_rightly_is_no_mistake() -> None:
    test = make_test()
    # Every image is called for Mass, none for Edema.
    thresholds = {"Mass": 0.0, "Edema": 1.0}
    found = {(kind, finding) for kind, finding, _ in choose_mistakes(test, thresholds=thresholds)}
    assert {("false alarm", "Mass"), ("missed", "Edema")} <= found
    assert not {("missed", "Mass"), ("false alarm", "Edema")} & found


def test_a_finding_of_one_class_has_no_mistake() -> None:
    test = make_test()
    one = Predicted(test.known.assign(Mass=1, Edema=0), test.probabilities)
    found = {finding for _, finding, _ in choose_mistakes(one, thresholds={})}
    assert found == set(FINDINGS) - {"Mass", "Edema"}


@given(st.integers(0, 9))
def test_the_lot_falls_on_names_and_not_on_rows(seed: int) -> None:
    test = make_test()
    order = np.random.default_rng(seed).permutation(20)
    turned = Predicted(test.known.iloc[order], test.probabilities.iloc[order])

    def names(of: Predicted) -> list[str]:
        places = choose_at_random(of, count=5, seed=seed)
        return of.known["image"].iloc[places].tolist()

    assert names(test) == names(turned)
    assert len(set(names(test))) == 5


@pytest.mark.parametrize("count", [8, 30])
def test_no_more_images_are_drawn_than_there_are(count: int) -> None:
    assert len(choose_at_random(make_test(), count=count, seed=0)) == min(count, 20)
