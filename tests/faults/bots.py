"""The bots of a drill: at work over HTTP, some of them badly behaved, each writing down what it was told."""

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from crowd.policy import Grade, Stage
from tests.faults.answers import Answer, altered, choose
from tests.faults.ledger import ANSWERS, Act, Entry, Ledger
from tests.faults.line import Line, Reply

HEARTBEAT_SHARE = 0.2
RELEASE_SHARE = 0.02
SKIP_SHARE = 0.005
DAWDLE_SHARE = 0.02
QUIRK_SHARE = 0.5
RESTS = (0.3, 3.0)
GRID = 5
PATHS = {Act.SUBMIT: "submit", Act.SEND_BACK: "send-back"}
ABSURD_SECONDS = (-5, 1e12, "soon", True)
WRONG_DATES = ("Thu, 01 Jan 1970 00:00:00 GMT", "Sat, 01 Jan 2050 00:00:00 GMT", "yesterday")


class Quirk(StrEnum):
    """How a bot behaves. `wrong_clock`: far too late, with absurd times spent."""

    STEADY = "steady"
    GRID = "grid"
    VANISHING = "vanishing"
    DOUBLE = "double"
    WRONG_CLOCK = "wrong_clock"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class Person:
    """An account of the crew."""

    id: int
    grade: Grade
    token: str


@dataclass(frozen=True, slots=True)
class Held:
    """A lease as the bot was told; `task` is None where only GET /me told of it."""

    task_id: int
    token: int
    stage: Stage
    until: float
    task: Mapping[str, Any] | None


@dataclass
class Crew:
    """What all bots share. `think`: seconds a task takes on average; `calm`: everybody behaves."""

    port: int
    ledger: Ledger
    think: float
    over: threading.Event = field(default_factory=threading.Event)
    calm: threading.Event = field(default_factory=threading.Event)


class Bot:
    """One person at work."""

    def __init__(self, person: Person, quirk: Quirk, crew: Crew, seed: int) -> None:
        self.person = person
        self.quirk = quirk
        self._crew = crew
        self._rng = random.Random(f"{seed}/{person.id}")
        self._line = Line(crew.port, person.token, crew.ledger, crew.over)
        self._known: set[tuple[int, int]] = set()
        self._rest = RESTS[0]

    def work(self) -> None:
        """Until everything is over."""
        while not self._over():
            if self._is(Quirk.GARBAGE):
                self._babble()
            held = self._claim()
            self._rest = RESTS[0] if held else min(self._rest * 1.5, RESTS[1])
            if not held:
                self._crew.over.wait(self._rest * self._rng.uniform(0.7, 1.3))
            elif len(held) > 1 and held[0].task is not None and held[0].stage is Stage.SECOND_REVIEW:
                self._answer_grid(held)
            else:
                for each in held:
                    self._do(each)
        self._line.close()

    def _over(self) -> bool:
        return self._crew.over.is_set()

    def _is(self, quirk: Quirk) -> bool:
        return self.quirk is quirk and not self._crew.calm.is_set() and self._rng.random() < QUIRK_SHARE

    def _claim(self) -> list[Held]:
        path, body = "/tasks/claim", {}
        if self.quirk is Quirk.GRID and self._rng.random() < 0.7:
            path, body = "/tasks/claim-batch", {"stage": str(Stage.SECOND_REVIEW), "limit": GRID}
        if self._is(Quirk.DOUBLE):
            replies = self._both([(path, body), (path, body)])
        else:
            headers = {"Date": self._rng.choice(WRONG_DATES)} if self._is(Quirk.WRONG_CLOCK) else None
            replies = [self._line.ask("POST", path, body, headers=headers)]
        held = [each for reply in replies for each in self._taken(reply)]
        if any(reply.uncertain for reply in replies):
            held += self._find()
        return held

    def _taken(self, reply: Reply) -> list[Held]:
        if reply.status != 200:
            if not reply.uncertain and reply.status != 204:
                self._note(Act.CLAIM, reply, 0, 0)
            return []
        tasks = reply.json.get("tasks", [reply.json])
        held = []
        for task in tasks:
            lease = task["lease"]
            until = _moment(lease["expires_at"])
            self._known.add((task["id"], lease["token"]))
            self._note(Act.CLAIM, reply, task["id"], lease["token"], until=until)
            held.append(Held(task["id"], lease["token"], Stage(task["stage"]), until, task))
        return held

    def _find(self) -> list[Held]:
        """Leases whose claim was carried out though its answer got lost."""
        reply = self._line.insist("GET", "/me")
        if reply.status != 200:
            return []
        held = []
        for lease in reply.json["leases"]:
            key = lease["task_id"], lease["token"]
            if key in self._known:
                continue
            self._known.add(key)
            until = _moment(lease["expires_at"])
            self._note(Act.FOUND, reply, *key, until=until)
            held.append(Held(*key, Stage(lease["stage"]), until, None))
        return held

    def _do(self, held: Held) -> None:
        if self._is(Quirk.VANISHING):
            self._vanish(held)
            return
        self._think(held)
        if self._over():
            return
        dice = self._rng.random()
        lost_task = held.task is None and held.stage in (Stage.ATTRIBUTES, Stage.ADJUDICATION)
        if lost_task or (dice < RELEASE_SHARE and not self._crew.calm.is_set()):
            self._release(held, skip=dice < SKIP_SHARE)
        elif self._is(Quirk.WRONG_CLOCK):
            self._answer_late(held)
        elif self._is(Quirk.DOUBLE):
            self._answer_twice(held)
        else:
            if dice > 1 - DAWDLE_SHARE and not self._crew.calm.is_set():
                self._sleep_until(held.until + self._rng.uniform(-0.2, 2))
            self._send(self._line, held, self._chosen(held))

    def _think(self, held: Held) -> None:
        seconds = 0.02 if self._crew.calm.is_set() else self._rng.expovariate(1 / self._crew.think)
        # Nobody honest thinks past the end of a lease without a heartbeat.
        seconds = min(seconds, max(0.0, held.until - time.time() - 0.5))
        self._crew.over.wait(seconds / 2)
        if self._rng.random() < HEARTBEAT_SHARE and not self._over():
            self._heartbeat(held)
        self._crew.over.wait(seconds / 2)

    def _chosen(self, held: Held) -> Answer:
        task = held.task or {"stage": str(held.stage)}
        return choose(task, self._rng, kindly=self._crew.calm.is_set())

    def _send(
        self, line: Line, held: Held, answer: Answer, *, valid: bool = True, patient: bool = True
    ) -> Reply:
        """Send an answer until its fate is known, always with the same token."""

        def note(reply: Reply) -> None:
            self._note(answer.act, reply, held.task_id, held.token, body=answer.body, valid=valid)

        path = f"/tasks/{held.task_id}/{PATHS[answer.act]}"
        body = {"token": held.token, **answer.body}
        if patient:
            return line.insist("POST", path, body, note=note)
        reply = line.shout("POST", path, body)
        note(reply)
        return reply

    def _heartbeat(self, held: Held) -> None:
        reply = self._line.ask("POST", f"/tasks/{held.task_id}/heartbeat", {"token": held.token})
        until = _moment(reply.json["lease"]["expires_at"]) if reply.status == 200 else 0.0
        self._note(Act.HEARTBEAT, reply, held.task_id, held.token, until=until)

    def _release(self, held: Held, *, skip: bool) -> None:
        def note(reply: Reply) -> None:
            self._note(Act.RELEASE, reply, held.task_id, held.token, body={"skip": skip})

        body = {"token": held.token, "skip": skip}
        self._line.insist("POST", f"/tasks/{held.task_id}/release", body, note=note)

    def _vanish(self, held: Held) -> None:
        """Gone in the middle of a task, or while the answer is on its way."""
        if self._rng.random() < 0.5:
            self._send(self._line, held, self._chosen(held), patient=False)
        self._line.close()
        self._crew.over.wait(self._rng.uniform(0, 2 * self._crew.think))

    def _answer_late(self, held: Held) -> None:
        """Asleep until the lease is over, then a heartbeat, absurd times spent, and the answer."""
        self._sleep_until(held.until + self._rng.uniform(0, 2))
        if self._over():
            return
        self._heartbeat(held)
        answer = self._chosen(held)
        absurd = {**answer.body, "seconds": self._rng.choice(ABSURD_SECONDS)}
        self._send(self._line, held, Answer(answer.act, absurd), valid=False)
        self._send(self._line, held, answer)

    def _answer_twice(self, held: Held) -> None:
        """Two different answers with one token at once, and a third one later."""
        answer = self._chosen(held)
        twin = self._line.twin()
        other = threading.Thread(
            target=self._send, args=(twin, held, altered(answer, self._rng)), daemon=True
        )
        other.start()
        self._send(self._line, held, answer)
        other.join()
        twin.close()
        self._send(self._line, held, altered(answer, self._rng))

    def _both(self, asked: Sequence[tuple[str, Any]]) -> list[Reply]:
        """Two requests at once."""
        twin = self._line.twin()
        replies: list[Reply] = []
        (path, body), (other_path, other_body) = asked
        other = threading.Thread(
            target=lambda: replies.append(twin.ask("POST", other_path, other_body)), daemon=True
        )
        other.start()
        replies.append(self._line.ask("POST", path, body))
        other.join()
        twin.close()
        return replies

    def _answer_grid(self, grid: Sequence[Held]) -> None:
        """All answers of a grid in one request, which is repeated as a whole."""
        self._think(grid[0])
        if self._over() or self._is(Quirk.VANISHING):
            return
        chosen = [(held, self._chosen(held)) for held in grid]
        answers = [{"task_id": held.task_id, "token": held.token, **answer.body} for held, answer in chosen]
        while not self._over():
            reply = self._line.insist(
                "POST", "/tasks/submit-batch", {"answers": answers}, note=lambda r: self._note_grid(chosen, r)
            )
            # One answer of the grid may have met a database that was away.
            if reply.status != 200 or all(each["status"] != 503 for each in reply.json["outcomes"]):
                return
            self._crew.over.wait(0.2)

    def _note_grid(self, chosen: Sequence[tuple[Held, Answer]], reply: Reply) -> None:
        outcomes: Sequence[Mapping[str, Any]] = [{"status": reply.status, "code": reply.code}] * len(chosen)
        if reply.status == 200:
            outcomes = reply.json["outcomes"]
        for (held, answer), outcome in zip(chosen, outcomes, strict=True):
            self._crew.ledger.note(
                Entry(
                    self.person.id,
                    answer.act,
                    reply.sent,
                    reply.got,
                    outcome["status"],
                    held.task_id,
                    held.token,
                    answer.body,
                    outcome.get("code"),
                )
            )

    def _babble(self) -> None:
        """Garbage in between; whatever it is, nobody else may notice."""
        number = self._rng.randint(1, 300)
        method, path, body = self._rng.choice(
            (
                ("POST", f"/tasks/{number}/submit", {"token": 1, "result": {"score": 5}}),
                ("POST", f"/tasks/{number}/submit", {"token": -1, "result": None}),
                ("POST", f"/tasks/{number}/release", {"token": 1, "skip": True}),
                ("POST", f"/tasks/{number}/heartbeat", {"token": "1"}),
                ("POST", f"/tasks/{2**70}/heartbeat", {"token": 2**70}),
                ("POST", "/tasks/claim", {"stage": "ironing"}),
                ("POST", "/tasks/claim", [[[]]]),
                ("POST", "/tasks/submit-batch", {"answers": [{"task_id": number, "token": 1, "result": 0}]}),
                ("POST", f"/tasks/{number}/send-back", {"token": 1, "reasons": ["\u0000"]}),
                ("GET", "/images/99999999999999999999", None),
            )
        )
        # A token of this very bot would make an answer of it.
        if (number, 1) not in self._known:
            self._line.ask(method, path, body)
        self._line.ask("POST", "/tasks/claim", raw=self._rng.randbytes(self._rng.randint(1, 200)))

    def _sleep_until(self, moment: float) -> None:
        self._crew.over.wait(max(0.0, moment - time.time()))

    def _note(
        self,
        act: Act,
        reply: Reply,
        task_id: int,
        token: int,
        *,
        body: Any = None,
        until: float = 0.0,
        valid: bool = True,
    ) -> None:
        self._crew.ledger.note(
            Entry(
                self.person.id,
                act,
                reply.sent,
                reply.got,
                reply.status,
                task_id,
                token,
                body,
                reply.code,
                until,
                valid,
            )
        )


def settle(crew: Crew, people: Sequence[Person]) -> None:
    """Send every answer whose fate is unknown once more, as its author, so that the ledger knows them all."""
    tokens = {person.id: person.token for person in people}
    patience = threading.Event()
    for entry in crew.ledger.unanswered():
        assert entry.act in ANSWERS
        line = Line(crew.port, tokens[entry.who], crew.ledger, patience)
        body = {"token": entry.token, **entry.body}
        reply = line.insist("POST", f"/tasks/{entry.task_id}/{PATHS[entry.act]}", body)
        line.close()
        crew.ledger.note(
            Entry(
                entry.who,
                entry.act,
                reply.sent,
                reply.got,
                reply.status,
                entry.task_id,
                entry.token,
                entry.body,
                reply.code,
            )
        )


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
