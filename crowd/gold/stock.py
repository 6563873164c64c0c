"""What a stage's pool still has for one person, and how much of it practice and exams may use. PURE.

What somebody has met openly can never be hidden from them, and an exam asks only what they have not met: so
practice leaves something for both.
"""

import math
import random
from dataclasses import dataclass

from crowd.policy import Stage
from crowd.policy.sections import GoldPolicy

REVIEWS = (Stage.FIRST_REVIEW, Stage.SECOND_REVIEW)


@dataclass(frozen=True, slots=True)
class Stock:
    """A stage's pool before one person.

    `pool`: items in all; `good` and `bad`: those that the person has not met (`bad`: reviews of bad work);
    `practised`: met in practice; `today`: practice tasks and examples since midnight; `answered`: practice
    answers; `examined`: no exam is ahead, since it is passed or the person works at the stage.
    """

    stage: Stage
    pool: int
    good: int
    bad: int
    practised: int
    today: int
    answered: int
    examined: bool

    @property
    def unmet(self) -> int:
        """Items that the person has not met."""
        return self.good + self.bad


@dataclass(frozen=True, slots=True)
class Missing:
    """What an exam lacks: questions in all, and of good and of bad work among them."""

    questions: int
    good: int
    bad: int

    def __bool__(self) -> bool:
        return self.questions > 0


def questions(stage: Stage, numbers: GoldPolicy) -> int:
    """How many questions an exam has."""
    return numbers.second_exam_items if stage is Stage.SECOND_REVIEW else numbers.exam_items


def quota(stage: Stage, numbers: GoldPolicy) -> int:
    """Of an exam's questions at least so many are of good work, and so many of bad."""
    if stage not in REVIEWS:
        return 0
    return math.floor(questions(stage, numbers) * numbers.exam_mix_percent / 100)


def missing(stock: Stock, numbers: GoldPolicy) -> Missing:
    """What the pool lacks for an exam of this person."""
    least = quota(stock.stage, numbers)
    good, bad = max(0, least - stock.good), max(0, least - stock.bad)
    return Missing(max(good + bad, questions(stock.stage, numbers) - stock.unmet), good, bad)


def room(stock: Stock, numbers: GoldPolicy) -> int:
    """How many more items this person may practise, whatever the day."""
    share = math.floor(stock.pool * numbers.practice_percent / 100)
    allowed = max(numbers.practice_least, share) - stock.practised
    return max(0, min(allowed, stock.unmet - _kept(stock, numbers)))


def practice_left(stock: Stock, numbers: GoldPolicy) -> int:
    """Practice answers before the exam may begin; never more than the pool has for them."""
    return max(0, min(numbers.exam_practice - stock.answered, room(stock, numbers)))


def kind_to_practise(stock: Stock, numbers: GoldPolicy) -> bool | None:
    """Whether bad work (True), good (False) or either (None) may be practised; what an exam needs is left."""
    if not _kept(stock, numbers):
        return None
    least = quota(stock.stage, numbers)
    spare = [is_bad for is_bad, unmet in ((False, stock.good), (True, stock.bad)) if unmet > least]
    return None if len(spare) != 1 else spare[0]


def kind_to_ask(
    stage: Stage, good: int, bad: int, numbers: GoldPolicy, items: int, rng: random.Random
) -> bool | None:
    """Whether the next question is of bad work (True), good (False) or either, after so many of each.

    Drawn so that nobody can reckon it from what came before, but for the very last ones.
    """
    least = quota(stage, numbers)
    still_good, still_bad = max(0, least - good), max(0, least - bad)
    drawn = rng.randrange(max(1, items - good - bad))
    return True if drawn < still_bad else False if drawn < still_bad + still_good else None


def _kept(stock: Stock, numbers: GoldPolicy) -> int:
    """Items that are kept for an exam; none where there is none ahead, or none possible anyway."""
    return 0 if stock.examined or missing(stock, numbers) else questions(stock.stage, numbers)
