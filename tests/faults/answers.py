"""What a bot answers: valid for the task, different each time, and mostly good enough to go on. PURE."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crowd.policy import Stage
from crowd.tasks.flow import LABELLING, Cause, blame_targets, send_back_targets
from tests.faults.ledger import Act

CATEGORIES = {"top": "blouses", "bottom": "pants", "outer": "coats", "dress": "dresses"}
COLORS = ("black", "white", "red", "blue", "green")
STYLES = ("street", "resort", "country", "retro")
# Of working images not smaller than this (px) any region fits.
SIDE = 100

UNUSABLE_SHARE = 0.02
SEND_BACK_SHARE = 0.04
UNSURE_SHARE = 0.06
REJECT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent besides the token."""

    act: Act
    body: dict[str, Any]


def choose(task: Mapping[str, Any], rng: random.Random, *, kindly: bool) -> Answer:
    """An answer to a task as the API shows it; `kindly`: one that lets the image go on."""
    stage = Stage(task["stage"])
    if not kindly and send_back_targets(stage) and rng.random() < SEND_BACK_SHARE:
        to = rng.choice(send_back_targets(stage))
        return Answer(Act.SEND_BACK, {"to": str(to), "reasons": ["missing"], "comment": _mark(rng)})
    if not kindly and stage in LABELLING and rng.random() < UNUSABLE_SHARE:
        return _submit({"unusable": rng.choice(("watermark", "collage"))})
    match stage:
        case Stage.SEGMENTATION:
            return _submit(_regions(rng))
        case Stage.ATTRIBUTES:
            return _submit(_attributes(task, rng))
        case Stage.STYLES:
            unsure = not kindly and rng.random() < UNSURE_SHARE
            return _submit({"styles": _styles(rng, kindly=kindly), "unsure": unsure})
        case Stage.ADJUDICATION if task.get("cause") == Cause.STYLES:
            return _submit({"styles": _styles(rng, kindly=kindly)})
    return _submit(_verdict(stage, rng, kindly=kindly))


def altered(answer: Answer, rng: random.Random) -> Answer:
    """Another answer of the same kind, for whoever sends the same token twice."""
    body = dict(answer.body)
    if answer.act is Act.SEND_BACK:
        return Answer(Act.SEND_BACK, {**body, "comment": _mark(rng)})
    result = dict(body["result"])
    if "score" in result:
        result["comment"] = _mark(rng)
    elif "styles" in result:
        result["styles"] = _styles(rng, kindly=False)
    elif "unusable" in result:
        result["unusable"] = "overlap"
    elif isinstance(result["regions"], list):
        result = _regions(rng)
    else:
        result["regions"] = {
            name: {**given, "color": rng.choice(COLORS)} for name, given in result["regions"].items()
        }
    return Answer(answer.act, {**body, "result": result})


def _submit(result: dict[str, Any]) -> Answer:
    return Answer(Act.SUBMIT, {"result": result})


def _regions(rng: random.Random) -> dict[str, Any]:
    regions = []
    for number in range(rng.randint(1, 2)):
        x, y = rng.randint(0, 40), rng.randint(0, 40)
        right, bottom = rng.randint(x + 10, SIDE - 1), rng.randint(y + 10, SIDE - 1)
        ring = [[x, y], [right, y], [right, bottom], [x, bottom]]
        part = rng.choice(tuple(CATEGORIES))
        regions.append({"id": f"r{number + 1}", "part": part, "rings": [ring]})
    return {"regions": regions}


def _attributes(task: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    regions = task["labels"]["segmentation"]["regions"]
    return {
        "regions": {
            region["id"]: {"category": CATEGORIES[region["part"]], "color": rng.choice(COLORS)}
            for region in regions
        }
    }


def _styles(rng: random.Random, *, kindly: bool) -> list[str]:
    if kindly:
        return [STYLES[0], rng.choice(STYLES[1:])]
    return rng.sample(STYLES, rng.randint(1, 3))


def _verdict(stage: Stage, rng: random.Random, *, kindly: bool) -> dict[str, Any]:
    if kindly or rng.random() > REJECT_SHARE:
        return {"score": rng.choice((4, 5)), "blame": None, "reasons": [], "comment": _mark(rng)}
    blame = rng.choice((None, *map(str, blame_targets(stage))))
    return {"score": rng.randint(1, 3), "blame": blame, "reasons": ["wrong_entry"], "comment": _mark(rng)}


def _mark(rng: random.Random) -> str:
    return f"{rng.getrandbits(40):x}"
