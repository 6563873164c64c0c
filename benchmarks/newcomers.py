"""How soon are bad new reviewers found, and people who get worse little by little?

    python -m benchmarks.newcomers [--seeds 30] [--processes 2] [--part new|fading]

New reviewers of known habits give the reviews of their probation, each beside one expert's; labellers who
were good lose a little of their accuracy with every answer, beside others who stay as they are. Both are
judged by the functions that run in production, under the default policy. Prints tables of docs/quality.md.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from benchmarks.detectors import BAD_REVIEWERS, BETWEEN, SCORES, Rate, draw, reviewed, seen_by
from benchmarks.quality import START, Labeller, World
from crowd.gold.refreshers.rules import Judged, drift
from crowd.policy import Grade, Policy, Stage, load_policy
from crowd.review import detectors
from crowd.review.detectors import Overlap
from crowd.review.policy import passes
from crowd.simulation.line.book import ScoreBook
from crowd.tiers.promotion import Career, suggest
from crowd.tiers.score import Evidence, Kind

KINDS = ("good", *BAD_REVIEWERS, *BETWEEN)
# Out of ten new reviewers so many are good; the others take turns.
GOOD = 6

WARM, AFTER = 200, 600
FROM, DOWN_TO = 0.97, 0.5
# Points of accuracy lost with each judged answer.
PACES = {"steady": 0.0, "a point in 20 answers": 0.0005, "a point in 10 answers": 0.001}
OF_EACH = 4
# Four looks a day for a refresher, as upkeep has them.
LOOKS = 10


@dataclass
class Found:
    """After how many judged answers something was noticed; nothing for those of whom it never was."""

    after: list[int] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    of: int = 0

    def add(self, after: int | None, accuracy: float = 0.0) -> None:
        """One more person."""
        self.of += 1
        if after is not None:
            self.after.append(after)
            self.accuracies.append(accuracy)

    @property
    def rate(self) -> Rate:
        """How many were noticed."""
        return Rate(len(self.after), self.of)

    @property
    def median(self) -> str:
        """The median over all, those who were never noticed last, with its 95 % interval."""
        if not self.after:
            return "–"
        ordered = [*sorted(self.after), *[10**9] * (self.of - len(self.after))]
        reach = round(1.96 * self.of**0.5 / 2)
        places = (self.of // 2, max(self.of // 2 - reach, 0), min(self.of // 2 + reach, self.of - 1))
        middle, low, high = (f"{ordered[place]}" if ordered[place] < 10**9 else "never" for place in places)
        return f"{middle} ({low} to {high})"

    @property
    def accuracy(self) -> str:
        """How accurate they were when they were noticed, on average."""
        return f"{sum(self.accuracies) / len(self.accuracies):.2f}" if self.accuracies else "–"


def probation(seeds: int) -> Iterator[str]:
    """The reviews of a probation: after which one the detectors or the rule of the bounds notice somebody."""
    policy = load_policy()
    heads = ("images", "reviewers", "noticed within 100 reviews", "by a flag", "by the bounds")
    yield f"| {' | '.join(heads)} | reviews until then, median |"
    yield "|---|---|---|---|---|---|"
    for name, scores in SCORES.items():
        noticed = {kind: Found() for kind in (*KINDS, "all bad")}
        flagged, demoted = ({kind: Found() for kind in (*KINDS, "all bad")} for _ in range(2))
        for seed in range(seeds):
            rng = random.Random(f"probation {name} {seed}")
            bad = [BAD_REVIEWERS[(seed * 4 + n) % len(BAD_REVIEWERS)] for n in range(10 - GOOD)]
            for kind in (*["good"] * GOOD, *bad, *BETWEEN):
                flag, bounds = _judge_newcomer(rng, kind, scores, policy)
                first = min((each for each in (flag, bounds) if each is not None), default=None)
                for group in (kind, "all bad") if kind in BAD_REVIEWERS else (kind,):
                    noticed[group].add(first)
                    flagged[group].add(flag)
                    demoted[group].add(bounds)
        for kind in ("good", "all bad", *BAD_REVIEWERS, *BETWEEN):
            cells = (noticed[kind].rate, flagged[kind].rate, demoted[kind].rate, noticed[kind].median)
            yield f"| {name} | {kind} | " + " | ".join(map(str, cells)) + " |"


def _judge_newcomer(
    rng: random.Random, kind: str, scores: Mapping[int, float], policy: Policy
) -> tuple[int | None, int | None]:
    """After how many reviews a flag was opened and a lower grade proposed; None: it was not."""
    book, overlaps = ScoreBook(policy), list[Overlap]()
    flag = bounds = None
    for place in range(1, policy.probation.reviews + 1):
        true = draw(rng, scores)
        own, expert = reviewed(rng, kind, true, scores), seen_by(rng, true, 0.85, 0.12)
        overlaps.append(Overlap(1, place, own, float(expert)))
        at = START + timedelta(hours=place / 5)
        book.record(
            [
                Evidence(
                    worker_id=1,
                    stage=Stage.FIRST_REVIEW,
                    kind=Kind.AGREEMENT,
                    value=float(passes({"score": own}) == passes({"score": expert})),
                    weight=1.0,
                    task_id=place,
                    at=at,
                    judge_id=2,
                    score=own,
                    against=float(expert),
                )
            ]
        )
        if flag is None and detectors.reviewer(overlaps, policy.flags) is not None:
            flag = place
        career = Career(Grade.REVIEWER, {Stage.FIRST_REVIEW: book.scores[1, Stage.FIRST_REVIEW]})
        found = suggest(career, policy, at)
        if bounds is None and found is not None and found.new is policy.demotions[Grade.REVIEWER]:
            bounds = place
    return flag, bounds


class Fading(World):
    """A crowd in which some get worse with every judged answer, once all are known."""

    def __init__(self, seed: int, policy: Policy) -> None:
        self.paces: dict[int, str] = {}
        super().__init__(seed, policy)
        self.known_then: dict[int, int] = {}
        self.refreshed: dict[int, tuple[int, float]] = {}
        self.fallen: dict[int, tuple[int, float]] = {}

    def _hire(self) -> list[Labeller]:
        people: list[Labeller] = []
        for pace in PACES:
            for _ in range(OF_EACH):
                people.append(Labeller(1 + len(people), "good", FROM))
                self.paces[len(people)] = pace
        return people

    def begin(self) -> None:
        """From now on some get worse."""
        self.known_then = {each.id: self.score_of(each).n for each in self.labellers}

    def since(self, labeller: Labeller) -> int:
        """Judged answers since the beginning."""
        return self.score_of(labeller).n - self.known_then[labeller.id]

    def look_at(self, labeller: Labeller) -> None:
        """Also for a refresher; who has begun to get worse does so."""
        moves = len(self.moves[labeller.id])
        super().look_at(labeller)
        if labeller.id not in self.known_then:
            return
        n = self.since(labeller)
        if len(self.moves[labeller.id]) > moves and self._is_fall(labeller):
            self.fallen.setdefault(labeller.id, (n, labeller.accuracy))
        if n % LOOKS == 0 and labeller.id not in self.refreshed and self._drifts(labeller):
            self.refreshed[labeller.id] = (n, labeller.accuracy)
        labeller.accuracy = max(DOWN_TO, FROM - PACES[self.paces[labeller.id]] * n)

    def _is_fall(self, labeller: Labeller) -> bool:
        grades = [Grade.GENERAL, *(grade for _, grade in self.moves[labeller.id])]
        ladder = [Grade.TRAINEE, Grade.GENERAL, Grade.SEMI_EXPERT, Grade.REVIEWER]
        return ladder.index(grades[-1]) < ladder.index(grades[-2])

    def _drifts(self, labeller: Labeller) -> bool:
        known = [each for each in self.book.evidence[labeller.id, Stage.ATTRIBUTES] if each.weight > 0]
        newest = known[::-1]
        judged = [Judged(each.value, each.weight) for each in newest[: self.policy.refreshers.recent + 400]]
        gold = [each.value for each in newest if each.kind is Kind.GOLD]
        return drift(judged, gold, self.policy.refreshers, self.policy.quality) is not None


@dataclass(frozen=True, slots=True)
class Faded:
    """Of each person of a seed their pace, and after how many answers, at which accuracy, it was noticed."""

    people: tuple[tuple[str, tuple[int, float] | None, tuple[int, float] | None], ...]


def fade(seed: int) -> Faded:
    """One crowd: known first, then some get worse."""
    world = Fading(seed, load_policy())
    while min(world.score_of(each).n for each in world.labellers) < WARM:
        world.day([each for each in world.labellers if world.score_of(each).n < WARM])
    world.begin()
    while left := [each for each in world.labellers if _goes_on(world, each)]:
        world.day(left)
    return Faded(
        tuple(
            (world.paces[each.id], world.refreshed.get(each.id), world.fallen.get(each.id))
            for each in world.labellers
        )
    )


def _goes_on(world: Fading, labeller: Labeller) -> bool:
    is_done = labeller.id in world.fallen and labeller.id in world.refreshed
    return not is_done and world.since(labeller) < AFTER


def fading(runs: Sequence[Faded]) -> Iterator[str]:
    """When people who get worse are offered a refresher, and when a lower grade is proposed for them."""
    yield (
        "| accuracy, from .97 | offered a refresher | judged answers until then, median | accuracy then"
        " | lower grade proposed | judged answers until then, median | accuracy then |"
    )
    yield "|---|---|---|---|---|---|---|"
    for pace in PACES:
        refreshed, fallen = Found(), Found()
        for _, offered, fell in (each for run in runs for each in run.people if each[0] == pace):
            for found, noticed in ((refreshed, offered), (fallen, fell)):
                after, accuracy = noticed or (None, 0.0)
                found.add(after, accuracy)
        cells = (refreshed.rate, refreshed.median, refreshed.accuracy)
        more = (fallen.rate, fallen.median, fallen.accuracy)
        yield f"| {pace} | " + " | ".join(map(str, (*cells, *more))) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds and print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.newcomers", description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--part", choices=("new", "fading"), help="one of the two tables alone")
    options = parser.parse_args(arguments)
    if options.part != "fading":
        print(f"### New reviewers ({options.seeds} seeds)\n")
        for line in probation(options.seeds):
            print(line, flush=True)
    if options.part == "new":
        return 0
    runs = []
    with ProcessPoolExecutor(options.processes) as pool:
        for run in pool.map(fade, range(1, options.seeds + 1)):
            runs.append(run)
            print(f"seed {len(runs)}", file=sys.stderr, flush=True)
    print(f"\n### People who get worse ({options.seeds} seeds, {OF_EACH} of each, {AFTER} judged answers)\n")
    for line in fading(runs):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
