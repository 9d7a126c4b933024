"""What several sections say in the same words: headings, ranges, shares and counts."""

from collections.abc import Callable, Mapping, Sequence

from chestxray14.report.comparison import Group
from chestxray14.report.tables import NONE, Cell, Column, Filled
from chestxray14.scoring.evaluation import FindingScores


def title_group(group: Group, claim: str) -> str:
    """Return a heading: the splits of a group of runs, LEAKY where they are, and what is shown."""
    return f"{group.splits[0].upper()}{group.splits[1:]}: {claim}"


def range_text(values: Mapping[str, float], show: Callable[[float], str]) -> str:
    """Return the lowest and the highest of some values, as `show` prints them, with their names."""
    low, high = (choose(values, key=lambda name: values[name]) for choose in (min, max))
    if show(values[low]) == show(values[high]):
        return f"{show(values[low])} in each"
    return f"lowest {show(values[low])} ({low}), highest {show(values[high])} ({high})"


def validation_column(scores: Sequence[FindingScores]) -> Filled:
    """Return how many validation images show each finding, which thresholds and slopes rest on."""
    counts = [found.val_positives for found in scores]
    cells = [Cell(NONE if count is None else f"{count:,}") for count in counts]
    return Column("Positives", "in the validation part"), cells


def patients_text(count: int) -> str:
    """Return how many patients there are; 0 are those of a dataset that does not tell them."""
    return f"{count:,} patients" if count else "patients that are not in this dataset"


def share_text(share: float) -> str:
    """Return a share of images or of calls as the report prints it."""
    return f"{share:.3f}"


def share_gap_text(gap: float) -> str:
    """Return a difference of two shares as the report prints it."""
    # Adding 0 makes a gap that rounds to minus zero plain zero.
    rounded = round(gap, 3) + 0.0
    return f"{rounded:+.3f}".replace("-", "−") if rounded else share_text(0)
