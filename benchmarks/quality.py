"""Scores, promotions and demotions against known truth: `python -m benchmarks.quality`.

A crowd of known accuracies labels attributes, reviewers of known habits review them, two inspectors sit in
the second review, and the product's own pure modules make of it what the service would: what each verdict
says (crowd.review.judgements), the scores (crowd.tiers.score), the nightly fit (severity), and the rule
(promotion). Time is a counter of days. See docs/quality.md for the table.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from crowd.policy import Grade, Policy, Stage, load_policy
from crowd.review.judgements import Told, of_acceptance, of_verdict
from crowd.simulation.line.book import ScoreBook
from crowd.tasks.flow import Cause
from crowd.tiers.promotion import Career, suggest
from crowd.tiers.score import Evidence, Judge, Kind, Score, figures

START = datetime(2026, 1, 5, tzinfo=UTC)
REGION: dict[str, Any] = {
    "regions": [{"id": "r1", "part": "top", "rings": [[[0, 0], [9, 0], [9, 9], [0, 9]]]}]
}

WORKERS, BAD_WORKERS, REVIEWERS, INSPECTORS, STYLISTS = 200, 20, 10, 4, 10
PER_DAY = 40
GOOD_FROM = 0.95  # the accuracy from which a worker counts as a good one
GOLD_SHARE = 0.05
VALUES = 12  # values of the one attribute that stands for all
MOST_COMMON = 0.4  # the share of images that have the most common one
TURNED_BAD = 0.5  # the accuracy of somebody who was good and goes bad


@dataclass(frozen=True, slots=True)
class Habit:
    """How a person reviews: how often they see what is wrong, how often they see it where nothing is, how far
    their scores are shifted; `noise`: scores of no meaning; `stamp`: always 5."""

    sees: float
    invents: float = 0.02
    shift: float = 0.0
    noise: bool = False
    stamp: bool = False


GOOD_REVIEWER = Habit(0.92)
# Random, rubber-stamping, lenient, and one who rejects what is right.
BAD_REVIEWERS = (Habit(0, noise=True), Habit(0, stamp=True), Habit(0.4, shift=0.5), Habit(0.8, 0.25, -0.5))
INSPECTOR = Habit(0.95, 0.01)


@dataclass(slots=True)
class Labeller:
    """A person who labels; `kind` is good, middling, or one of the bad ones."""

    id: int
    kind: str
    accuracy: float
    blanket: bool = False


@dataclass(slots=True)
class Book(ScoreBook):
    """What the service would know: evidence, scores, fits, grades."""

    grades: dict[int, Grade] = field(default_factory=dict)
    changed_at: dict[int, datetime] = field(default_factory=dict)
    judged_then: dict[int, dict[Stage, int]] = field(default_factory=dict)

    def refold(self, judges: Mapping[int, Judge]) -> None:
        """Reckon every labeller's score anew by these judges; reviewers' are not asked for here."""
        for key in self.evidence:
            if key[1] is Stage.ATTRIBUTES:
                self.scores[key] = self.refolded(key, judges)

    def look_at(self, worker_id: int, now: datetime) -> Grade | None:
        """As crowd.tiers.proposals.look_at, with an admin who confirms whatever is proposed."""
        scores = {
            stage: self.scores[worker_id, stage]
            for stage in (Stage.ATTRIBUTES,)
            if (worker_id, stage) in self.scores
        }
        career = Career(
            self.grades[worker_id],
            scores,
            self.changed_at.get(worker_id),
            self.judged_then.get(worker_id, {}),
        )
        found = suggest(career, self.policy, now)
        if found is None:
            return None
        self.grades[worker_id] = found.new
        self.changed_at[worker_id] = now
        self.judged_then[worker_id] = {stage: each.n for stage, each in found.figures.items()}
        return found.new


class World:
    """One seed's crowd at work."""

    def __init__(self, seed: int, policy: Policy) -> None:
        self.rng = random.Random(seed)
        self.policy = policy
        self.book = Book(policy)
        self.now = START
        self.tasks = 0
        self.images = 0
        self.labellers = self._hire()
        self.reviewers = {
            1000 + place: BAD_REVIEWERS[place] if place < len(BAD_REVIEWERS) else GOOD_REVIEWER
            for place in range(REVIEWERS)
        }
        self.inspectors = {2000 + place: INSPECTOR for place in range(INSPECTORS)}
        self.stylists = {3000 + place: 0.9 for place in range(STYLISTS)}
        self.likert: dict[int, list[int]] = defaultdict(list)
        self.moves: dict[int, list[tuple[int, Grade]]] = defaultdict(list)
        for labeller in self.labellers:
            self.book.grades[labeller.id] = Grade.GENERAL

    def _hire(self) -> list[Labeller]:
        people = []
        for place in range(WORKERS):
            if place < BAD_WORKERS:
                kind = ("random", "blanket", "lazy")[place % 3]
                accuracy = {
                    "random": 1 / VALUES + self.rng.uniform(0, 0.1),
                    "blanket": MOST_COMMON,
                    "lazy": self.rng.uniform(0.5, 0.7),
                }[kind]
                people.append(Labeller(1 + place, kind, accuracy, kind == "blanket"))
            else:
                accuracy = 1.0 - min(max(self.rng.betavariate(1.5, 8.5), 0.005), 0.5)
                people.append(Labeller(1 + place, "good" if accuracy >= GOOD_FROM else "middling", accuracy))
        return people

    def day(self, people: Sequence[Labeller], items: int = PER_DAY) -> None:
        """Everybody labels so many images, each of which goes through all of its reviews; then the night."""
        for _ in range(items):
            for labeller in people:
                if self.rng.random() < GOLD_SHARE:
                    self._gold(labeller)
                else:
                    self._image(labeller)
                self.look_at(labeller)
            self.now += timedelta(hours=8) / items
        self.now = START + timedelta(days=(self.now - START).days + 1)
        self.book.refit()

    def look_at(self, labeller: Labeller) -> None:
        """Have the rule look at somebody, and note what comes of it."""
        grade = self.book.look_at(labeller.id, self.now)
        if grade is not None:
            self.moves[labeller.id].append((self.score_of(labeller).n, grade))

    def score_of(self, labeller: Labeller) -> Score:
        """Somebody's score."""
        return self.book.scores.get((labeller.id, Stage.ATTRIBUTES), Score())

    def _gold(self, labeller: Labeller) -> None:
        right = self._label(labeller, self._truth()) == self._known
        gold = Evidence(
            worker_id=labeller.id,
            stage=Stage.ATTRIBUTES,
            kind=Kind.GOLD,
            value=float(right),
            weight=1.0,
            task_id=self._task(),
            at=self.now,
        )
        self.book.record([gold])

    def _image(self, labeller: Labeller) -> None:
        """An image from its attributes to its acceptance, rework by the same people."""
        self.images += 1
        truth, stylist = self._truth(), self.rng.choice(list(self.stylists))
        story = [self._told(999, Stage.SEGMENTATION, 1, REGION)]
        target, round_ = Stage.ATTRIBUTES, 1
        bounces = dict.fromkeys(Stage, 0)
        while True:
            if target is Stage.ATTRIBUTES:
                value = self._label(labeller, truth)
                labels = {"regions": {"r1": {"color": value}}}
                story.append(self._told(labeller.id, Stage.ATTRIBUTES, round_, labels))
                if value != truth and self.rng.random() < 0.3:
                    refused = {"to": "attributes", "reasons": ["wrong_entry"]}
                    story.append(self._told(stylist, Stage.STYLES, round_, refused, sends_back=True))
                    round_ += 1
                    if self._is_settled(story, bounces, Stage.ATTRIBUTES, truth, round_):
                        return
                    continue
            if target in (Stage.ATTRIBUTES, Stage.STYLES):
                right = self.rng.random() < self.stylists[stylist]
                story.append(self._told(stylist, Stage.STYLES, round_, _styles(right)))
            reviewer = self.rng.choice(list(self.reviewers))
            blamed = self._review(
                story, reviewer, self.reviewers[reviewer], Stage.FIRST_REVIEW, truth, round_
            )
            if blamed is None:
                blamed = self._second_review(story, truth, round_)
                if blamed is None:
                    self.book.record(of_acceptance(story, None, self.now, self.images, self.policy))
                    return
            round_ += 1
            target = blamed
            if self._is_settled(story, bounces, target, truth, round_):
                return

    def _is_settled(
        self, story: list[Told], bounces: dict[Stage, int], target: Stage, truth: int, round_: int
    ) -> bool:
        """The bounce that is too many is settled by a third person: if they reject too, the image is held."""
        bounces[target] += 1
        if bounces[target] < self.policy.bounce_cap:
            return False
        adjudicator = self.rng.choice(list(self.inspectors))
        # What they uphold goes on; here it is as good as accepted.
        self._review(story, adjudicator, INSPECTOR, Stage.ADJUDICATION, truth, round_, Cause.LOOP, target)
        if story[-1].passes:
            self.book.record(of_acceptance(story, None, self.now, self.images, self.policy))
        return True

    def _second_review(self, story: list[Told], truth: int, round_: int) -> Stage | None:
        people = self.rng.sample(list(self.inspectors), 3)
        blames = [
            self._review(story, one, self.inspectors[one], Stage.SECOND_REVIEW, truth, round_)
            for one in people[:2]
        ]
        if blames[0] is blames[1]:
            return blames[0]
        habit = self.inspectors[people[2]]
        return self._review(story, people[2], habit, Stage.ADJUDICATION, truth, round_, Cause.SPLIT)

    def _review(
        self,
        story: list[Told],
        reviewer: int,
        habit: Habit,
        stage: Stage,
        truth: int,
        round_: int,
        cause: Cause | None = None,
        disputed: Stage | None = None,
    ) -> Stage | None:
        """A verdict, and what it says of whom; the stage it blames, None if it passes the image."""
        score, blame = self._verdict(story, habit, truth)
        result = {"score": score, "blame": blame and blame.value, "reasons": ["wrong_entry"], "comment": ""}
        told = self._told(reviewer, stage, round_, result)
        story.append(replace(told, cause=cause, disputed=disputed))
        self.book.record(of_verdict(story, self.images, self.policy))
        author = next(each for each in reversed(story) if each.stage is Stage.ATTRIBUTES)
        self.likert[author.worker_id].append(score)
        return blame

    def _verdict(self, story: Sequence[Told], habit: Habit, truth: int) -> tuple[int, Stage | None]:
        rng = self.rng
        attributes = next(each for each in reversed(story) if each.stage is Stage.ATTRIBUTES)
        styles = next((each for each in reversed(story) if "styles" in each.result), None)
        wrong = attributes.result["regions"]["r1"]["color"] != truth
        off = styles is not None and styles.result["styles"] != ["resort"]
        if habit.stamp:
            return 5, None
        if habit.noise:
            score = rng.randint(1, 5)
            return score, None if score > 3 else rng.choice((Stage.ATTRIBUTES, Stage.STYLES))
        if rng.random() < (habit.sees if wrong else habit.invents):
            return (2 if rng.random() < 0.8 else 1), Stage.ATTRIBUTES
        if rng.random() < (habit.sees if off else habit.invents):
            return 3, Stage.STYLES
        # A slight difference is a matter of taste, and of severity.
        return (4 if rng.random() < 0.15 - 0.3 * habit.shift else 5), None

    def _label(self, labeller: Labeller, truth: int) -> int:
        self._known = truth
        if labeller.blanket:
            return 0
        if self.rng.random() < labeller.accuracy:
            return truth
        return self.rng.choice([value for value in range(VALUES) if value != truth])

    def _truth(self) -> int:
        return 0 if self.rng.random() < MOST_COMMON else self.rng.randrange(1, VALUES)

    def _task(self) -> int:
        self.tasks += 1
        return self.tasks

    def _told(
        self, worker_id: int, stage: Stage, round_: int, result: dict[str, Any], *, sends_back: bool = False
    ) -> Told:
        return Told(self._task(), worker_id, stage, round_, result, self.now, sends_back)


def _styles(right: bool) -> dict[str, Any]:
    return {"styles": ["resort" if right else "street"], "unsure": False}


@dataclass(frozen=True, slots=True)
class Run:
    """What one seed came to."""

    seed: int
    spearman: float
    spearman_unfitted: float
    spearman_likert: float
    bad_promoted: tuple[int, int]
    middling_promoted: tuple[int, int]
    good_promoted: tuple[int, int]
    moves_per_worker: float
    items_to_demotion: list[int]
    never_demoted: int
    images: int
    seconds: float
    points: list[tuple[str, float, float, float, float]]


def run(seed: int) -> Run:
    """One crowd from its first day until each has 200 judged answers; then some of the good go bad."""
    begun = time.perf_counter()
    world = World(seed, load_policy())
    while min(world.score_of(each).n for each in world.labellers) < 200:
        world.day([each for each in world.labellers if world.score_of(each).n < 200])
    numbers = world.policy.quality
    points = []
    for each in world.labellers:
        known = figures(world.score_of(each), numbers)
        points.append((each.kind, each.accuracy, known.score, known.lower, known.upper))
    truth = [point[1] for point in points]
    fitted = spearman(truth, [point[2] for point in points])
    likert = spearman(truth, [statistics.fmean(world.likert[each.id]) for each in world.labellers])
    world.book.refold({})
    plain = [figures(world.score_of(each), numbers).score for each in world.labellers]
    world.book.refold(world.book.judges)
    promoted = {
        kind: [
            any(grade is Grade.SEMI_EXPERT for _, grade in world.moves[each.id])
            for each in world.labellers
            if _class(each) == kind
        ]
        for kind in ("bad", "middling", "good")
    }
    moves = statistics.fmean(len(world.moves[each.id]) for each in world.labellers)
    demoted, never = _go_bad(world)
    return Run(
        seed=seed,
        spearman=fitted,
        spearman_unfitted=spearman(truth, plain),
        spearman_likert=likert,
        bad_promoted=_share(promoted["bad"]),
        middling_promoted=_share(promoted["middling"]),
        good_promoted=_share(promoted["good"]),
        moves_per_worker=moves,
        items_to_demotion=demoted,
        never_demoted=never,
        images=world.images,
        seconds=time.perf_counter() - begun,
        points=points,
    )


def _go_bad(world: World) -> tuple[list[int], int]:
    turned = [each for each in world.labellers if each.kind == "good"][:20]
    since = {each.id: world.score_of(each).n for each in turned}
    before = {each.id: len(world.moves[each.id]) for each in turned}
    left = [replace(each, accuracy=TURNED_BAD) for each in turned]
    found: list[int] = []
    for _ in range(12):
        world.day(left)
        for each in list(left):
            falls = [
                n
                for (n, grade) in world.moves[each.id][before[each.id] :]
                if grade in (Grade.GENERAL, Grade.TRAINEE)
            ]
            if falls:
                found.append(falls[0] - since[each.id])
                left.remove(each)
        if not left:
            break
    return found, len(left)


def _class(labeller: Labeller) -> str:
    return labeller.kind if labeller.kind in ("good", "middling") else "bad"


def _share(found: Sequence[bool]) -> tuple[int, int]:
    return sum(found), len(found)


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """The correlation of the ranks; equal values share theirs."""
    return statistics.correlation(_ranks(one), _ranks(other))


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = (start + end) / 2
        start = end + 1
    return ranks


def table(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    """Rows of what was measured, what must hold, and the figure with its 95% interval."""
    demoted = [n for each in runs for n in each.items_to_demotion]
    never = sum(each.never_demoted for each in runs)
    return [
        ("Spearman of score and accuracy", "≥ .95", _mean([each.spearman for each in runs])),
        ("… without the fit of severity", "", _mean([each.spearman_unfitted for each in runs])),
        ("… of the mean Likert score", "", _mean([each.spearman_likert for each in runs])),
        ("bad ever promoted", "≤ 2%", _pooled([each.bad_promoted for each in runs])),
        ("good (accuracy ≥ .95) promoted", "≥ 95%", _pooled([each.good_promoted for each in runs])),
        ("middling ever promoted", "", _pooled([each.middling_promoted for each in runs])),
        ("changes of grade per worker", "", _mean([each.moves_per_worker for each in runs])),
        ("judged items to demotion, median", "≤ 60", _median([*demoted, *[10**6] * never])),
    ]


def _mean(values: Sequence[float]) -> str:
    spread = 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.3f} ± {spread:.3f} (lowest {min(values):.3f})"


def _pooled(shares: Sequence[tuple[int, int]]) -> str:
    """Wilson's interval."""
    k, n = sum(share[0] for share in shares), sum(share[1] for share in shares)
    z, p = 1.96, k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    return f"{p:.1%} ({max(centre - half, 0):.1%} to {min(centre + half, 1):.1%}; {k} of {n})"


def _median(values: Sequence[int]) -> str:
    ordered = sorted(values)
    n = len(ordered)
    reach = round(1.96 * n**0.5 / 2)
    low, high = ordered[max(n // 2 - reach, 0)], ordered[min(n // 2 + reach, n - 1)]
    return f"{statistics.median(ordered):.0f} ({low} to {high}; {n} people)"


def plot(runs: Sequence[Run], path: Path) -> None:
    """Scores against truth, and both bounds, of the first seed."""
    import matplotlib as mpl  # noqa: PLC0415  # only whoever wants the plot needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7.2, 5.2), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1, zorder=0)
    axes.axhline(0.88, color="0.6", linewidth=1, linestyle="--", zorder=0)
    axes.text(0.02, 0.885, "bar .88", color="0.4", fontsize=9)
    marks = {
        "good": ("o", "#2a78b5"),
        "middling": ("o", "#8fb9d9"),
        "random": ("s", "#c0392b"),
        "blanket": ("^", "#c0392b"),
        "lazy": ("D", "#c0392b"),
    }
    for kind, (mark, colour) in marks.items():
        points = [point for point in runs[0].points if point[0] == kind]
        x, y = [point[1] for point in points], [point[2] for point in points]
        low = [point[2] - point[3] for point in points]
        high = [point[4] - point[2] for point in points]
        axes.errorbar(x, y, yerr=[low, high], fmt="none", ecolor=colour, elinewidth=0.6, alpha=0.5)
        axes.scatter(x, y, marker=mark, color=colour, s=18, label=f"{kind} ({len(points)})")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="true accuracy", ylabel="score, with its bounds")
    axes.set_title(f"200 judged answers each, 4 of 10 reviewers bad: Spearman {runs[0].spearman:.3f}")
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.quality", description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--json", type=Path, help="keep every seed's figures there; seeds in it are not run again"
    )
    parser.add_argument("--plot", type=Path, help="draw the first seed there (needs matplotlib)")
    options = parser.parse_args(arguments)
    runs = _kept(options.json)
    missing = [seed for seed in range(1, options.seeds + 1) if seed not in {each.seed for each in runs}]
    with ProcessPoolExecutor(options.processes) as pool:
        for each in pool.map(run, missing):
            runs.append(each)
            print(f"seed {each.seed}: {each.spearman:.3f}, {each.seconds:.0f} s", file=sys.stderr, flush=True)
            if options.json:
                options.json.write_text(json.dumps([asdict(each) for each in runs]))
    print("| measured | must hold | found |\n|---|---|---|")
    for row in table(runs):
        print(f"| {' | '.join(row)} |")
    images = sum(each.images for each in runs)
    print(f"\n{len(runs)} seeds, {WORKERS} workers ({BAD_WORKERS} bad), {images:,} images")
    if options.plot:
        plot(runs, options.plot)
    return 0


def _kept(path: Path | None) -> list[Run]:
    return [Run(**each) for each in json.loads(path.read_text())] if path and path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
