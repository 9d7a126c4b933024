"""What a report is made from; a section's facts are what its template in templates/ tells of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from chestxray14.files.predictions import Predicted
from chestxray14.report.gallery import Picture
from chestxray14.report.published import Published
from chestxray14.report.ranking import Ranking
from chestxray14.report.results import Results, Run
from chestxray14.scoring.claims import choose_digits
from chestxray14.scoring.evaluation import TOO_NARROW

Facts = dict[str, Any]
"""What a template needs beside `Told`: figures, and what has to be computed."""


@dataclass(frozen=True)
class Told:
    """All that a report is made from; `agreement` is of the labels with radiologists."""

    results: Results
    rankings: tuple[Ranking, ...]
    published: Published
    test: Predicted
    pictures: Sequence[Picture]
    agreement: pd.DataFrame

    @property
    def first(self) -> Ranking:
        """The ranking of the first screen."""
        return self.rankings[0]

    @property
    def leader(self) -> Run:
        """The network that sections without room for all are about."""
        return self.first.leader

    @property
    def interval(self) -> str:
        """What an interval is called: never without a warning where patients are not known."""
        known = self.leader.evaluation.patients > 0
        return "95 % interval" if known else f"95 % interval {TOO_NARROW}"

    @property
    def macro_digits(self) -> int:
        """Decimals of mean AUROC and of its gaps."""
        standings = self.first.standings
        return choose_digits([*(s.macro for s in standings), *(s.gap for s in standings if s.gap)])

    @property
    def digits(self) -> int:
        """Decimals of a finding's scores."""
        return choose_digits(f.auroc for f in self.leader.evaluation.findings.values())
