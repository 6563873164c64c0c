"""What gold costs a claim, and what happens when one person asks many times at once."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from crowd.core.errors import Problem
from tests.gold.conftest import GoldCrew
from tests.gold.test_attentive_worker import accepted
from tests.kinds import Answer
from tests.races.contest import together
from tests.scenarios.people import good, regions

ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
# The pick, and the note that the picture is theirs; the count of somebody new's answers sometimes.
MOST_MORE = 3


@contextmanager
def counted(crew: GoldCrew) -> Iterator[list[str]]:
    """The statements of the block."""
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    engine = crew.rt.db.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(engine, "before_cursor_execute", note)


@ON_POSTGRESQL
def test_a_gold_claim_runs_hardly_more_statements_than_another(crew: GoldCrew) -> None:
    known = accepted(crew, 30)
    for _ in range(70):
        crew.image()
    crew.gold(known, "segmentation")
    drawer = crew.hire("general")
    costs: dict[bool, list[int]] = {True: [], False: []}
    spent: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(60):
        with counted(crew) as statements:
            began = time.perf_counter()
            task = drawer.claim("segmentation")
            took = time.perf_counter() - began
        is_gold = task["id"] in crew.seats(drawer)
        costs[is_gold].append(len(statements))
        spent[is_gold].append(took)
        good(drawer.submit(task, regions()))
    assert len(costs[True]) >= 5
    assert statistics.median(costs[True]) <= statistics.median(costs[False]) + MOST_MORE, costs


def test_one_person_who_asks_many_times_at_once_never_meets_a_picture_twice(crew: GoldCrew) -> None:
    known = accepted(crew, 3)
    for _ in range(60):
        crew.image()
    crew.gold(known, "segmentation", "attributes")
    people = [crew.hire("general") for _ in range(2)]

    def ask(place: int) -> Answer:
        person = people[place % 2]
        answer = person.ask("segmentation")
        if answer.status_code == 200:
            good(person.submit(answer.json, regions()))
        return answer

    for seed in range(6):
        answers = together(*(lambda place=place: ask(place) for place in range(4)), seed=seed, spread_ms=5)
        assert {each.status_code for each in answers if not isinstance(each, Problem)} <= {200, 204}
        assert not any(isinstance(each, Problem) for each in answers)
    met = crew.rows("SELECT worker_id, image_id FROM gold_seats")
    assert len(met) == len(set(met))
    given = crew.rows("SELECT id FROM tasks WHERE purpose = 2")
    assert len(given) == len(met) > 0
    assert crew.rows("SELECT count(*) FROM submissions WHERE standing = 3") == [(len(met),)]
