"""What candidates do to a bot: how many it adopts against its judgement, and what time it saves. PURE.

Planted effects, at stated rates, for checking that `GET /stats/candidates` finds them again. They say nothing
of people.
"""

import copy
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from crowd.ml.taking import choice, compare
from crowd.policy import Stage
from crowd.simulation.truth import Labels

SPREAD = 0.1


@dataclass(frozen=True, slots=True)
class Influence:
    """How far candidates move a bot.

    `adopts`: the share of proposals that it takes over though it would not have said so by itself; `saves`:
    the share of its time that it saves when candidates are shown.
    """

    adopts: float
    saves: float


@dataclass(frozen=True, slots=True)
class Effect:
    """Of so many proposals shown: how many a bot would have said by itself, and how many it said."""

    proposed: int
    alone: int
    shown: int


def influenced(
    stage: Stage,
    own: Labels,
    candidates: Mapping[str, Any] | None,
    influence: Influence,
    rng: random.Random,
    multiple: Collection[str] = (),
) -> Labels:
    """The bot's `own` answer after it has seen the candidates of its task (None: it saw none).

    `multiple`: the attributes that take a list.
    """
    if candidates is None:
        return own
    answer = copy.deepcopy(own)
    if stage is Stage.STYLES:
        ranked = candidates["styles"]
        proposed = choice(ranked, multiple=True) or choice(ranked, multiple=False)
        strange = [style for style in proposed if style not in answer["styles"]]
        answer["styles"] += [style for style in strange if rng.random() < influence.adopts]
    if stage is Stage.ATTRIBUTES:
        for region, questions in candidates["regions"].items():
            if region in answer["regions"]:
                _adopt(answer["regions"][region], questions, influence, rng, multiple)
    if stage is Stage.SEGMENTATION and candidates["regions"] and rng.random() < influence.adopts:
        keys = ("id", "part", "rings")
        answer["regions"] = [{key: region[key] for key in keys} for region in candidates["regions"]]
    return answer


def effect_of(
    stage: Stage, own: Labels, answer: Labels, candidates: Mapping[str, Any], multiple: Collection[str]
) -> Effect:
    """What the candidates did to this answer, counted as the statistics of candidates count."""
    before = compare(stage, candidates, _spelt_out(stage, own, candidates, multiple))
    after = compare(stage, candidates, _spelt_out(stage, answer, candidates, multiple))
    return Effect(before.proposed, before.kept, after.kept)


def seconds_spent(mean: float, *, shown: bool, influence: Influence, rng: random.Random) -> float:
    """Seconds that a bot takes for a task: normal around its mean, less what it saves."""
    share = 1.0 - influence.saves if shown else 1.0
    return max(0.1 * mean, mean * share * rng.gauss(1.0, SPREAD))


def _adopt(
    given: Labels,
    questions: Mapping[str, Any],
    influence: Influence,
    rng: random.Random,
    multiple: Collection[str],
) -> None:
    for question, ranked in questions.items():
        if ranked and rng.random() < influence.adopts:
            is_list = question in multiple
            proposed = choice(ranked, multiple=is_list)
            given[question] = proposed if is_list else proposed[0]


def _spelt_out(
    stage: Stage, labels: Labels, candidates: Mapping[str, Any], multiple: Collection[str]
) -> Labels:
    """The labels as they are kept: a question that was left open has an empty list, or nothing."""
    if stage is not Stage.ATTRIBUTES:
        return labels
    regions = {
        name: {
            question: labels["regions"].get(name, {}).get(question) or ([] if question in multiple else None)
            for question in questions
        }
        for name, questions in candidates["regions"].items()
    }
    return {"regions": regions}
