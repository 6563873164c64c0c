"""One seed's run in process and through the API, held against each other to the last digit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

import httpx

from crowd.policy import Policy
from crowd.simulation.line.hall import Hall
from crowd.simulation.line.remote import Remote
from crowd.simulation.line.turns import Step, as_file, crew, pictures, work
from crowd.simulation.vocabulary import Vocabulary
from crowd.tasks.handover import labels_view
from crowd.taxonomy import Taxonomy
from crowd.tiers.score import figures

MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Population:
    """Whose run it is: the seed of all dice, and how many people and images."""

    seed: int
    workers: int
    images: int
    careless: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    `scores` by member and stage: score, lower, upper, n; `images` by number: state and labels.
    """

    steps: Sequence[Step]
    scores: Mapping[tuple[int, str], Mapping[str, Any]]
    images: Mapping[int, tuple[str, Mapping[str, Any]]]


def in_process(population: Population, policy: Policy, taxonomy: Taxonomy) -> Outcome:
    """The run by the pure rules alone, the fit of severity at its end. Raises CrewTooSmall."""
    members = crew(population.workers, population.seed, population.careless)
    vocabulary = Vocabulary.read(taxonomy.public())
    shown = pictures(vocabulary, population.seed, population.images)
    hall = Hall.open(policy, taxonomy, members, shown)
    steps: list[Step] = []
    truths = {each.number: each.truth for each in shown}
    work(hall, members, truths, vocabulary, population.seed, steps.append)
    hall.book.refit()
    scores = {
        (worker, stage.value): asdict(figures(score, policy.quality))
        for (worker, stage), score in hall.book.scores.items()
    }
    images = {each.number: (each.state.value, labels_view(each.labels())) for each in hall.images}
    return Outcome(steps, scores, images)


def through_api(population: Population, http: httpx.Client, token: str, refit: Callable[[], None]) -> Outcome:
    """The run over HTTP in a system without people or images; `refit` has it fit severity at the end.

    Raises CrewTooSmall, and what the client raises.
    """
    members = crew(population.workers, population.seed, population.careless)
    remote = Remote(http, token, members, f"turn-{population.seed}")
    vocabulary = Vocabulary.read(remote.fetch("/taxonomy"))
    truths = {}
    for picture in pictures(vocabulary, population.seed, population.images):
        remote.hand_in(picture.number, f"{picture.number:04}.jpg", as_file(picture, population.seed))
        truths[picture.number] = picture.truth
    steps: list[Step] = []
    work(remote, members, truths, vocabulary, population.seed, steps.append)
    refit()
    return Outcome(steps, remote.scores([member.number for member in members]), remote.states())


def differences(one: Outcome, other: Outcome) -> list[str]:
    """Sentences on where two runs differ, `one` being in process; none when they are the same."""
    return [*_of_steps(one, other), *_of_scores(one, other), *_of_images(one, other)][:MOST_TOLD]


def _of_steps(one: Outcome, other: Outcome) -> Iterator[str]:
    for place, (here, there) in enumerate(zip_longest(one.steps, other.steps), 1):
        if here != there:
            # Whatever follows follows from this.
            yield f"step {place}: in process {here}; through the API {there}"
            return


def _of_scores(one: Outcome, other: Outcome) -> Iterator[str]:
    for worker, stage in sorted(one.scores.keys() | other.scores.keys()):
        here, there = one.scores.get((worker, stage)), other.scores.get((worker, stage))
        if here != there:
            yield f"bot {worker}, {stage}: in process {here}; through the API {there}"


def _of_images(one: Outcome, other: Outcome) -> Iterator[str]:
    for number in sorted(one.images.keys() | other.images.keys()):
        here, there = one.images.get(number), other.images.get(number)
        if here != there:
            states = [each and each[0] for each in (here, there)]
            what = "labels differ" if states[0] == states[1] else f"{states[0]} and {states[1]}"
            yield f"image {number}: in process and through the API {what}"
