"""What candidates do to a bot: how many it adopts against its judgement, and what time it saves. PURE.

Planted effects, at stated rates, for checking that `GET /stats/candidates` finds them again. They say nothing
of people.
"""

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crowd.ml.taking import choice
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


def influenced(
    stage: Stage, own: Labels, candidates: Mapping[str, Any] | None, influence: Influence, rng: random.Random
) -> Labels:
    """The bot's `own` answer after it has seen the candidates of its task (None: it saw none)."""
    if candidates is None:
        return own
    answer = copy.deepcopy(own)
    if stage is Stage.STYLES:
        proposed = choice(candidates["styles"], multiple=True)
        strange = [style for style in proposed if style not in answer["styles"]]
        answer["styles"] += [style for style in strange if rng.random() < influence.adopts]
    if stage is Stage.ATTRIBUTES:
        for region, questions in candidates["regions"].items():
            given = answer["regions"].get(region, {})
            for question, ranked in questions.items():
                if isinstance(given.get(question), str) and ranked and rng.random() < influence.adopts:
                    given[question] = ranked[0]["value"]
    if stage is Stage.SEGMENTATION and candidates["regions"] and rng.random() < influence.adopts:
        keys = ("id", "part", "rings")
        answer["regions"] = [{key: region[key] for key in keys} for region in candidates["regions"]]
    return answer


def seconds_spent(mean: float, *, shown: bool, influence: Influence, rng: random.Random) -> float:
    """Seconds that a bot takes for a task: normal around its mean, less what it saves."""
    share = 1.0 - influence.saves if shown else 1.0
    return max(0.1, mean * share * rng.gauss(1.0, SPREAD))
