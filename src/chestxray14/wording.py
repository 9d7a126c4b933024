"""How the sections beyond AUROC word their headings and round their numbers."""

from chestxray14.comparison import Group


def title_group(group: Group, claim: str) -> str:
    """Return a heading: the splits of a group of runs, LEAKY where they are, and what is shown."""
    return f"{group.splits[0].upper()}{group.splits[1:]}: {claim}"


def share_text(share: float) -> str:
    """Return a share of images or of calls as the report prints it."""
    return f"{share:.3f}"
