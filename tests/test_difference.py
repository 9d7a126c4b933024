import numpy as np
import pytest
from test_scoring import evaluate, predicted

from chestxray14.difference import subtract
from chestxray14.errors import InputError
from chestxray14.findings import FINDINGS


def test_a_network_does_not_differ_from_itself() -> None:
    scoring = evaluate(predicted())
    for told in subtract(scoring, scoring).values():
        assert told == {"difference": 0, "low": 0, "high": 0, "p": 1}


def test_the_difference_is_over_the_shared_findings_in_the_same_draws() -> None:
    first = evaluate(predicted())
    # Findings 4 to 13 of other predictions for the same images.
    second = evaluate(predicted(findings=FINDINGS[4:]))
    told = subtract(first, second)
    assert list(told) == ["macro", *FINDINGS[4:]]
    values = [
        [each.evaluation.findings[finding].auroc.value for finding in FINDINGS[4:]]
        for each in (first, second)
    ]
    assert told["macro"]["difference"] == pytest.approx(
        np.mean(values[0]) - np.mean(values[1]), abs=1e-5
    )
    drawn = first.draws[:, 4:].mean(axis=1) - second.draws.mean(axis=1)
    np.testing.assert_allclose(
        [told["macro"]["low"], told["macro"]["high"]], np.percentile(drawn, [2.5, 97.5]), atol=1e-5
    )
    back = subtract(second, first)
    assert back["macro"]["difference"] == -told["macro"]["difference"]
    assert back["Mass"]["low"] == -told["Mass"]["high"]
    assert back["Mass"]["p"] == told["Mass"]["p"]


def test_networks_without_a_common_finding_are_refused() -> None:
    halves = [evaluate(predicted(findings=part)) for part in (FINDINGS[:7], FINDINGS[7:])]
    with pytest.raises(InputError, match="no scored finding in common"):
        subtract(*halves)
