import numpy as np
import pytest
from made_predictions import evaluate, predicted

from chestxray14.base.errors import InputError
from chestxray14.base.findings import FINDINGS
from chestxray14.scoring.claims import p_value
from chestxray14.scoring.difference import subtract
from chestxray14.scoring.evaluation import Difference


def test_a_network_does_not_differ_from_itself() -> None:
    scoring = evaluate(predicted())
    for told in subtract(scoring, scoring).differences.values():
        assert told == Difference(value=0)


def test_the_difference_is_over_the_shared_findings_in_the_same_draws() -> None:
    first = evaluate(predicted())
    # Findings 4 to 13 of other predictions for the same images.
    second = evaluate(predicted(findings=FINDINGS[4:]))
    found = subtract(first, second)
    told = found.differences
    assert (found.findings, found.images, found.patients) == (10, 120, 40)
    assert found.draws == len(first.draws)
    assert found.split_sha256 == first.evaluation.split_sha256
    assert found.label_version == "original"
    assert list(told) == ["macro", *FINDINGS[4:]]
    values = [
        [each.evaluation.findings[finding].auroc.value for finding in FINDINGS[4:]]
        for each in (first, second)
    ]
    assert told["macro"].value == pytest.approx(np.mean(values[0]) - np.mean(values[1]), abs=1e-5)
    drawn = first.draws[:, 4:].mean(axis=1) - second.draws.mean(axis=1)
    np.testing.assert_allclose(
        [told["macro"].low, told["macro"].high], np.percentile(drawn, [2.5, 97.5]), atol=1e-5
    )
    back = subtract(second, first).differences
    assert back["macro"].value == -told["macro"].value
    assert told["Mass"].high is not None
    assert back["Mass"].low == -told["Mass"].high
    assert back["Mass"].p == told["Mass"].p


def test_the_p_of_findings_are_by_holm_and_that_of_the_mean_is_its_own() -> None:
    first, second = evaluate(predicted()), evaluate(predicted(seed=3))
    told = subtract(first, second).differences
    gaps = first.draws - second.draws
    alone = {name: p_value(gaps[:, i]) for i, name in enumerate(FINDINGS)}
    smallest = min(alone, key=lambda name: alone[name])
    assert told[smallest].p == pytest.approx(min(1, 14 * alone[smallest]), abs=1e-5)
    assert told["macro"].p == pytest.approx(p_value(gaps.mean(axis=1)), abs=1e-5)


def test_nineteen_patients_have_a_difference_without_interval_and_p() -> None:
    first, second = (
        evaluate(predicted(patients=19, findings=part)) for part in (FINDINGS, FINDINGS[4:])
    )
    for told in subtract(first, second).differences.values():
        assert (told.low, told.high, told.p) == (None, None, None)


def test_networks_without_a_common_finding_are_refused() -> None:
    halves = [evaluate(predicted(findings=part)) for part in (FINDINGS[:7], FINDINGS[7:])]
    with pytest.raises(InputError, match="no scored finding in common"):
        subtract(*halves)
