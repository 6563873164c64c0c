"""Do the detectors find the bad and spare the good, and do hard styles come out right for less?

    python -m benchmarks.detectors [--seeds 40]

People with known behaviour answer in process; what judges them are the product's own functions and its
default policy. Rates are pooled over the seeds, with 95 % intervals (Wilson's). Prints the tables of
docs/detectors.md.
"""

import argparse
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

from crowd.policy import Policy, Stage, load_policy
from crowd.review import detectors
from crowd.review.detectors import Chosen, Mix, Overlap
from crowd.tasks.experts import aim, best_of
from crowd.tasks.flow import Outcome
from crowd.tasks.rules import Answer, Case, StyleRules
from crowd.taxonomy import Taxonomy, load_taxonomy

POLICY = load_policy()
FLAGS = POLICY.flags


@dataclass
class Rate:
    """How often something came true, with its interval."""

    hits: int = 0
    of: int = 0

    def add(self, hit: bool) -> None:
        self.hits += hit
        self.of += 1

    def __str__(self) -> str:
        if not self.of:
            return "–"
        low, high = wilson(self.hits, self.of)
        return f"{100 * self.hits / self.of:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


# The true score of an image: the ordinary run of work, and a pool with planted bad ones.
SCORES = {
    "ordinary": {5: 0.60, 4: 0.20, 3: 0.08, 2: 0.08, 1: 0.04},
    "planted": {5: 0.45, 4: 0.15, 3: 0.15, 2: 0.15, 1: 0.10},
    "nearly all good": {5: 0.70, 4: 0.20, 3: 0.04, 2: 0.04, 1: 0.02},
}
BAD_REVIEWERS = ("random", "by the mix", "lenient", "stamp", "severe")
# Two between good and bad, who count as neither: less exact, and looking at every second image only.
BETWEEN = ("inexact", "half-hearted")
OVERLAPPED = 50
# Who turns bad does so when their probation is over.
TURN_BAD = 100


def clip(score: int) -> int:
    return max(1, min(5, score))


def seen_by(rng: random.Random, true: int, exact: float, near: float) -> int:
    """A person's score of an image whose true score it is."""
    place = rng.random()
    if place < exact:
        return true
    return clip(true + rng.choice((-1, 1) if place < exact + near else (-2, 2)))


def reviewed(rng: random.Random, kind: str, true: int, scores: Mapping[int, float]) -> int:
    looked = seen_by(rng, true, 0.75, 0.20)
    match kind:
        case "random":
            return rng.randint(1, 5)
        case "by the mix":
            return int(draw(rng, scores))
        case "lenient":
            return clip(looked + (looked < 5) + (looked < 4))
        case "stamp":
            return 5 if rng.random() < 0.98 else 4
        case "severe":
            return clip(looked - 1)
        case "inexact":
            return seen_by(rng, true, 0.65, 0.28)
        case "half-hearted":
            return looked if rng.random() < 0.5 else int(draw(rng, scores))
    return looked


def draw(rng: random.Random, shares: Mapping[Any, float]) -> Any:
    return rng.choices(list(shares), list(shares.values()))[0]


def reviewers(seeds: int) -> Iterator[str]:
    """10 reviewers a seed, 4 of them bad; each looked at after every overlap from the 30th to the 50th."""
    columns = ("good", *BAD_REVIEWERS, *BETWEEN)
    yield "| images | reference | " + " | ".join((*columns, "all bad")) + " |"
    yield "|" + "---|" * (len(columns) + 3)
    for name, scores in SCORES.items():
        for experts in (3, 1):
            rates = {kind: Rate() for kind in columns}
            for seed in range(seeds):
                rng = random.Random(f"reviewers {name} {experts} {seed}")
                kinds = ["good"] * 6 + [BAD_REVIEWERS[(seed * 4 + n) % len(BAD_REVIEWERS)] for n in range(4)]
                for kind in (*kinds, *BETWEEN):
                    rates[kind].add(is_flagged(rng, kind, scores, experts))
            bad = [rates[kind] for kind in BAD_REVIEWERS]
            whole = Rate(sum(rate.hits for rate in bad), sum(rate.of for rate in bad))
            median = f"median of {experts}" if experts > 1 else "one other"
            yield f"| {name} | {median} | " + " | ".join(map(str, [*rates.values(), whole])) + " |"


def is_flagged(rng: random.Random, kind: str, scores: Mapping[int, float], experts: int) -> bool:
    overlaps: list[Overlap] = []
    for image in range(OVERLAPPED):
        true = draw(rng, scores)
        reference = statistics.median(seen_by(rng, true, 0.85, 0.12) for _ in range(experts))
        overlaps.append(Overlap(1, image, reviewed(rng, kind, true, scores), reference))
        if detectors.reviewer(overlaps, FLAGS) is not None:
            return True
    return False


def long_run(seeds: int) -> Iterator[str]:
    """Good reviewers over 400 overlaps, looked at after every tenth."""
    rate, stamps = Rate(), Rate()
    scores = SCORES["ordinary"]
    for seed in range(seeds):
        rng = random.Random(f"long {seed}")
        crew: list[list[Overlap]] = [[] for _ in range(10)]
        flagged, stamped = [False] * 10, [False] * 10
        for image in range(400):
            for place, overlaps in enumerate(crew):
                true = draw(rng, scores)
                reference = statistics.median(seen_by(rng, true, 0.85, 0.12) for _ in range(3))
                overlaps.append(Overlap(place, image, reviewed(rng, "good", true, scores), reference))
            if image % 10 == 9:
                for place, overlaps in enumerate(crew):
                    latest = overlaps[-FLAGS.overlap_seats :]
                    flagged[place] |= detectors.reviewer(latest, FLAGS) is not None
                    own = [each.score for each in overlaps]
                    others = [[each.score for each in other] for other in crew if other is not overlaps]
                    stamped[place] |= detectors.rubber_stamp(own, others, FLAGS) is not None
        for place in range(10):
            rate.add(flagged[place])
            stamps.add(stamped[place])
    yield f"Good reviewers ever flagged in 400 overlaps: {rate}; as rubber stamps: {stamps}."


def turned(seeds: int) -> Iterator[str]:
    """Reviewers who are careful for the hundred overlaps of their probation, and then no longer."""
    columns = (*BAD_REVIEWERS, "all", "overlaps until the flag (median)")
    yield "| images | reference | " + " | ".join(columns) + " |"
    yield "|" + "---|" * (len(columns) + 2)
    for name, scores in SCORES.items():
        for experts in (3, 1):
            rates, after = {kind: Rate() for kind in BAD_REVIEWERS}, list[float]()
            for seed in range(seeds):
                rng = random.Random(f"turned {name} {experts} {seed}")
                for kind in BAD_REVIEWERS:
                    place = _noticed_after(rng, kind, scores, experts)
                    rates[kind].add(place <= OVERLAPPED)
                    after.append(place)
            whole = Rate(sum(rate.hits for rate in rates.values()), sum(rate.of for rate in rates.values()))
            median = f"median of {experts}" if experts > 1 else "one other"
            cells = [*map(str, [*rates.values(), whole]), f"{statistics.median(after):.0f}"]
            yield f"| {name} | {median} | " + " | ".join(cells) + " |"


def _noticed_after(rng: random.Random, kind: str, scores: Mapping[int, float], experts: int) -> float:
    """After how many overlaps since they turned bad; infinite: not in twice as many as are wanted."""
    overlaps: list[Overlap] = []
    for image in range(TURN_BAD + 2 * OVERLAPPED):
        true = draw(rng, scores)
        reference = statistics.median(seen_by(rng, true, 0.85, 0.12) for _ in range(experts))
        here = "good" if image < TURN_BAD else kind
        overlaps.append(Overlap(1, image, reviewed(rng, here, true, scores), reference))
        latest = overlaps[-FLAGS.overlap_seats :]
        if image >= TURN_BAD and detectors.reviewer(latest, FLAGS) is not None:
            return image + 1 - TURN_BAD
    return math.inf


CROWD = 40
ANSWERS = 400
EVERY = 10


@dataclass
class Labeller:
    """A person of known behaviour, and what they gave, oldest first."""

    kind: str
    pace: float
    accuracy: float
    leaning: str
    given: list[Chosen] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    outlines: list[tuple[int, str]] = field(default_factory=list)
    wholes: list[tuple[int, str]] = field(default_factory=list)
    taken: list[bool] = field(default_factory=list)


COLOURS = {
    "white": 0.28, "black": 0.24, "blue": 0.14, "grey": 0.10, "red": 0.08,
    "beige": 0.06, "green": 0.04, "pink": 0.03, "yellow": 0.02, "other": 0.01,
}  # fmt: skip
BAD_LABELLERS = ("blanket", "mostly blanket", "hasty", "copier", "taker")


def labellers(seeds: int) -> Iterator[str]:
    """A crowd of 40, 5 of them bad in one way each: 400 answers, looked at after every tenth."""
    names = ("blanket", "too fast", "copied", "taken over")
    honest = {name: Rate() for name in names}
    bad = {kind: {name: Rate() for name in names} for kind in BAD_LABELLERS}
    after: dict[str, list[int]] = {kind: [] for kind in BAD_LABELLERS}
    for seed in range(seeds):
        crew = crowd_of(random.Random(f"labellers {seed}"))
        mix = Mix()
        for chosen in (each for person in crew for each in person.given[-100:]):
            mix.add(chosen)
        spread = detectors.dispersion(
            [found for person in crew if (found := detectors.fit(person.given[-100:], mix))]
        )
        for person in crew:
            first = first_flags(person, crew, mix.without(person.given[-100:]), spread)
            rates = honest if person.kind == "honest" else bad[person.kind]
            for name in names:
                rates[name].add(name in first)
            if person.kind != "honest" and first:
                after[person.kind].append(min(first.values()))
    yield "| people | " + " | ".join(names) + " | answers until the first flag (median) |"
    yield "|" + "---|" * (len(names) + 2)
    yield "| honest | " + " | ".join(str(rate) for rate in honest.values()) + " | |"
    for kind in BAD_LABELLERS:
        rates_of = " | ".join(str(rate) for rate in bad[kind].values())
        median = f"{statistics.median(after[kind]):.0f}" if after[kind] else "–"
        yield f"| {kind} | {rates_of} | {median} |"


def crowd_of(rng: random.Random) -> list[Labeller]:
    """People of different pace, aim and leaning, served garments of eight suppliers in short series."""
    suppliers = [tilted(rng) for _ in range(8)]
    kinds = [*BAD_LABELLERS, *["honest"] * (CROWD - len(BAD_LABELLERS))]
    crew = [
        Labeller(kind, rng.lognormvariate(0, 0.3), rng.uniform(0.8, 0.97), draw(rng, COLOURS))
        for kind in kinds
    ]
    image = 0
    for person in crew:
        while len(person.given) < ANSWERS:
            supplier = rng.randrange(len(suppliers))
            garment = draw(rng, suppliers[supplier])
            # Pictures of one garment follow each other; most go to somebody else.
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                image += 1
                answer(rng, person, image, supplier, garment)
    return crew


def tilted(rng: random.Random) -> dict[str, float]:
    """A supplier's own mix of colours."""
    raw = {colour: share * rng.gammavariate(2, 0.5) for colour, share in COLOURS.items()}
    whole = sum(raw.values())
    return {colour: share / whole for colour, share in raw.items()}


def answer(rng: random.Random, person: Labeller, image: int, supplier: int, true: str) -> None:
    """One answer. Who errs names a colour by the mix, half the time their own favourite error."""
    colour = true
    if rng.random() > person.accuracy:
        colour = person.leaning if rng.random() < 0.5 else draw(rng, COLOURS)
    if person.kind == "blanket" or (person.kind == "mostly blanket" and rng.random() < 0.8):
        colour = "white"
    seconds = 40 * person.pace * rng.lognormvariate(0, 0.5)
    person.given.append(Chosen((("top",), ("top", supplier)), colour))
    person.seconds.append(rng.uniform(1.0, 4.0) if person.kind == "hasty" else seconds)
    outline = f"template {rng.randrange(8)}" if person.kind == "copier" else f"outline {image}"
    person.outlines.append((image, outline))
    whole = "the same" if person.kind == "copier" else f"{colour} {rng.randrange(30)}"
    person.wholes.append((image, whole))
    # Good candidates are taken as they are by those who look, too, and people differ in how readily.
    readily = 0.45 + 0.25 * min(1.0, person.pace / 2)
    person.taken.append(rng.random() < (0.97 if person.kind == "taker" else readily))


def first_flags(person: Labeller, crew: Sequence[Labeller], mix: Mix, spread: float) -> dict[str, int]:
    """After how many answers each detector first found something; `mix`: the others'."""
    others = [other for other in crew if other is not person]
    limit = detectors.fast_limit(Stage.ATTRIBUTES, [other.seconds[-100:] for other in others], FLAGS)
    takes = [(sum(other.taken[-100:]), 100) for other in others]
    wholes = Counter(whole for other in others for _, whole in other.wholes[-100:])
    looks: dict[str, Callable[[int], Any]] = {
        "blanket": lambda n: detectors.blanket(person.given[:n], mix, spread, FLAGS),
        "too fast": lambda n: detectors.too_fast(person.seconds[:n], limit, FLAGS),
        "copied": lambda n: (
            detectors.copied_outlines(person.outlines[max(0, n - FLAGS.copied_last) : n], FLAGS)
            or detectors.copied_labels(person.wholes[max(0, n - FLAGS.copied_last) : n], wholes, FLAGS)
        ),
        "taken over": lambda n: detectors.taken_over(
            "candidates", (sum(person.taken[max(0, n - 300) : n]), min(n, 300)), takes, FLAGS
        ),
    }
    first: dict[str, int] = {}
    for n in range(EVERY, ANSWERS + 1, EVERY):
        for name, look in looks.items():
            if name not in first and look(n) is not None:
                first[name] = n
    return first


EXPERTS = 20
HARD_IMAGES = 250
STYLE_NAMES = ("street", "resort", "country", "retro")
# Which wrong style is named; a hard image has few that look like its own.
WRONG = (0.5, 0.3, 0.2)
WAYS = {
    "the flow's rule": POLICY,
    **{
        f"sure_percent: {sure}": replace(POLICY, experts=replace(POLICY.experts, sure_percent=sure))
        for sure in (90, 95, 98)
    },
}


class Expert(NamedTuple):
    """An expert, with the row of scores that the ranking reads."""

    id: int
    accuracy: float
    good: float
    bad: float
    last_at: None = None

    def names(self, rng: random.Random) -> str:
        """The main style they name; the first is the true one."""
        if rng.random() < self.accuracy:
            return STYLE_NAMES[0]
        return rng.choices(STYLE_NAMES[1:], WRONG)[0]


@dataclass
class Settled:
    """How often a way of settling was right, and how many labels it took."""

    right: Rate = field(default_factory=Rate)
    labels: int = 0

    def add(self, style: str, labels: int) -> None:
        self.right.add(style == STYLE_NAMES[0])
        self.labels += labels

    @property
    def each(self) -> float:
        return self.labels / self.right.of


def hard_styles(seeds: int) -> Iterator[str]:
    """At equal accuracies: five-fold majority, the flow's rule, and stopping when sure enough."""
    taxonomy = load_taxonomy()
    yield "| experts' accuracy | images | way | right | labels an image | share of five |"
    yield "|---|---|---|---|---|---|"
    for mean in (0.65, 0.72, 0.78, 0.85):
        ways: dict[str, Settled] = {}
        for seed in range(seeds):
            _settle_all(random.Random(f"styles {mean} {seed}"), mean, taxonomy, ways)
        for way, settled in sorted(ways.items()):
            yield f"| {mean} | {way} | {settled.right} | {settled.each:.2f} | {settled.each / 5:.2f} |"


def _settle_all(rng: random.Random, mean: float, taxonomy: Taxonomy, ways: dict[str, Settled]) -> None:
    crew = [expert(rng, number, mean) for number in range(EXPERTS)]
    everybody = replace(POLICY, experts=replace(POLICY.experts, best_percent=100))
    ranked, best = (cast(list[Expert], best_of(cast(Any, crew), policy)) for policy in (everybody, POLICY))

    def further(asked: Sequence[int]) -> Expert:
        # The best are at work one time in two; a seat that nobody took goes to anyone.
        here = [each for each in best if each.id not in asked and rng.random() < 0.5]
        return here[0] if here else rng.choice([each for each in ranked if each.id not in asked])

    for _ in range(HARD_IMAGES):
        first = rng.choice(crew)
        named = first.names(rng)
        is_unsure = rng.random() < (0.35 if named == STYLE_NAMES[0] else 0.8)
        five = Counter(each.names(rng) for each in rng.sample(crew, 5))
        most = max(five.values())
        settled = {"five-fold majority": (rng.choice([each for each in five if five[each] == most]), 5)}
        for way, policy in WAYS.items():
            settled[way] = _by(policy, rng, first, named, further, taxonomy)
        for way, outcome in settled.items():
            ways.setdefault(f"every image, all unsure | {way}", Settled()).add(*outcome)
            if is_unsure:
                ways.setdefault(f"the unsure ones alone | {way}", Settled()).add(*outcome)
            if way in WAYS:
                asked = outcome if is_unsure else (named, 1)
                ways.setdefault(f"every image, further ones where unsure | {way}", Settled()).add(*asked)


def expert(rng: random.Random, number: int, mean: float) -> Expert:
    """An expert of whom sixty judged answers are known."""
    accuracy = min(0.97, max(0.45, rng.gauss(mean, 0.1)))
    good = sum(rng.random() < accuracy for _ in range(60))
    return Expert(number, accuracy, float(good), 60.0 - good)


def _by(
    policy: Policy,
    rng: random.Random,
    first: Expert,
    named: str,
    further: Callable[[Sequence[int]], Expert],
    taxonomy: Taxonomy,
) -> tuple[str, int]:
    """The product's own rule under a policy; an adjudicator's word counts as one label more."""
    answers = [Answer(first.id, Stage.STYLES, {"styles": [named], "unsure": True})]
    aims = {first.id: aim(cast(Any, first), policy)}
    while True:
        case = Case(Stage.STYLES, None, 1, 1, taxonomy, policy, {}, peers=answers[:-1], aims=aims)
        judged = StyleRules().judge(answers[-1], case)
        if judged.outcome is Outcome.LABELLED:
            return judged.label["styles"][0], len(answers)
        next_one = further([each.worker_id for each in answers])
        if judged.outcome is Outcome.DIVIDED:
            return next_one.names(rng), len(answers) + 1
        aims[next_one.id] = aim(cast(Any, next_one), policy)
        answers.append(Answer(next_one.id, Stage.STYLES, {"styles": [next_one.names(rng)], "unsure": False}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    seeds = parser.parse_args().seeds
    for title, part in (
        ("Reviewers flagged within 50 overlapped images", reviewers),
        ("Good reviewers in the long run", long_run),
        ("Reviewers who turn bad after their probation, flagged within 50 overlaps", turned),
        ("Labellers flagged within 400 answers", labellers),
        ("Hard styles", hard_styles),
    ):
        print(f"\n### {title} ({seeds} seeds)\n")
        for line in part(seeds):
            print(line)


if __name__ == "__main__":
    main()
