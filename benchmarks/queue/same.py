"""Holds the floor against the application: for a cycle of each stage the engine must run the same SQL."""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.queue import people
from benchmarks.queue.build import Built
from benchmarks.queue.floor import Floor, make_floor
from benchmarks.queue.replies import Replies
from crowd.app import create_app
from crowd.core.config import Settings
from crowd.core.db import Database
from crowd.policy import Grade, Stage
from crowd.runtime import build_runtime
from crowd.tasks import answers
from crowd.tasks.taxonomies import shelf

# What a task asks for depends on its history: so often are two tasks looked for that ask for the same.
PAIRS = 6
_WORKERS: dict[Stage, Grade] = {
    Stage.SEGMENTATION: Grade.GENERAL,
    Stage.ATTRIBUTES: Grade.GENERAL,
    Stage.STYLES: Grade.EXPERT,
    Stage.FIRST_REVIEW: Grade.SEMI_EXPERT,
    Stage.SECOND_REVIEW: Grade.INSPECTOR,
    Stage.ADJUDICATION: Grade.EXPERT,
}


class Differs(Exception):
    """Application and floor do not run the same statements; the message shows the first that differs."""


def check(database: Built, folder: Path) -> list[Stage]:
    """Run cycles of each stage through both; what they take and answer stays.

    Returns the stages at which both had something to do. Raises Differs.
    """
    settings = Settings(
        data_dir=folder,
        database_url=database.url,
        redis_url=None,
        storage=str(folder / "storage"),
        secret_key="only for measuring",
        gold_percent=0.0,
        requests_per_minute=1_000_000,
    )
    rt = build_runtime(settings)
    try:
        client = create_app(rt=rt, environ={"CROWD_LOG_LEVEL": "error"}).test_client()
        # What verdicts do to scores comes on top: the floor knows nothing of it, so all of it counts as ours.
        answers.MOVED_HOOKS[:] = []
        floor = make_floor(rt.db, rt.policy, shelf(rt).present_id())
        compared = []
        for stage, grade in _WORKERS.items():
            # The last but one of a grade holds nothing, and is not the one whom the variants pin.
            token = people.of_grade(database.seed, grade)[-2].token
            sides = _Application(client, token), _ByHand(floor, token)
            if _compare(rt.db, *sides, stage, database.replies):
                compared.append(stage)
        return compared
    finally:
        rt.db.close()


def _compare(db: Database, application: Any, by_hand: Any, stage: Stage, replies: Replies) -> bool:
    """Whether there was anything to compare by."""
    difference = ""
    for _ in range(PAIRS):
        with _statements(db) as ours:
            done = _cycle(application, stage, replies)
        floors: list[str] = []
        by_hand.log_into(floors)
        if not (_cycle(by_hand, stage, replies) and done):
            return False
        difference = _difference(ours, floors)
        if not difference:
            return True
    raise Differs(f"{stage}: {difference}")


def _difference(ours: list[str], floors: list[str]) -> str:
    for number, (one, other) in enumerate(zip(ours, floors, strict=False)):
        if one != other:
            return f"statement {number}\napplication: {one}\nfloor: {other}"
    if len(ours) != len(floors):
        longer = ours if len(ours) > len(floors) else floors
        too_much = longer[min(len(ours), len(floors))]
        return f"{len(ours)} statements, the floor {len(floors)}; too much: {too_much}"
    return ""


@contextmanager
def _statements(db: Database) -> Iterator[list[str]]:
    texts: list[str] = []

    def note(_conn: Any, _cursor: Any, text: str, _values: Any, _context: Any, _many: bool) -> None:
        texts.append(text)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield texts
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)


def _cycle(side: Any, stage: Stage, replies: Replies) -> bool:
    task = side.post("/api/v1/tasks/claim", {"stage": str(stage)})
    if not task:
        return False
    answer = {"token": task["lease"]["token"], "result": replies.to(task), "seconds": 41.5}
    side.post(f"/api/v1/tasks/{task['id']}/submit", answer)
    return True


class _Application:
    def __init__(self, client: Any, token: str) -> None:
        self._client = client
        self._token = token

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = self._client.post(path, json=body, headers={"Authorization": f"Bearer {self._token}"})
        if answer.status_code not in (200, 204):
            raise Differs(f"the application answered {answer.status_code} {answer.text}")
        return answer.json if answer.status_code == 200 else None


class _ByHand:
    def __init__(self, floor: Floor, token: str) -> None:
        self._floor = floor
        self._token = token

    def log_into(self, texts: list[str]) -> None:
        self._floor.log = texts

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        sent = json.dumps(body).encode()
        environ = {
            "PATH_INFO": path,
            "CONTENT_LENGTH": str(len(sent)),
            "HTTP_AUTHORIZATION": f"Bearer {self._token}",
            "wsgi.input": io.BytesIO(sent),
        }
        answer = b"".join(self._floor(environ, lambda _status, _headers: None))
        return json.loads(answer) if answer else None
