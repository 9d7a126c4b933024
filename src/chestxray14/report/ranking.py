"""The networks on the same test images, in order, and how sure the order is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from chestxray14.report.results import Run, Scored
from chestxray14.scoring.claims import adjust, estimate, estimate_difference, suffice_for_mean
from chestxray14.scoring.evaluation import Difference, Estimate

Lead = Literal["alone", "clear", "tie", "unknown", "behind"]
"""None to compare with; p below 0.05; not below; too few patients to say; behind all others, each over
the fewer findings that it scores."""


@dataclass(frozen=True)
class Standing:
    """A network's place: its mean AUROC, and how far it is below the leader.

    `gap` is the leader's less its own over the `shared` findings that both score, p by Holm over all
    gaps of the ranking; None for the leader itself, and where nothing is shared.
    """

    run: Run
    macro: Estimate
    gap: Difference | None = None
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranking:
    """The networks on one set of test images.

    First the recipes of the most findings, the same ones, by their mean over these, then the others by
    their gap, what was pretrained elsewhere last. `above_floor` is the leader less metadata alone, over the
    findings of both: the mean, then each finding, p of these by Holm; empty, and `floor` None,
    where nothing but pixels is known.
    """

    standings: tuple[Standing, ...]
    above_floor: Mapping[str, Difference]
    floor: Estimate | None

    @property
    def leader(self) -> Run:
        """The network in the first place."""
        return self.standings[0].run

    @property
    def alike(self) -> tuple[Standing, ...]:
        """The other recipes, where the leader is one, else the others that were pretrained."""
        recipe = bool(self.leader.recipe)
        return tuple(s for s in self.standings[1:] if bool(s.run.recipe) is recipe)

    @property
    def compared(self) -> tuple[Standing, ...]:
        """Those of `alike` that share a finding with the leader."""
        return tuple(s for s in self.alike if s.gap)

    @property
    def ahead(self) -> tuple[Standing, ...]:
        """Those of fewer findings that are told apart from the leader and above it, over these."""
        return tuple(s for s in self.compared if s.gap and s.gap.told_apart and s.gap.value < 0)

    @property
    def highest(self) -> bool:
        """Whether no other has a higher mean, if over other findings; recipes, where it is one."""
        return all(s.macro.value <= self.standings[0].macro.value for s in self.alike)

    @property
    def next(self) -> Standing | None:
        """The first recipe after the leader that is not ahead, None where there is none."""
        return next((s for s in self.compared if s not in self.ahead), None)

    @property
    def lead(self) -> Lead:
        """What the draws say of the leader's distance from the next."""
        if self.next is None or self.next.gap is None:
            return "behind" if self.ahead else "alone"
        if self.next.gap.p is None:
            return "unknown"
        return "clear" if self.next.gap.told_apart else "tie"

    @property
    def tied(self) -> tuple[Run, ...]:
        """The recipes that are not told apart from the leader."""
        return tuple(s.run for s in self.compared if s.gap and not s.gap.told_apart)

    @property
    def against_metadata(self) -> tuple[str, ...]:
        """The findings in which there are patients enough to tell the leader from metadata alone."""
        gaps = self.above_floor.items()
        return tuple(name for name, gap in gaps if name != "macro" and gap.p is not None)

    @property
    def above_metadata(self) -> tuple[str, ...]:
        """The findings in which the leader is told apart from metadata alone, and above it."""
        gaps = self.above_floor
        return tuple(f for f in self.against_metadata if gaps[f].told_apart and gaps[f].value > 0)

    @property
    def asked(self) -> int:
        """How many gaps have a p, adjusted for all of them."""
        return sum(s.gap is not None and s.gap.p is not None for s in self.standings)

    @property
    def protocols(self) -> tuple[str, ...]:
        """The splits that have these test images."""
        return tuple(sorted({standing.run.protocol for standing in self.standings}))


def rank_all(runs: Sequence[Run], floors: Mapping[str, Scored]) -> tuple[Ranking, ...]:
    """Return a ranking for each set of test images: that of the most recipes first, leaks last.

    What was pretrained elsewhere counts where there is no other difference.
    """
    groups: dict[tuple[bool, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.leaky, run.split.test.sha256), []).append(run)

    def order(members: Sequence[Run]) -> tuple[bool, int, int]:
        return members[0].leaky, -sum(run.recipe is not None for run in members), -len(members)

    return tuple(rank(members, floors) for members in sorted(groups.values(), key=order))


def rank(runs: Sequence[Run], floors: Mapping[str, Scored]) -> Ranking:
    """Return the ranking of networks on the same test images."""
    sets = Counter(run.findings for run in [run for run in runs if run.recipe] or runs)
    most = max(sets, key=lambda findings: (len(findings), sets[findings], findings))

    def order(run: Run) -> tuple[bool, bool, float]:
        return not run.recipe, run.findings != most, -run.scored.mean(run.findings)

    leader, *others = sorted(runs, key=order)
    in_all = leader.evaluation.units
    standings = []
    for run in others:
        shared = share(leader, run)
        gap = subtract(leader.scored, run.scored, shared, in_all=in_all) if shared else None
        standings.append(Standing(run, run.evaluation.auroc["macro"], gap, shared))
    gaps = iter(adjust([standing.gap for standing in standings if standing.gap]))
    standings = [replace(s, gap=next(gaps)) if s.gap else s for s in standings]
    whole = [s for s in standings if s.run.recipe and s.run.findings == most]
    rest = sorted(
        (s for s in standings if s not in whole),
        key=lambda s: (not s.run.recipe, s.gap.value if s.gap else 1.0),
    )
    ordered = (Standing(leader, leader.evaluation.auroc["macro"]), *whole, *rest)
    floor = floors.get(leader.protocol)
    shared = share(leader, floor) if floor else ()
    if not floor or not shared:
        return Ranking(ordered, above_floor={}, floor=None)
    mean = subtract(leader.scored, floor, shared, in_all=in_all)
    each = adjust([subtract(leader.scored, floor, [f], in_all=in_all) for f in shared])
    return Ranking(
        ordered,
        above_floor={"macro": mean, **dict(zip(shared, each, strict=True))},
        floor=average(floor, shared, in_all=in_all),
    )


def average(scored: Scored, findings: Sequence[str], *, in_all: int) -> Estimate:
    """Return the mean AUROC over some findings, `in_all` being `Evaluation.units`."""
    enough = suffice_for_mean([scored.patients[name] for name in findings], in_all=in_all)
    return estimate(scored.mean(findings), scored.draw(findings), enough=enough)


def subtract(upper: Scored, lower: Scored, findings: Sequence[str], *, in_all: int) -> Difference:
    """Return the paired difference of two mean AUROC over the same findings and images."""
    return estimate_difference(
        upper.mean(findings) - lower.mean(findings),
        upper.draw(findings) - lower.draw(findings),
        enough=suffice_for_mean([upper.patients[name] for name in findings], in_all=in_all),
    )


def share(run: Run, other: Run | Scored) -> tuple[str, ...]:
    """Return the findings that both score, in the order of the run's."""
    return tuple(finding for finding in run.findings if finding in other.findings)
