"""Which heatmaps people get to see: a few hits and misses of each finding, drawn by seed."""

from collections.abc import Sequence

from chestxray14.base.draws import generator
from chestxray14.base.findings import BOXED_FINDINGS
from chestxray14.base.notices import NOTICE
from chestxray14.base.scores import DIGITS
from chestxray14.localization.boxes import iobb
from chestxray14.localization.cases import Case
from chestxray14.localization.record import HEADLINES, Shown


def choose_shown(cases: Sequence[Case], *, each: int, seed: int) -> list[tuple[Case, Shown]]:
    """Return up to `each` hits and as many misses of every finding, its hits first.

    A case with a radiologist's box is a hit where the best overlap of a predicted box exceeds the
    headline's. The draw depends on `seed` and the finding alone.
    """
    chosen = []
    for k, finding in enumerate(BOXED_FINDINGS):
        boxed = [case for case in cases if case.finding == finding and len(case.truth)]
        order = generator("pictures", seed, k).permutation(len(boxed))
        overlaps = [float(iobb(case.found, case.truth).max(initial=0)) for case in boxed]
        for hit in (True, False):
            alike = [i for i in order if (overlaps[i] > float(HEADLINES["IoBB"])) == hit]
            for number, i in enumerate(alike[:each], start=1):
                shown = Shown(
                    file=f"{finding}_{'hit' if hit else 'missed'}_{number}.jpg",
                    image=boxed[i].image,
                    finding=finding,
                    hit=hit,
                    probability=round(boxed[i].probability, DIGITS),
                    iobb=round(overlaps[i], DIGITS),
                )
                chosen.append((boxed[i], shown))
    return chosen


def caption(shown: Shown, *, recipe: str, drawn: bool) -> tuple[str, str, str]:
    """Return the lines below a picture: the case, the colours, and where the image is from."""
    result = "hit" if shown.hit else "missed"
    whose, origin = (
        ("as drawn", "Phantom: drawn, no patient.")
        if drawn
        else ("radiologist's", "Image: NIH Clinical Center.")
    )
    return (
        f"{shown.finding} {shown.probability:.3f} raw, {recipe}: {result}, IoBB {shown.iobb:.2f}",
        f"{shown.image}; cyan: box {whose}, white: predicted",
        f"{NOTICE} {origin}",
    )
