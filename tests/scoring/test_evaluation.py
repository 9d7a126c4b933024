import json
from collections.abc import Callable
from typing import Any

import pytest
from fake_run import make_run
from pydantic import ValidationError

from chestxray14.scoring.evaluation import Evaluation


def test_an_evaluation_survives_its_file() -> None:
    evaluation = make_run().evaluation
    text = evaluation.model_dump_json(exclude_none=True)
    assert Evaluation.model_validate_json(text) == evaluation


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content["auroc"].pop("micro"),
        lambda content: content["auroc"]["macro"].update(value=1.2),
        lambda content: content["auroc"]["macro"].update(value="high"),
        lambda content: content["findings"]["Mass"].pop("prevalence"),
        lambda content: content.update(more=1),
        lambda content: content.pop("split_sha256"),
    ],
)
def test_impossible_or_missing_scores_are_refused(damage: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(make_run().evaluation.model_dump_json())
    damage(content)
    with pytest.raises(ValidationError):
        Evaluation.model_validate_json(json.dumps(content))
