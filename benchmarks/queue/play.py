"""Plays each fate once through the application's own API and keeps the rows that come of it as patterns.

So a built database holds what the application writes, and nothing that it would not.
"""

import io
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from psycopg import sql

from benchmarks.queue.fates import Act, Cast, Fate, Step
from benchmarks.queue.people import Member, crew
from benchmarks.queue.replies import Replies
from crowd.policy import Grade, Stage
from crowd.simulation.truth import seeded_attributes, seeded_truth
from crowd.simulation.vocabulary import Vocabulary

API = "/api/v1"
PATIENCE = 10
SUPPLIER = "shop 1"
# The first is the smallest: answers made for it fit into all of them.
SIZES = ((600, 800), (800, 1067), (800, 1200))
PATTERNS = "patterns"


class Unplayable(Exception):
    """The application did not let a script go its way; the message holds its answer."""


@dataclass(frozen=True, slots=True)
class Take:
    """A fate with a cast, under a number of its own; `share` is that of the fate among its takes."""

    number: int
    fate: Fate
    cast: Cast
    share: float


def takes_of(fates: tuple[Fate, ...], first: int = 0) -> list[Take]:
    """One take of each fate with each of its casts."""
    pairs = [(fate, cast) for fate in fates for cast in fate.casts]
    return [
        Take(number, fate, cast, fate.share / len(fate.casts))
        for number, (fate, cast) in enumerate(pairs, start=first)
    ]


def make_replies(vocabulary: Vocabulary, seed: int) -> Replies:
    """Answers as long as a careful person's."""
    rng = random.Random(seed)
    truth = seeded_truth(vocabulary, seed, 1, *SIZES[0])
    attributes = {part: seeded_attributes(rng, part, vocabulary) for part in vocabulary.parts}
    return Replies(truth.segmentation, attributes, truth.styles)


class Stagehand:
    """Plays takes on an empty database and moves what is left on the stage into the patterns."""

    def __init__(self, app: Flask, connection: psycopg.Connection[Any], seed: int) -> None:
        self._client: FlaskClient = app.test_client()
        self._connection = connection
        self._seed = seed
        by_grade: dict[Grade, list[Member]] = {grade: [] for grade in Grade}
        for member in crew(seed):
            by_grade[member.grade].append(member)
        self._members = by_grade
        self._vocabulary = Vocabulary.read(self._get("/taxonomy"))
        self._tables = tables(connection)
        self._columns = {table: _columns(connection, table) for table in self._tables}
        self._uploaded: dict[int, int] = {}
        # Rows are put back table by table, in no order that references would like.
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {PATTERNS}")
        for table in self._tables:
            self._run("CREATE UNLOGGED TABLE {} AS SELECT 0 AS take, t.* FROM {} t WHERE false", table)
        self._run_once("CREATE UNLOGGED TABLE {} (take int PRIMARY KEY, began timestamptz NOT NULL)", "takes")

    def replies(self) -> Replies:
        """What the crowd answers with."""
        return make_replies(self._vocabulary, self._seed)

    def play(self, take: Take) -> None:
        """Play one take from an empty stage, keep its rows, and empty the stage again."""
        self._clear()
        self._connection.execute(
            f"INSERT INTO {PATTERNS}.takes VALUES (%s, clock_timestamp())", [take.number]
        )
        kind = take.number % len(SIZES)
        size = SIZES[kind]
        truth = seeded_truth(self._vocabulary, self._seed, take.number, *size)
        answers = Replies(truth.segmentation, self.replies().attributes, truth.styles)
        image = self._image(kind)
        for step in take.fate.script:
            self._do(step, take.cast, answers, image)
        self._keep(take.number)

    def strike(self) -> None:
        """Leave an empty stage."""
        self._clear()

    def _image(self, kind: int) -> int:
        """A fresh image of one of the sizes: handed in the first time, later its rows are put back."""
        if kind in self._uploaded:
            for table, names in self._columns.items():
                columns = sql.SQL(", ").join(map(sql.Identifier, names))
                query = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} WHERE take = %s").format(
                    sql.Identifier(table), columns, columns, sql.Identifier(PATTERNS, table)
                )
                self._connection.execute(query, [_before_the_first(kind)])
                if "id" in names:
                    follow = "SELECT setval(pg_get_serial_sequence({}, 'id'), count(*) + 1, false) FROM {}"
                    self._connection.execute(
                        sql.SQL(follow).format(sql.Literal(table), sql.Identifier(table))
                    )
        else:
            self._uploaded[kind] = self._upload(SIZES[kind])
            self._keep(_before_the_first(kind))
        return self._uploaded[kind]

    def _keep(self, number: int) -> None:
        for table in self._tables:
            self._run("INSERT INTO {} SELECT %s, t.* FROM {} t", table, [number])

    def _upload(self, size: tuple[int, int]) -> int:
        out = io.BytesIO()
        Image.effect_noise(size, 24).convert("RGB").save(out, "JPEG", quality=70)
        form = {"file": (io.BytesIO(out.getvalue()), "photo.jpg"), "supplier": SUPPLIER, "rights": "owned"}
        taken = self._call(self._admin, "/images", data=form)
        if taken["state"] != "accepted":
            raise Unplayable(f"the upload was not accepted: {taken}")
        return int(taken["id"])

    def _do(self, step: Step, cast: Cast, answers: Replies, image: int) -> None:
        if step.act is Act.WITHDRAW:
            decision = {"state": "withdrawn", "reason": "the shop asked for it"}
            self._call(self._admin, f"/images/{image}/decide", json=decision)
            return
        grade, place = cast[step.role]
        who = self._members[grade][place]
        task = self._call(who, "/tasks/claim", json={"stage": str(step.stage)})
        if not task:
            raise Unplayable(f"{step}: there was no task")
        _ACTS[step.act](self, who, task, step, answers)

    def _answer(self, who: Member, task: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        body = {"token": task["lease"]["token"], "result": result, "seconds": 41.5}
        self._call(who, f"/tasks/{task['id']}/submit", json=body)

    def _give_back(self, who: Member, task: Mapping[str, Any], *, skip: bool) -> None:
        body = {"token": task["lease"]["token"], "skip": skip}
        self._call(who, f"/tasks/{task['id']}/release", json=body)

    def _reason(self, stage: Stage | None) -> str:
        return self._vocabulary.reason("wrong_entry", stage or Stage.STYLES)

    @property
    def _admin(self) -> Member:
        return self._members[Grade.ADMIN][0]

    def _call(self, who: Member, path: str, **words: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {who.token}"}
        for _ in range(PATIENCE):
            answer = self._client.post(API + path, headers=headers, **words)
            # A busy machine: whoever is told to come back does.
            if answer.status_code != 503:
                break
            time.sleep(1)
        if answer.status_code not in (200, 201, 204):
            raise Unplayable(f"{path}: {answer.status_code} {answer.text}")
        return answer.json if answer.status_code != 204 and answer.json else {}

    def _get(self, path: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._admin.token}"}
        found = self._client.get(API + path, headers=headers).json
        assert isinstance(found, dict)
        return found

    def _clear(self) -> None:
        names = sql.SQL(", ").join(map(sql.Identifier, self._tables))
        self._connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))

    def _run(self, text: str, table: str, values: list[Any] | None = None) -> None:
        query = sql.SQL(text).format(sql.Identifier(PATTERNS, table), sql.Identifier(table))
        self._connection.execute(query, values)

    def _run_once(self, text: str, table: str) -> None:
        self._connection.execute(sql.SQL(text).format(sql.Identifier(PATTERNS, table)))


def tables(connection: psycopg.Connection[Any]) -> list[str]:
    """The tables that hold what happens to images; figures kept of them are counted, not copied.

    Gold is left out: it belongs to one image of many, whose copies it would not fit.
    """
    query = """
        SELECT DISTINCT table_name FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name NOT LIKE 'gold%'
        AND (column_name IN ('image_id', 'task_id') OR table_name = 'images')
        ORDER BY 1
    """
    return [name for (name,) in connection.execute(query)]


def _columns(connection: psycopg.Connection[Any], table: str) -> list[str]:
    query = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s"
    )
    return [name for (name,) in connection.execute(query, [table])]


def _before_the_first(kind: int) -> int:
    """The number under which the patterns keep an image that nobody has worked on."""
    return -1 - kind


_Doing = Callable[[Stagehand, Member, Mapping[str, Any], Step, Replies], None]


def _reject(hand: Stagehand, who: Member, task: Mapping[str, Any], step: Step, _answers: Replies) -> None:
    reasons = [hand._reason(step.blame)]
    blame = str(step.blame) if step.blame else None
    hand._answer(who, task, {"score": 2, "blame": blame, "reasons": reasons, "comment": "look again"})


def _send_back(hand: Stagehand, who: Member, task: Mapping[str, Any], step: Step, _answers: Replies) -> None:
    body = {"token": task["lease"]["token"], "to": str(step.blame), "reasons": [hand._reason(step.blame)]}
    hand._call(who, f"/tasks/{task['id']}/send-back", json=body)


_ACTS: dict[Act, _Doing] = {
    Act.ANSWER: lambda hand, who, task, _step, answers: hand._answer(who, task, answers.to(task)),
    Act.UNSURE: lambda hand, who, task, _step, answers: hand._answer(
        who, task, {**answers.to(task), "unsure": True}
    ),
    Act.UNUSABLE: lambda hand, who, task, _step, _answers: hand._answer(
        who, task, {"unusable": hand._vocabulary.unusable[0]}
    ),
    Act.REJECT: _reject,
    Act.SEND_BACK: _send_back,
    Act.HOLD: lambda _hand, _who, _task, _step, _answers: None,
    Act.RELEASE: lambda hand, who, task, _step, _answers: hand._give_back(who, task, skip=False),
    Act.SKIP: lambda hand, who, task, _step, _answers: hand._give_back(who, task, skip=True),
}
