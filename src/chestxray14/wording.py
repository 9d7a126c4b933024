"""How sections word their headings and what they leave out, and how they round shares."""

from chestxray14.comparison import Comparison, Group
from chestxray14.results import name_runs


def title_group(group: Group, claim: str) -> str:
    """Return a heading: the splits of a group of runs, LEAKY where they are, and what is shown."""
    return f"{group.splits[0].upper()}{group.splits[1:]}: {claim}"


def explain_left_out(comparison: Comparison) -> tuple[str, ...]:
    """Say which runs a section shows no details of, and why; nothing where it shows all."""
    leaky = [run for run in comparison.runs if run.leaky]
    if not leaky or comparison.honest[0].leaky:
        return ()
    names = name_runs(leaky, among=comparison.runs)
    why = "tested on patients it was trained on, its details say nothing about new ones"
    return (f"{names} stands in the tables over all runs only: {why}.",)


def share_text(share: float) -> str:
    """Return a share of images or of calls as the report prints it."""
    return f"{share:.3f}"


def gap_text(gap: float) -> str:
    """Return a difference of two shares as the report prints it."""
    # Adding 0 makes a gap that rounds to minus zero plain zero.
    rounded = round(gap, 3) + 0.0
    return f"{rounded:+.3f}".replace("-", "−") if rounded else share_text(0)
