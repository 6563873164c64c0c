"""A crowd whose work is steered: fixtures of the tests of figures."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from crowd.accounts import service as accounts
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.steering import telling
from tests.kinds import Answer, Client, Headers, client_of
from tests.tasks.engine import Engine, Lease, later, rejecting

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass
class Steered:
    """A crowd with a boss who looks at figures."""

    engine: Engine
    client: Client
    headers: Callable[[int], Headers]

    @property
    def boss(self) -> Headers:
        return self.headers(self.engine.crew[Grade.ADMIN][0])

    def get(self, path: str, **query: Any) -> Answer:
        return self.client.get(f"/api/v1/stats/{path}", query_string=query, headers=self.boss)

    def items(self, path: str, **query: Any) -> list[Any]:
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.text
        assert answer.json["waiting"] == 0
        found: list[Any] = answer.json["items"]
        return found

    def claimed(self, stage: Stage) -> Lease:
        for person in self.engine.people_for(stage):
            lease = self.engine.claim(person, stage)
            if isinstance(lease, Lease):
                return lease
        raise AssertionError(f"nobody gets {stage}")


@pytest.fixture
def steered(rt: Runtime, app: Flask) -> Steered:
    engine = Engine(rt, MONDAY)
    for grade, count in {
        Grade.GENERAL: 2,
        Grade.REVIEWER: 1,
        Grade.EXPERT: 1,
        Grade.INSPECTOR: 3,
        Grade.ADMIN: 1,
    }.items():
        for _ in range(count):
            engine.hire(grade)

    def headers(worker_id: int) -> Headers:
        with rt.db.begin() as conn:
            _, token = accounts.issue_token(conn, worker_id)
        return {"Authorization": f"Bearer {token}"}

    return Steered(engine, client_of(app), headers)


@pytest.fixture
def lived(steered: Steered) -> Steered:
    """Week 10: an image is labelled, bounced for its attributes; week 11: corrected, split, accepted."""
    engine = steered.engine
    engine.image_at(Stage.FIRST_REVIEW)
    assert engine.answer(steered.claimed(Stage.FIRST_REVIEW), rejecting(Stage.ATTRIBUTES)) is None
    later(engine, 7 * 86_400)
    engine.tidy()
    image = engine.open_tasks()[0].image_id
    engine.lead(image, Stage.SECOND_REVIEW)
    seats = [steered.claimed(Stage.SECOND_REVIEW), steered.claimed(Stage.SECOND_REVIEW)]
    assert engine.answer(seats[0], {"score": 5}) is None
    assert engine.answer(seats[1], rejecting(Stage.STYLES, score=3)) is None
    settling = steered.claimed(Stage.ADJUDICATION)
    assert engine.answer(settling, {"score": 4}) is None
    telling.tell(engine.db)
    return steered
