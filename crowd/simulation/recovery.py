"""Effects planted in bots beside what `GET /stats/candidates` finds of them. PURE.

They check the statistics: what is planted is known, so what is found can be wrong. Nothing of it is a finding
about people, who have not been looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crowd.policy import Stage
from crowd.simulation.influence import Influence

NOT_ABOUT_PEOPLE = (
    "These effects were planted in bots, to check the statistics. They say nothing about people."
)


@dataclass(frozen=True, slots=True)
class Found:
    """One model's figures (shares, 0 to 1; None where nothing can be divided).

    `planted_bias`: what bots adopted against their own judgement, of all that they were shown; `bias` and
    `faster` are the server's, `faster_error` its standard error; `adopted`: the bias, of what bots agree with
    unseen left out, which is to be held against the rate at which they adopt. `earlier`: answers that were
    counted before this run began.
    """

    stage: Stage
    model: str
    shown: int
    withheld: int
    earlier: int
    planted_bias: float | None
    bias: float | None
    adopted: float | None
    faster: float | None
    faster_error: float | None


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was planted, and what was found of it, model by model."""

    planted: Influence
    found: tuple[Found, ...]
    note: str = NOT_ABOUT_PEOPLE


def recover(
    planted: Influence,
    effects: Mapping[Stage, Mapping[str, int]],
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
) -> Recovery:
    """From `items` of GET /stats/candidates before and after the run, and what the bots did themselves."""
    earlier = {entry["model_id"]: _answers(entry) for entry in before}
    found = [
        _found(entry, effects.get(Stage(entry["stage"]), {}), earlier.get(entry["model_id"], 0))
        for entry in after
    ]
    return Recovery(planted, tuple(each for each in found if each.shown + each.withheld > each.earlier))


def _found(entry: Mapping[str, Any], effect: Mapping[str, int], earlier: int) -> Found:
    proposed = effect.get("proposed", 0)
    alone, bias = entry["withheld"]["agreement"], entry["bias"]
    return Found(
        stage=Stage(entry["stage"]),
        model=entry["model"],
        shown=entry["shown"]["answers"],
        withheld=entry["withheld"]["answers"],
        earlier=earlier,
        planted_bias=(effect["shown"] - effect["alone"]) / proposed if proposed else None,
        bias=bias,
        adopted=bias / (1 - alone) if bias is not None and alone is not None and alone < 1 else None,
        faster=entry["faster"],
        faster_error=entry["faster_error"],
    )


def _answers(entry: Mapping[str, Any]) -> int:
    return int(entry["shown"]["answers"] + entry["withheld"]["answers"])
