"""What all stages together come to, beside cheaper and dearer ways: `python -m benchmarks.line --seeds 30`.

The same people answer about the same images in three ways: the whole staged line, moved by the product's own
flow tables (crowd.simulation.line); every stage once, without review; and every stage by five people, whose
majority stands. See docs/quality.md for the table.
"""

import argparse
import json
import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.capacity.habits import ASSUMED_RIGHT, assumed
from benchmarks.capacity.projects import AGAIN, SECONDS
from crowd.images.models import ImageState
from crowd.policy import Grade, Policy, Stage, load_policy
from crowd.review.judgements import same_labels
from crowd.simulation.bots import Action, Release, Submit, decide
from crowd.simulation.crew import CARELESS, Persona
from crowd.simulation.faults import find_faults
from crowd.simulation.line.hall import Hall
from crowd.simulation.line.turns import Picture, Step, crew, pictures, work
from crowd.simulation.mistakes import spoil_attributes, spoil_segmentation, spoil_styles
from crowd.simulation.truth import Labels, Truth
from crowd.simulation.vocabulary import Vocabulary
from crowd.tasks.flow import LABELLING
from crowd.tasks.rules import majority_style
from crowd.taxonomy import Taxonomy, load_taxonomy

WORKERS, IMAGES, CARELESS_SHARE = 40, 100, 0.1
VOTERS = 5
SPREAD = 0.05  # of good people's accuracies around the assumed ones, either way
SETTLES = 0.95  # how often an adjudicator names the true style
HARD_SHARE = 0.2  # of the images, where some are hard
HARD_RIGHT = 0.55  # how often people are right there, and see what is wrong

LINE, ONCE, FIVE = "all stages", "each stage once, no review", "five votes on each stage"


@dataclass(frozen=True, slots=True)
class World:
    """One seed's people and images. `hard`: images on which people err, and alike."""

    seed: int
    policy: Policy
    taxonomy: Taxonomy
    vocabulary: Vocabulary
    members: Sequence[Persona]
    shown: Sequence[Picture]
    hard: frozenset[int]

    def may(self, stage: Stage) -> list[Persona]:
        """Who may do a stage."""
        return [each for each in self.members if each.grade in self.policy.stages[stage].grades]

    def decide(
        self,
        task: Mapping[str, Any],
        truth: Truth,
        persona: Persona,
        vocabulary: Vocabulary,
        rng: random.Random,
    ) -> Action:
        """As bots.decide; about a hard image with less success, and with the error that all make there."""
        number = task["image"]["id"]
        if number not in self.hard:
            return decide(task, truth, persona, vocabulary, rng)
        action = decide(task, truth, _at_a_loss(persona), vocabulary, rng)
        if isinstance(action, Submit) and Stage(task["stage"]) in LABELLING:
            return self._misled(task, truth, action)
        return action

    def _misled(self, task: Mapping[str, Any], truth: Truth, action: Submit) -> Action:
        stage = Stage(task["stage"])
        labels = {**task["labels"], str(stage): action.result}
        if all(fault.stage is not stage for fault in find_faults(labels, truth)):
            return action
        rng = random.Random(f"{self.seed}/{task['image']['id']}/{stage}/alike")
        wrong = _wrong(stage, task, truth, self.vocabulary, rng)
        return Submit({**wrong, "unsure": action.result["unsure"]} if stage is Stage.STYLES else wrong)


@dataclass(slots=True)
class Tally:
    """What a way came to in one seed: images, accepted ones, those equal to the truth, people's seconds.

    `wrong`: accepted images by the stage whose labels differ from the truth.
    """

    images: int = 0
    accepted: int = 0
    true: int = 0
    seconds: float = 0.0
    tasks: int = 0
    wrong: dict[str, int] = field(default_factory=dict)

    def spend(self, stage: Stage, *, again: bool) -> None:
        """A task was done."""
        self.tasks += 1
        self.seconds += SECONDS[stage] * (AGAIN if again else 1.0)

    def accept(self, labels: Mapping[Any, Any], truth: Truth) -> None:
        """An image was accepted with these labels."""
        self.accepted += 1
        stages = {str(fault.stage) for fault in find_faults(labels, truth)}
        self.true += not stages
        for stage in stages:
            self.wrong[stage] = self.wrong.get(stage, 0) + 1


def world(seed: int, taxonomy: Taxonomy, policy: Policy, images: int, *, hard: bool) -> World:
    """A crew of the assumed habits, of whom one labeller in ten and one inspector are careless."""
    rng = random.Random(f"{seed}/habits")
    vocabulary = Vocabulary.read(taxonomy.public())
    members = [_habit(each, rng) for each in crew(WORKERS, seed, CARELESS_SHARE)]
    shown = pictures(vocabulary, seed, images)
    chosen = rng.sample(range(1, images + 1), round(HARD_SHARE * images)) if hard else []
    return World(seed, policy, taxonomy, vocabulary, members, shown, frozenset(chosen))


def whole_line(at: World) -> Tally:
    """Every image through all stages, by the flow's tables."""
    tally = Tally(images=len(at.shown))
    hall = Hall.open(at.policy, at.taxonomy, at.members, at.shown)
    truths = {each.number: each.truth for each in at.shown}

    def deciding(
        task: Mapping[str, Any],
        truth: Truth,
        persona: Persona,
        vocabulary: Vocabulary,
        rng: random.Random,
    ) -> Action:
        action = at.decide(task, truth, persona, vocabulary, rng)
        if not isinstance(action, Release):
            stage = Stage(task["stage"])
            tally.spend(stage, again=stage in LABELLING and task["labels"].get(stage) is not None)
        return action

    work(hall, at.members, truths, at.vocabulary, at.seed, _forget, deciding)
    for image in hall.images:
        if image.state is ImageState.ACCEPTED:
            tally.accept(image.labels(), truths[image.number])
    return tally


def each_once(at: World) -> Tally:
    """One person a stage; what they say stands."""
    return _without_review(at, 1)


def five_votes(at: World) -> Tally:
    """Five people a stage, blind; what most of them say stands."""
    return _without_review(at, VOTERS)


WAYS: Mapping[str, Callable[[World], Tally]] = {LINE: whole_line, ONCE: each_once, FIVE: five_votes}


def _without_review(at: World, people: int) -> Tally:
    tally, rng = Tally(images=len(at.shown)), random.Random(f"{at.seed}/{people} votes")
    for picture in at.shown:
        labels: dict[str, Any] = dict.fromkeys(map(str, LABELLING))
        for stage in LABELLING:
            voters = rng.sample(at.may(stage), people)
            answers = [_answer(at, stage, picture, labels, voter, rng) for voter in voters]
            for _ in answers:
                tally.spend(stage, again=False)
            labels[stage] = VOTES[stage](answers)
        tally.accept(labels, picture.truth)
    return tally


def _answer(
    at: World, stage: Stage, picture: Picture, labels: Labels, voter: Persona, rng: random.Random
) -> Labels:
    """Somebody's labels: nobody sends back, and nobody asks for others."""
    image = {"id": picture.number, "width": picture.width, "height": picture.height}
    task = {"stage": str(stage), "round": 1, "image": image, "labels": labels, "feedback": []}
    busy = replace(voter, check=0.0, unsure=0.0)
    while True:
        action = at.decide(task, picture.truth, busy, at.vocabulary, rng)
        if isinstance(action, Submit):
            return action.result


def _vote_on(stage: Stage, answers: Sequence[Labels]) -> Labels:
    """The answer that most others say too; of equals the first."""
    alike = [sum(same_labels(stage, one, other) for other in answers) for one in answers]
    return answers[alike.index(max(alike))]


def _vote_on_attributes(answers: Sequence[Labels]) -> Labels:
    """Question by question the value that most name; of equals the first."""
    names = list(dict.fromkeys(name for each in answers for name in each["regions"]))
    return {"regions": {name: _values([each["regions"].get(name, {}) for each in answers]) for name in names}}


def _values(answers: Sequence[Labels]) -> Labels:
    keys = dict.fromkeys(key for each in answers for key in each)
    kept = {key: _commonest([each.get(key) for each in answers]) for key in keys}
    return {key: value for key, value in kept.items() if value is not None}


def _commonest(values: Sequence[Any]) -> Any:
    said = [json.dumps(sorted(value) if isinstance(value, list) else value) for value in values]
    return json.loads(Counter(said).most_common(1)[0][0])


def _vote_on_styles(answers: Sequence[Labels]) -> Labels:
    named = [list(each["styles"]) for each in answers]
    main = majority_style(named) or Counter(each[0] for each in named).most_common(1)[0][0]
    return {"styles": [main], "unsure": False}


VOTES: Mapping[Stage, Callable[[Sequence[Labels]], Labels]] = {
    Stage.SEGMENTATION: partial(_vote_on, Stage.SEGMENTATION),
    Stage.ATTRIBUTES: _vote_on_attributes,
    Stage.STYLES: _vote_on_styles,
}


def _habit(member: Persona, rng: random.Random) -> Persona:
    """A persona of the crew with the habits that docs/capacity.md assumes, or half as good a one."""
    habits = assumed()
    inspects = member.grade is Grade.INSPECTOR
    notice = habits.inspector_notice if inspects else habits.notice
    right = {stage: rate + rng.uniform(-SPREAD, SPREAD) for stage, rate in ASSUMED_RIGHT.items()}
    if member.careless:
        right = dict.fromkeys(LABELLING, rng.uniform(*CARELESS))
    return replace(
        member,
        accuracy={**right, Stage.ADJUDICATION: SETTLES},
        notice=0.5 if member.careless else notice,
        check=0.3 if member.careless else habits.check,
        false_alarm=habits.inspector_false_alarm if inspects else habits.false_alarm,
        unsure=habits.unsure,
    )


def _at_a_loss(member: Persona) -> Persona:
    return replace(
        member,
        accuracy={stage: min(rate, HARD_RIGHT) for stage, rate in member.accuracy.items()},
        notice=min(member.notice, HARD_RIGHT),
        check=min(member.check, HARD_RIGHT / 2),
        unsure=0.5,
    )


def _wrong(
    stage: Stage, task: Mapping[str, Any], truth: Truth, vocabulary: Vocabulary, rng: random.Random
) -> Labels:
    """The error that everybody who errs makes about a hard image."""
    if stage is Stage.SEGMENTATION:
        size = task["image"]["width"], task["image"]["height"]
        return spoil_segmentation(truth.segmentation, vocabulary, size, rng)
    if stage is Stage.STYLES:
        return spoil_styles(truth.styles, vocabulary, rng)
    regions = task["labels"][Stage.SEGMENTATION]["regions"]
    parts = {region["id"]: region["part"] for region in regions}
    true = {name: dict(truth.attributes["regions"].get(name, {})) for name in parts}
    known = {region["id"]: region["part"] for region in truth.segmentation["regions"]}
    kept = {name: values if known.get(name) == parts[name] else {} for name, values in true.items()}
    return spoil_attributes({"regions": kept}, parts, vocabulary, rng)


def _forget(step: Step) -> None:
    """Steps are not kept here."""


def table(found: Mapping[str, Sequence[Tally]]) -> list[tuple[str, ...]]:
    """Rows: the way; accepted; equal to the truth, also by stage; seconds and tasks an accepted image."""
    rows: list[tuple[str, ...]] = []
    for way, tallies in found.items():
        accepted = sum(each.accepted for each in tallies)
        wrong = sum((Counter(each.wrong) for each in tallies), Counter[str]())
        rows.append(
            (
                way,
                _share(accepted, sum(each.images for each in tallies)),
                _share(sum(each.true for each in tallies), accepted),
                ", ".join(f"{1 - wrong[str(stage)] / accepted:.1%}" for stage in LABELLING),
                _mean([each.seconds / each.accepted for each in tallies]),
                _mean([each.tasks / each.accepted for each in tallies]),
            )
        )
    return rows


def _share(part: int, whole: int) -> str:
    """Wilson's 95 % interval."""
    z, p = 1.96, part / whole
    centre = (p + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z * (p * (1 - p) / whole + z * z / (4 * whole * whole)) ** 0.5 / (1 + z * z / whole)
    return f"{p:.1%} ({max(centre - half, 0):.1%}–{min(centre + half, 1):.1%})"


def _mean(values: Sequence[float]) -> str:
    spread = 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    digits = 0 if statistics.fmean(values) >= 100 else 2
    return f"{statistics.fmean(values):.{digits}f} ± {spread:.{digits}f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds and print a table for each kind of images."""
    parser = argparse.ArgumentParser(prog="benchmarks.line", description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--images", type=int, default=IMAGES, help="a seed")
    parser.add_argument("--json", type=Path, help="keep every seed's figures there")
    options = parser.parse_args(arguments)
    policy, taxonomy = load_policy(), load_taxonomy()
    kinds: dict[str, dict[str, list[Tally]]] = {
        kind: {way: [] for way in WAYS} for kind in ("errors independent", "a fifth of the images hard")
    }
    for seed in range(1, options.seeds + 1):
        for kind, found in kinds.items():
            at = world(seed, taxonomy, policy, options.images, hard=kind != "errors independent")
            for way, run in WAYS.items():
                found[way].append(run(at))
        print(f"seed {seed}", file=sys.stderr, flush=True)
        if options.json:
            kept = {k: {w: [asdict(t) for t in ts] for w, ts in f.items()} for k, f in kinds.items()}
            options.json.write_text(json.dumps(kept))
    for kind, found in kinds.items():
        _print(kind, found)
    print(f"\n{options.seeds} seeds of {options.images} images and {WORKERS} people each")
    return 0


def _print(kind: str, found: Mapping[str, Sequence[Tally]]) -> None:
    print(f"\n| {kind} | accepted | equal to the truth | by stage | s an image | tasks an image |")
    print("|---|---|---|---|---|---|")
    for row in table(found):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    sys.exit(main())
