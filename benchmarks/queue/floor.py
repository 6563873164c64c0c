"""The least a claim and an answer can cost in Python: the application's SQL by psycopg, under bare WSGI.

No framework, no validation, no counting of requests: JSON in, statements, JSON out. The statements are the
application's prebuilt ones, compiled to text once; `check` holds both against each other.
"""

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from types import SimpleNamespace
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

from crowd.accounts import queries as accounts
from crowd.core import clock
from crowd.core.clock import rfc3339
from crowd.core.config import load_settings
from crowd.core.db import Database
from crowd.core.security import digest
from crowd.core.statements import Statement
from crowd.images import history
from crowd.images.models import ImageState, What
from crowd.policy import Grade, Policy, Stage
from crowd.review.rechecks import queries as rechecks
from crowd.runtime import build_runtime
from crowd.tasks import answer_queries, claim_queries, image_queries, lease_queries, queries, seat_queries
from crowd.tasks.flow import (
    JOINT,
    LABELLING,
    NEXT,
    STAGES,
    Cause,
    Effect,
    Move,
    Outcome,
    downstream_first,
    move_for,
)
from crowd.tasks.marks import NONE, Horizon, MarkBook, Marks
from crowd.tasks.models import Kind, Part, Standing
from crowd.tasks.rules import RULES, Answer
from crowd.tasks.taxonomies import shelf
from crowd.wiring import wire

Values = dict[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]

_TASK_FIELDS = [column.name for column in queries.TASK_COLUMNS]
_VOTED = frozenset({Stage.STYLES, Stage.SECOND_REVIEW})


def _code(member: StrEnum | None) -> int | None:
    """The small integer that a state, stage or part is kept as."""
    return None if member is None else list(type(member)).index(member)


_STAGES, _CAUSES, _GRADES = list(Stage), list(Cause), list(Grade)


class Text:
    """A statement of the application as psycopg takes it: text, and the values written into it."""

    def __init__(self, construct: Any, dialect: Any, given: Values) -> None:
        keys = list(given) if construct.is_insert else None
        state = construct.compile(dialect=dialect, column_keys=keys).construct_expanded_state(given)
        self.text = state.statement
        known = self._spread(given)
        self._fixed = {name: _kept(value) for name, value in state.parameters.items() if name not in known}

    def values(self, given: Values) -> Values:
        """All values to run it with."""
        return {**self._fixed, **self._spread(given)}

    @staticmethod
    def _spread(given: Values) -> Values:
        """A list for an IN as SQLAlchemy writes it: one value after the other, numbered."""
        spread: Values = {}
        for name, value in given.items():
            if isinstance(value, list):
                spread |= {f"{name}_{place}": one for place, one in enumerate(value, start=1)}
            else:
                spread[name] = value
        return spread


def _kept(value: Any) -> Any:
    if isinstance(value, dict):
        return Jsonb(value)
    return _code(value) if isinstance(value, StrEnum) else value


class Session:
    """One connection, and the application's statements on it. `log`, if given, takes each text that runs."""

    def __init__(self, address: str, dialect: Any, log: list[str] | None = None) -> None:
        self._connection = psycopg.connect(
            address, options="-c idle_in_transaction_session_timeout=60000 -c timezone=UTC -c jit=off"
        )
        self.dialect = dialect
        self._texts: dict[Any, Text] = {}
        self.log = log

    @contextmanager
    def begin(self) -> Iterator[None]:
        """A transaction."""
        with self._connection.transaction():
            yield

    def read(self, statement: Statement, given: Values) -> Any:
        """The only row of a query outside of any transaction."""
        self._connection.autocommit = True
        try:
            return self.run(statement, given).fetchone()
        finally:
            self._connection.autocommit = False

    def run(self, statement: Statement, given: Values) -> psycopg.Cursor[Any]:
        """Run a prebuilt statement."""
        text = self._texts.get(statement)
        if text is None:
            text = self._texts[statement] = Text(statement.construct, self.dialect, given)
        if self.log is not None:
            self.log.append(text.text)
        return self._connection.execute(text.text, text.values(given))

    def execute(self, construct: Any, given: Values) -> Any:
        """The little of SQLAlchemy's Connection that moving a mark needs; once in a while."""
        text = Text(construct, self.dialect, given)
        if self.log is not None:
            self.log.append(text.text)
        cursor = self._connection.cursor(row_factory=namedtuple_row)
        values = {name: _kept(value) for name, value in text.values(given).items()}
        cursor.execute(text.text, values)
        return _Rows(cursor.fetchall() if cursor.description else [])


class _Rows(list[Any]):
    def first(self) -> Any:
        return self[0] if self else None

    def all(self) -> list[Any]:
        return self


class Floor:
    """The two hot requests, done by hand."""

    def __init__(self, address: str, dialect: Any, policy: Policy, taxonomy_id: int) -> None:
        self._address = address
        self._dialect = dialect
        self._policy = policy
        self._taxonomy_id = taxonomy_id
        self._book = MarkBook()
        self._local = threading.local()
        self.log: list[str] | None = None

    def __call__(self, environ: Mapping[str, Any], start: Start) -> Iterable[bytes]:
        """WSGI."""
        path = environ["PATH_INFO"]
        if path == "/healthz":
            return _send(start, "200 OK", b"{}")
        body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        token = environ["HTTP_AUTHORIZATION"].partition(" ")[2]
        session = self._session()
        person = session.read(accounts._BY_TOKEN, {"with_digest": digest(token)})
        if path == "/api/v1/tasks/claim":
            only = Stage(body["stage"]) if body.get("stage") else None
            with session.begin():
                task = self._claim(session, person[0], only)
            if task is None:
                return _send(start, "204 No Content", b"")
            return _send(start, "200 OK", json.dumps(task).encode())
        task_id = int(path.split("/")[4])
        with session.begin():
            self._submit(session, person[0], task_id, body)
        return _send(start, "200 OK", json.dumps({"task_id": task_id, "state": "done"}).encode())

    def _session(self) -> Session:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = Session(self._address, self._dialect)
        session.log = self.log
        found: Session = session
        return found

    def _claim(self, session: Session, who: int, only: Stage | None) -> Values | None:
        now = clock.now()
        worker = session.run(queries._LOCK_WORKER, {"who": who}).fetchone()
        assert worker is not None
        stages = (only,) if only else _stages_of(self._policy, _GRADES[worker[1]])
        held = session.run(lease_queries._HELD, {"who": who, "at_now": now, "in_batch": False}).fetchone()
        assert held is not None
        if held[0] >= self._policy.held_leases:
            return None
        found = self._search(session, who, stages, now)
        if Stage.ADJUDICATION in stages and not (found and (found[4] or found[6])):
            # Of those who adjudicate; the built queue has none.
            assert session.run(rechecks._ANY_OPEN, {}).fetchone() is None
        if found is None:
            return None
        task_id, image_id, stage = found[0], found[1], _STAGES[found[2]]
        taken = {
            "of_tasks": [task_id],
            "who": who,
            "until": now + timedelta(seconds=self._policy.stages[stage].lease_seconds),
            "in_batch": False,
            "by_taxonomy": self._taxonomy_id,
        }
        task = _named(_TASK_FIELDS, session.run(lease_queries._TAKE, taken).fetchone())
        claim = {"task_id": task_id, "token": task["token"], "worker_id": who, "at": now}
        session.run(lease_queries._ADD_CLAIM, claim)
        return _view(session, task, stage, image_id)

    def _search(self, session: Session, who: int, stages: tuple[Stage, ...], now: datetime) -> Any:
        asked = {"who": who, "at_now": now, "at_most": 1}
        found = session.run(claim_queries._rework(stages, ()), asked).fetchone()
        for stage in stages:
            if found is not None:
                break
            if not self._book.knows(who, stage):
                kept = claim_queries.kept_marks(session, who, stage, now)  # type: ignore[arg-type]  # execute()
                self._book.begin(who, stage, kept.by_priority, age=kept.age)
            if self._book.is_at_head(who, stage):
                self._look_ahead(session, who, stage, now)
            marks = self._book.of(who, stage)
            construct = claim_queries._new(stage, len(marks.by_priority))
            found = session.run(construct, asked | claim_queries._places(marks)).fetchone()
            row = SimpleNamespace(id=found[0], priority=found[3]) if found else None
            if self._book.is_worth_moving(who, stage, row):  # type: ignore[arg-type]  # has what is asked for
                seen = claim_queries.horizon(session, self._book)  # type: ignore[arg-type]  # execute()
                end = claim_queries.first_open(session, who, stage, marks)  # type: ignore[arg-type]  # execute()
                self._keep(session, who, stage, marks, end, seen, now)
        return found

    def _look_ahead(self, session: Session, who: int, stage: Stage, now: datetime) -> None:
        seen = claim_queries.horizon(session, self._book)  # type: ignore[arg-type]  # execute()
        end = claim_queries.first_open(session, who, stage, NONE)  # type: ignore[arg-type]  # execute()
        if self._book.is_worth_moving(who, stage, end):
            self._keep(session, who, stage, NONE, end, seen, now)
        else:
            self._book.move(who, stage, {})

    def _keep(
        self, session: Session, who: int, stage: Stage, marks: Marks, end: Any, seen: Horizon, now: datetime
    ) -> None:
        moved = claim_queries.marks_before(session, stage, marks, end, now, seen)  # type: ignore[arg-type]  # execute()
        made_at = now - timedelta(seconds=self._book.move(who, stage, moved))
        claim_queries.keep_marks(session, who, stage, moved, made_at)  # type: ignore[arg-type]  # execute()

    def _submit(self, session: Session, who: int, task_id: int, body: Values) -> None:
        now, token, result = clock.now(), body["token"], body["result"]
        named = {"of_task": task_id, "with_token": token}
        unlocked = session.run(queries._TASK_AND_CLAIMANT, named).fetchone()
        assert unlocked is not None
        session.run(queries._LOCK_WORKER, {"who": who}).fetchone()
        image_id = unlocked[1]
        image = session.run(image_queries._LOCK, {"of_image": image_id}).fetchone()
        assert image is not None
        task = _named(_TASK_FIELDS, session.run(queries._LOCK_TASK, named).fetchone())
        stage = _STAGES[task["stage"]]
        cause = None if task["cause"] is None else _CAUSES[task["cause"]]
        asked = {"of_image": image_id, "in_round": task["round"]}
        if cause is Cause.SPLIT:
            second = asked | {"at_stage": _code(Stage.SECOND_REVIEW)}
            session.run(answer_queries._COUNTED, second).fetchall()
        peers: list[Any] = []
        if stage in JOINT:
            peers = session.run(answer_queries._COUNTED, asked | {"at_stage": task["stage"]}).fetchall()
        session.run(answer_queries._LABELS, {"of_image": image_id}).fetchall()
        session.run(lease_queries._FINISH, named | {"who": who})
        answer = {
            "task_id": task_id,
            "token": token,
            "image_id": image_id,
            "stage": task["stage"],
            "round": task["round"],
            "worker_id": who,
            "kind": _code(Kind.SUBMIT),
            "standing": _code(Standing.COUNTED),
            "result": Jsonb(result),
            "seconds": body["seconds"],
            "at": now,
        }
        session.run(answer_queries._ADD_SUBMISSION, answer)
        moving = _Moving(session, image, task, who, self._taxonomy_id, now)
        moving.note(What.SUBMITTED, why=Jsonb(result) if "score" in result else None)
        part = Part.LABELLED if stage in LABELLING or cause is Cause.STYLES else Part(stage.value)
        share = {"image_id": image_id, "worker_id": who, "part": _code(part), "round": task["round"]}
        session.run(answer_queries._ADD_PARTICIPATION["postgresql"], share)
        outcome, label = _judged(stage, cause, who, result, peers, self._policy)
        if label is not None:
            kept = Stage.STYLES if stage is Stage.ADJUDICATION else stage
            author = None if peers or stage is Stage.ADJUDICATION else who
            moving.keep_label(kept, author, label)
        moving.apply(move_for(stage, cause, outcome))


class _Moving:
    """An image on the move, as in crowd.tasks.moves."""

    def __init__(
        self, session: Session, image: Any, task: Values, who: int, taxonomy_id: int, now: datetime
    ) -> None:
        self._session = session
        self._id, self._round, self._priority = image[0], image[2], image[3]
        self._task = task
        self._who = who
        self._taxonomy_id = taxonomy_id
        self._now = now

    def note(self, what: What, *, target: Stage | None = None, why: Any = None) -> int:
        if what in history.STATES:
            state: ImageState = history.STATES[what]
            self._session.run(history._NEW_STATE, {"of_image": self._id, "to": _code(state)})
        if what in history.NEW_ROUND:
            self._session.run(history._NEXT_ROUND, {"of_image": self._id})
        event = {
            "of_image": self._id,
            "with_at": self._now,
            "with_what": _code(what),
            "with_worker_id": self._who,
            "with_about_id": None,
            "with_stage": self._task["stage"],
            "with_target": _code(target),
            "with_task_id": self._task["id"],
            "with_why": why,
        }
        row = self._session.run(history._ADD_EVENT, event).fetchone()
        assert row is not None
        return int(row[0])

    def keep_label(self, stage: Stage, author: int | None, label: Any) -> None:
        row = {
            "image_id": self._id,
            "stage": _code(stage),
            "round": self._round,
            "worker_id": author,
            "taxonomy_id": self._taxonomy_id,
            "value": Jsonb(label),
            "at": self._now,
        }
        self._session.run(answer_queries._ADD_LABEL, row)

    def apply(self, move: Move) -> None:
        match move.effect:
            case Effect.WAIT:
                return
            case Effect.OPEN | Effect.OPEN_SEAT:
                assert move.stage is not None
                seats = 1 if move.effect is Effect.OPEN_SEAT else STAGES[move.stage].seats
                for _ in range(seats):
                    self._open(move.stage, self._round)
            case Effect.OPEN_NEXT:
                opened = NEXT[_STAGES[self._task["disputed"]]]
                self._open(opened, self.note(What.UPHELD, target=opened))
            case Effect.ADJUDICATE:
                self._open(Stage.ADJUDICATION, self._round, cause=move.cause)
            case Effect.ACCEPT:
                stage = _STAGES[self._task["stage"]]
                self.note(What.ACCEPTED, why=Jsonb({"reason": f"{stage} passed"}))
            case _:
                raise NotImplementedError(f"{move} is not on the happy path")

    def _open(self, stage: Stage, image_round: int, *, cause: Cause | None = None) -> None:
        task = {
            "of_image": self._id,
            "at_stage": _code(stage),
            "in_round": image_round,
            "with_bounced": False,
            "with_priority": self._priority,
            "with_cause": _code(cause),
            "with_disputed": None,
            "with_excluded_id": None,
            "with_reserved_for": None,
            "with_reserved_until": None,
            "with_opened_at": self._now,
        }
        is_first = image_round == 1 and cause is None
        statement = seat_queries._ADD_TASK_AND_SLOTS if is_first else seat_queries._ADD_TASK
        self._session.run(statement, task).fetchall()


def _judged(
    stage: Stage, cause: Cause | None, who: int, result: Values, peers: Sequence[Any], policy: Policy
) -> tuple[Outcome, Any]:
    """What a right answer comes to, and the labels that it gives."""
    if stage in _VOTED and peers:
        others = [Answer(row[0], stage, row[2]) for row in peers if "unusable" not in row[2]]
        case: Any = SimpleNamespace(peers=others, policy=policy)
        judgement = RULES[stage].judge(Answer(who, stage, result), case)
        return judgement.outcome, judgement.label
    if stage in LABELLING or cause is Cause.STYLES:
        return Outcome.LABELLED, result
    return (Outcome.WAITING if stage is Stage.SECOND_REVIEW else Outcome.PASSED), None


def _view(session: Session, task: Values, stage: Stage, image_id: int) -> Values:
    rows = session.run(image_queries._PICTURE_AND_LABELS, {"of_image": image_id}).fetchall()
    labels: dict[str, Any] = {each.value: None for each in LABELLING}
    for row in rows:
        if row[3] is not None:
            labels[_STAGES[row[3]].value] = row[4]
    cause = None if task["cause"] is None else _CAUSES[task["cause"]]
    return {
        "id": task["id"],
        "stage": stage.value,
        "round": task["round"],
        "lease": {"token": task["token"], "expires_at": rfc3339(task["lease_until"])},
        "image": {
            "id": image_id,
            "url": f"/api/v1/images/{image_id}/file",
            "width": rows[0][0],
            "height": rows[0][1],
        },
        "labels": labels,
        "candidates": None,
        "feedback": _feedback(session, task, stage, cause, image_id),
        "cause": cause,
    }


def _feedback(session: Session, task: Values, stage: Stage, cause: Cause | None, image_id: int) -> list[Any]:
    first = task["round"] == 1 and stage is not Stage.ADJUDICATION
    if first or stage is Stage.SECOND_REVIEW or cause in (Cause.SPLIT, Cause.STYLES):
        return []
    rows = session.run(image_queries._FEEDBACK, {"of_image": image_id}).fetchall()
    return [{**piece, "at": rfc3339(row[1])} for row in rows for piece in row[2]]


@cache
def _stages_by_grade(policy_name: str, grade: Grade, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    return tuple(downstream_first(stages))


def _stages_of(policy: Policy, grade: Grade) -> tuple[Stage, ...]:
    return _stages_by_grade(policy.name, grade, policy.stages_for(grade))


def _named(names: Sequence[str], row: Any) -> Values:
    return dict(zip(names, row, strict=False))


def _send(start: Start, status: str, body: bytes) -> list[bytes]:
    start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def create_app() -> Floor:
    """The WSGI application, by the environment that the real one takes its settings from."""
    rt = build_runtime(load_settings(os.environ))
    # The rules of reviews hang in from above.
    wire(rt)
    return make_floor(rt.db, rt.policy, shelf(rt).present_id())


def make_floor(db: Database, policy: Policy, taxonomy_id: int) -> Floor:
    """A floor beside the application's own database object, whose dialect compiles the statements."""
    with db.read():
        pass
    return Floor(
        db.url.replace("postgresql+psycopg://", "postgresql://"), db.engine.dialect, policy, taxonomy_id
    )
