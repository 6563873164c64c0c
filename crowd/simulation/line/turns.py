"""A crew that takes turns at a desk: who claims when, and what each of them does, decided by the seed alone.

Whoever stands behind the desk, the rules in memory or the API, sees the same people in the same order.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from PIL import Image

from crowd.policy import Stage
from crowd.simulation.bots import Action, Release, SendBack, Submit, decide
from crowd.simulation.crew import Persona, assemble
from crowd.simulation.looks import as_jpeg
from crowd.simulation.truth import Truth, seeded_truth
from crowd.simulation.vocabulary import Vocabulary

# Empty-handed claims of the stage in focus before anything else is looked for.
FOCUS_PATIENCE = 6
SIZE = (480, 640)
TILES = (12, 16)


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a run: its number, counted from 1, its size in pixels, and what is true of it."""

    number: int
    width: int
    height: int
    truth: Truth


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that somebody did, by their number and the image's."""

    worker: int
    image: int
    stage: str
    round: int
    cause: str | None
    did: str

    def __str__(self) -> str:
        cause = f" ({self.cause})" if self.cause else ""
        return f"bot {self.worker}: {self.did} {self.stage}{cause} of image {self.image}, round {self.round}"


class Deciding(Protocol):
    """What a member does with a task: see bots.decide."""

    def __call__(
        self,
        task: Mapping[str, Any],
        truth: Truth,
        persona: Persona,
        vocabulary: Vocabulary,
        rng: random.Random,
    ) -> Action:
        """The member's action."""


class Desk(Protocol):
    """Where members claim and answer, one after the other. Images go by their numbers in the run."""

    def claim(self, member: Persona, only: Stage | None) -> Mapping[str, Any] | None:
        """A task in the API's form, or None."""

    def answer(self, member: Persona, task: Mapping[str, Any], action: Action) -> None:
        """The member is done with the task."""


def crew(workers: int, seed: int, careless: float) -> list[Persona]:
    """The crew of a seed; nobody skips, since time decides for how long. Raises CrewTooSmall."""
    return [replace(each, may_skip=False) for each in assemble(workers, seed, careless)]


def pictures(vocabulary: Vocabulary, seed: int, count: int) -> list[Picture]:
    """The images of a seed, with what is true of them."""
    truths = (seeded_truth(vocabulary, seed, number, *SIZE) for number in range(1, count + 1))
    return [Picture(number, *SIZE, truth) for number, truth in enumerate(truths, 1)]


def as_file(picture: Picture, seed: int) -> bytes:
    """A JPEG file for the picture: coloured tiles like no other's, since bots know what it shows."""
    tiles = random.Random(f"{seed}/tiles/{picture.number}").randbytes(3 * TILES[0] * TILES[1])
    image = Image.frombytes("RGB", TILES, tiles)
    return as_jpeg(image.resize((picture.width, picture.height), Image.Resampling.NEAREST))


def work(
    desk: Desk,
    members: Sequence[Persona],
    truths: Mapping[int, Truth],
    vocabulary: Vocabulary,
    seed: int,
    saw: Callable[[Step], None],
    deciding: Deciding = decide,
) -> None:
    """Have the members take turns, each round in another order, until nobody finds anything.

    `truths` by the images' numbers. `saw` is told each step.
    """
    order = random.Random(f"{seed}/turns")
    dice = {member.number: random.Random(f"{seed}/{member.number}") for member in members}
    empty_handed: Counter[int] = Counter()
    idle_rounds = 0
    while idle_rounds <= FOCUS_PATIENCE:
        idle_rounds += 1
        for member in order.sample(members, len(members)):
            task = desk.claim(member, _wish(member, empty_handed[member.number]))
            if task is None:
                empty_handed[member.number] += 1
                continue
            empty_handed[member.number] = idle_rounds = 0
            truth = truths[task["image"]["id"]]
            action = deciding(task, truth, member, vocabulary, dice[member.number])
            desk.answer(member, task, action)
            saw(_step(member, task, action))


def _wish(member: Persona, empty_handed: int) -> Stage | None:
    return member.focus if empty_handed % (FOCUS_PATIENCE + 1) < FOCUS_PATIENCE else None


def _step(member: Persona, task: Mapping[str, Any], action: Action) -> Step:
    place = task["image"]["id"], str(task["stage"]), task["round"], task.get("cause")
    return Step(member.number, *place, _told(action))


def _told(action: Action) -> str:
    match action:
        case Submit(result) if "score" in result:
            return f"gave {result['score']} at"
        case Submit(result) if "unusable" in result:
            return "found unusable at"
        case Submit():
            return "labelled"
        case SendBack(to, _):
            return f"sent back to {to} from"
        case Release():
            return "released"
