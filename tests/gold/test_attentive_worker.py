"""Somebody who writes down all that the API ever tells them, and looks for what tells gold from work."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.gold import dealing, service
from crowd.images import queries as images
from crowd.images import service as intake
from crowd.images.history import Happening, record
from crowd.images.models import Image, ImageState, Rights, Supplier, What
from crowd.ml.serving import Shelf
from crowd.tasks import answer_queries, shadow_queries, shadows
from crowd.tasks.models import Task
from crowd.tasks.taxonomies import shelf
from tests.gold.conftest import LABELS, GoldCrew
from tests.scenarios.people import HEIGHT, WIDTH, Json, Person, good, regions, verdict

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

CLAIMS = 150
SOURCES = 70
# Chance alone moves it by about .05 with so many claims.
MOST_TELLING = 0.17


@dataclass(frozen=True)
class Seen:
    """All that one task showed to its holder."""

    task: Json
    headers: dict[str, str]
    image_before: Json
    submitted: Json
    image_after: Json


@pytest.fixture(autouse=True)
def seeded(crew: GoldCrew, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same luck each time: what is looked for here must not come from chance."""
    luck = random.Random(11)
    monkeypatch.setattr(intake, "DICE", luck.random)
    monkeypatch.setattr(service, "DICE", luck)
    dealer = dealing.Dealer(crew.rt.policy, Shelf(), dice=luck.random)
    monkeypatch.setattr(shadows, "STAND_INS", [dealer.stand_in])


@pytest.fixture
def gold_percent() -> float:
    return 20


def accepted(crew: GoldCrew, count: int) -> list[int]:
    """Accepted images with labels, put there at once."""
    now, taxonomy_id = crew.clock.now(), shelf(crew.rt).present_id()
    made = []
    with crew.rt.db.begin() as conn:
        supplier = images.named(conn, Supplier, "a shop", now)
        for number in range(count):
            image_id = images.add_image(
                conn,
                supplier_id=supplier,
                file_name=f"known-{number}.jpg",
                rights=Rights.OWNED,
                sha256=hashlib.sha256(f"known {number}".encode()).digest(),
                state=ImageState.IN_WORK,
                width=WIDTH,
                height=HEIGHT,
                created_at=now,
            )
            record(conn, image_id, Happening(What.UPLOADED), now)
            for stage, value in LABELS.items():
                answer_queries.add_label(conn, image_id, stage, 1, None, taxonomy_id, value, now)
            record(conn, image_id, Happening(What.ACCEPTED), now)
            made.append(image_id)
    return made


def work(crew: GoldCrew, person: Person, stage: str, result: Any) -> list[Seen]:
    """Claim and answer until enough was seen, looking at everything on the way."""
    seen = []
    for _ in range(CLAIMS):
        answer = person.ask(stage)
        assert answer.status_code == 200
        task, path = answer.json, f"/images/{answer.json['image']['id']}"
        before = person.read(path)
        submitted = good(person.submit(task, result, seconds=3))
        seen.append(Seen(task, dict(answer.headers), before, submitted, person.read(path)))
        crew.clock.forward(seconds=7)
    return seen


@ON_SQLITE
def test_nothing_that_is_shown_tells_gold_from_work(crew: GoldCrew) -> None:
    seen, is_gold = a_working_week(crew)
    assert 0.08 < sum(is_gold) / len(seen) < 0.3
    assert_same_shape(seen, is_gold)
    found = telling(seen, is_gold)
    assert not found, found


@ON_SQLITE
def test_without_numbers_put_aside_the_same_eyes_would_find_gold(
    crew: GoldCrew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gold rows made when they are needed: their numbers are the newest there are."""
    monkeypatch.setattr(shadow_queries, "sit", sit_on_a_new_number)
    # Nobody would wait for a place in the order.
    monkeypatch.setattr(dealing, "PATIENCE", -1)
    seen, is_gold = a_working_week(crew)
    assert sum(is_gold) > 10
    assert {"task id, step from the last", "image id, step from the last"} <= telling(seen, is_gold).keys()


def sit_on_a_new_number(conn: Any, place: Any, worker_id: int, *rest: Any, **more: Any) -> Any:
    """As `sit`, with task and image moved to the next numbers of their sequences."""
    task = REAL_SIT(conn, place, worker_id, *rest, **more)
    image = conn.execute(sa.select(*Image.__table__.c).where(Image.id == place.ghost_id)).one()._asdict()
    new_image = conn.execute(sa.insert(Image).values(**image | {"id": None}).returning(Image.id)).scalar_one()
    new_task = conn.execute(sa.select(sa.func.max(Task.id) + 1)).scalar_one()
    conn.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    for table in ("claims", "gold_seats"):
        conn.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_no_update")
        conn.exec_driver_sql(f"UPDATE {table} SET task_id = {new_task} WHERE task_id = {task.id}")
    conn.execute(sa.update(Task).where(Task.id == task.id).values(id=new_task, image_id=new_image))
    return conn.execute(sa.select(*Task.__table__.c).where(Task.id == new_task)).one()


REAL_SIT = shadow_queries.sit


def a_working_week(crew: GoldCrew) -> tuple[list[Seen], list[bool]]:
    known = accepted(crew, SOURCES)
    for _ in range(CLAIMS):
        crew.image()
    crew.gold(known, "segmentation")
    person = crew.hire("general", "attentive")
    seen = work(crew, person, "segmentation", regions("top"))
    gold = crew.seats(person)
    return seen, [each.task["id"] in gold for each in seen]


def assert_same_shape(seen: Sequence[Seen], is_gold: Sequence[bool]) -> None:
    """The same keys, kinds and constant values in every document, whatever the task was."""
    for name in ("task", "headers", "image_before", "submitted", "image_after"):
        shapes = {
            gold: {
                shape(getattr(each, name)) for each, flag in zip(seen, is_gold, strict=True) if flag is gold
            }
            for gold in (True, False)
        }
        assert shapes[True] <= shapes[False], (name, shapes[True] - shapes[False])
        assert len(shapes[True]) == len(shapes[False]) == 1, name


def shape(value: Any) -> str:
    """A document with its numbers and moments left out."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{shape(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(shape, value)) + "]"
    if isinstance(value, str):
        return (
            "".join("0" if char.isdigit() else char for char in value).replace("00", "0").replace("00", "0")
        )
    return type(value).__name__


def telling(seen: Sequence[Seen], is_gold: Sequence[bool]) -> dict[str, float]:
    """Numbers by which gold could be told: the chance that gold's is larger, where far from ½."""
    found = {}
    for name, values in numbers(seen):
        area = chance_larger(values, is_gold)
        if abs(area - 0.5) > MOST_TELLING:
            found[name] = area
    return found


def numbers(seen: Sequence[Seen]) -> Iterator[tuple[str, list[float]]]:
    tasks = [each.task["id"] for each in seen]
    pictures = [each.task["image"]["id"] for each in seen]
    for name, ids in (("task id", tasks), ("image id", pictures)):
        steps = [0, *(after - before for before, after in pairwise(ids))]
        yield f"{name}, step from the last", [float(step) for step in steps]
        yield f"{name}, step to the next", [float(step) for step in [*steps[1:], 1]]
        yield f"{name}, place", [float(each) for each in ids]
        yield f"{name}, parity", [float(each % 2) for each in ids]
        tops = [max(ids[: place + 1]) for place in range(len(ids))]
        yield (
            f"{name}, behind the highest so far",
            [float(top - each) for top, each in zip(tops, ids, strict=True)],
        )
    apart = [task - picture for task, picture in zip(tasks, pictures, strict=True)]
    yield (
        "task id less image id",
        [float(here - around) for here, around in zip(apart, [apart[0], *apart[:-1]], strict=True)],
    )
    yield "token", [float(each.task["lease"]["token"]) for each in seen]
    yield "round", [float(each.task["round"] + each.image_after["round"]) for each in seen]
    yield "length of the answer", [float(each.headers["Content-Length"]) for each in seen]
    yield "length of the history", [float(len(str(each.image_after["history"]))) for each in seen]


def chance_larger(values: Sequence[float], is_gold: Sequence[bool]) -> float:
    """How often the value of gold is larger than that of work, ties counting half."""
    mine = [value for value, flag in zip(values, is_gold, strict=True) if flag]
    others = [value for value, flag in zip(values, is_gold, strict=True) if not flag]
    wins = sum((one > other) + 0.5 * (one == other) for one in mine for other in others)
    return wins / (len(mine) * len(others))


@ON_SQLITE
def test_a_grid_hides_planted_images_among_the_others(crew: GoldCrew) -> None:
    known = accepted(crew, 30)
    with crew.rt.db.begin() as conn:
        for _ in range(60):
            crew.seats_of_an_image(conn)
    crew.gold(known, "second_review", fault="styles")
    inspector = crew.hire("inspector", "attentive")
    tasks = good(inspector.post("/tasks/claim-batch", {"stage": "second_review", "limit": 60}))["tasks"]
    gold = crew.seats(inspector)
    assert len(tasks) == 60
    assert 3 <= len(gold) <= 30
    ids = [task["id"] for task in tasks]
    assert ids == sorted(ids)
    assert len({task["image"]["id"] for task in tasks}) == 60
    answers = [
        {"task_id": each["id"], "token": each["lease"]["token"], "result": verdict(5), "seconds": 1}
        for each in tasks
    ]
    outcomes = good(inspector.post("/tasks/submit-batch", {"answers": answers}))
    assert {tuple(sorted(each)) for each in outcomes["outcomes"]} == {("status", "task_id")}
    assert {each["status"] for each in outcomes["outcomes"]} == {200}
    fared = crew.admin.read("/gold?limit=200")["items"]
    assert sum(item["failed"] for item in fared) == len(gold)
    assert {item["origin"] for item in fared} == {"planted"}
    assert crew.progress("second_review")["done"] == 60 - len(gold)
