"""People who work over the JSON API, a clock that can be set, and the crew of one small project."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import Connection

from crowd.accounts import service as accounts
from crowd.images import queries as images
from crowd.images.history import Happening, record
from crowd.images.models import Batch, ImageState, Rights, Supplier, What
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks import answers, decisions, handover, image_queries, leases, seat_queries
from crowd.tasks.answers import Given, Rulebook
from crowd.tasks.leases import Claimant, QueueState
from crowd.tasks.models import Kind
from crowd.tasks.taxonomies import shelf
from crowd.tiers import service as tiers
from tests.kinds import Answer, Client, client_of

Json = dict[str, Any]

API = "/api/v1"
WIDTH, HEIGHT = 600, 800
# For what is decided before a database has its say: once is enough.
ON_ONE_DATABASE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
CATEGORIES = {"outer": "coats", "top": "blouses", "bottom": "pants", "dress": "dresses"}


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return self.moment

    def forward(self, **span: float) -> None:
        """Let `span` (timedelta's words) go by."""
        self.moment += timedelta(**span)


def regions(*parts: str) -> Json:
    """A segmentation with one rectangle for each part, ids r1, r2, …; a top without any."""
    return {
        "regions": [
            {
                "id": f"r{place}",
                "part": part,
                "rings": [[[10 * place, 10], [200, 10], [200, 300], [10 * place, 300]]],
            }
            for place, part in enumerate(parts or ("top",), start=1)
        ]
    }


def attributes(task: Json, color: str = "black") -> Json:
    """Attributes for exactly the regions that the task's labels show."""
    return {
        "regions": {
            region["id"]: {"category": CATEGORIES[region["part"]], "color": color}
            for region in task["labels"]["segmentation"]["regions"]
        }
    }


def styles(*names: str, unsure: bool = False) -> Json:
    """Styles, main style first; resort without any."""
    return {"styles": list(names or ("resort",)), "unsure": unsure}


def unusable(code: str = "watermark") -> Json:
    """The answer that calls the image unusable."""
    return {"unusable": code}


def verdict(score: int, blame: str | None = None, *, comment: str = "") -> Json:
    """A review; with a reason where the score needs one."""
    return {
        "score": score,
        "blame": blame,
        "reasons": [] if score >= 4 else ["wrong_entry"],
        "comment": comment,
    }


@dataclass
class Person:
    """One person of the crowd with their API token."""

    client: Client
    id: int
    name: str
    token: str

    def get(self, path: str) -> Answer:
        """GET below the API's root."""
        return self.client.get(API + path, headers=self._headers)

    def post(self, path: str, body: Any = None) -> Answer:
        """POST below the API's root."""
        return self.client.post(API + path, json=body, headers=self._headers)

    def read(self, path: str) -> Any:
        """The document at `path`, which must be there for this person."""
        response = self.get(path)
        assert response.status_code == 200, response.text
        return response.json

    def ask(self, stage: str | None = None) -> Answer:
        """Ask for a task, whatever comes of it."""
        return self.post("/tasks/claim", {"stage": stage} if stage else {})

    def claim(self, stage: str | None = None) -> Json:
        """Claim a task, which must be there."""
        response = self.ask(stage)
        assert response.status_code == 200, (self.name, response.status_code, response.headers, response.text)
        task: Json = response.json
        return task

    def queue_state(self, stage: str | None = None) -> str:
        """Why there is nothing for this person; there must be nothing."""
        response = self.ask(stage)
        assert response.status_code == 204, response.text
        return response.headers["Queue-State"]

    def submit(self, task: Json, result: Any, **more: Any) -> Answer:
        """Answer a task."""
        return self.post(f"/tasks/{task['id']}/submit", {"token": token_of(task), "result": result, **more})

    def send_back(self, task: Json, to: str | None = None, **more: Any) -> Answer:
        """The pre-check's "no"."""
        body: Json = {"token": token_of(task), "reasons": ["missing"], **more}
        if to:
            body["to"] = to
        return self.post(f"/tasks/{task['id']}/send-back", body)

    def release(self, task: Json, **more: Any) -> Answer:
        """Give a task back."""
        return self.post(f"/tasks/{task['id']}/release", {"token": token_of(task), **more})

    def heartbeat(self, task: Json) -> Answer:
        """Keep a lease."""
        return self.post(f"/tasks/{task['id']}/heartbeat", {"token": token_of(task)})

    def do(self, stage: str, result: Any = None) -> Json:
        """Claim a task of `stage` and answer it (with something good unless told what); the task."""
        task = self.claim(stage)
        assert task["stage"] == stage
        good(self.submit(task, good_result(task) if result is None else result))
        return task

    def refuse(self, stage: str, to: str | None = None) -> Json:
        """Claim a task of `stage` and send it back; the task."""
        task = self.claim(stage)
        good(self.send_back(task, to))
        return task

    def image(self, image_id: int) -> Json:
        """The image as this person sees it."""
        shown: Json = self.read(f"/images/{image_id}")
        return shown

    def decide(self, image_id: int, state: str, **more: Any) -> Answer:
        """An admin's decision."""
        return self.post(f"/images/{image_id}/decide", {"state": state, "reason": "to go on", **more})

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def token_of(task: Json) -> int:
    """The token of the lease under which a task was claimed."""
    token: int = task["lease"]["token"]
    return token


def good(response: Answer) -> Json:
    """The body of an answer that must have been taken."""
    assert response.status_code == 200, (response.status_code, response.text)
    body: Json = response.json
    return body


def refused(response: Answer, status: int, code: str | None = None) -> Json:
    """The body of a refusal, which must have this status (and code)."""
    assert response.status_code == status, (response.status_code, response.text)
    body: Json = response.json
    if code is not None:
        assert body["code"] == code
    return body


def good_result(task: Json) -> Json:
    """An answer to `task` that lets the image go on."""
    match task["stage"]:
        case Stage.SEGMENTATION:
            return regions()
        case Stage.ATTRIBUTES:
            return attributes(task)
        case Stage.STYLES:
            return styles()
        case _:
            return verdict(5)


@dataclass
class Crew:
    """A project with its people; everybody is hired when first needed."""

    rt: Runtime
    app: Flask
    clock: Clock
    people: dict[str, Person] = field(default_factory=dict)
    images: int = 0

    def hire(self, grade: str, name: str | None = None) -> Person:
        """A new person of a grade."""
        name = name or f"{grade}-{len(self.people) + 1}"
        with self.rt.db.begin() as conn:
            joined = tiers.join(conn, name, Grade(grade), by=None)
            _, token = accounts.issue_token(conn, joined.id)
        self.people[name] = Person(client_of(self.app), joined.id, name, token)
        return self.people[name]

    def _known(self, name: str, grade: str) -> Person:
        return self.people.get(name) or self.hire(grade, name)

    @property
    def admin(self) -> Person:
        """Who steers."""
        return self._known("admin", "admin")

    @property
    def drawer(self) -> Person:
        """Who draws the regions."""
        return self._known("drawer", "general")

    @property
    def tagger(self) -> Person:
        """Who gives the attributes."""
        return self._known("tagger", "general")

    @property
    def stylist(self) -> Person:
        """Who gives the styles."""
        return self._known("stylist", "expert")

    @property
    def checker(self) -> Person:
        """Who does the first review."""
        return self._known("checker", "reviewer")

    @property
    def left(self) -> Person:
        """Who takes the first of the two seats."""
        return self._known("left", "inspector")

    @property
    def right(self) -> Person:
        """Who takes the second of the two seats."""
        return self._known("right", "inspector")

    @property
    def judge(self) -> Person:
        """Who adjudicates."""
        return self._known("judge", "inspector")

    def image(self, *, batch_priority: int | None = None) -> int:
        """An image that intake has accepted, with its first task; no file behind it."""
        with self.rt.db.begin() as conn:
            image_id = self._add_image(conn, batch_priority)
            decisions.open_first(conn, image_id, self.clock.now())
        return image_id

    def seats(self, conn: Connection) -> None:
        """An image of which nothing is there but the two open seats, for tests that need very many."""
        image = image_queries.lock_image(conn, self._add_image(conn, None))
        assert image is not None
        for _ in range(2):
            seat_queries.open_task(conn, image, Stage.SECOND_REVIEW, 1, self.clock.now())

    def _add_image(self, conn: Connection, batch_priority: int | None) -> int:
        self.images += 1
        now = self.clock.now()
        values: Json = {"supplier_id": images.named(conn, Supplier, "a shop", now)}
        if batch_priority is not None:
            values["batch_id"] = images.named(conn, Batch, f"batch {self.images}", now)
            values["priority"] = batch_priority
        image_id = images.add_image(
            conn,
            state=ImageState.IN_WORK,
            file_name=f"{self.images}.jpg",
            rights=Rights.OWNED,
            sha256=hashlib.sha256(str(self.images).encode()).digest(),
            width=WIDTH,
            height=HEIGHT,
            created_at=now,
            **values,
        )
        record(conn, image_id, Happening(What.UPLOADED), now)
        return image_id

    def usual(self, stage: str) -> list[Person]:
        """Who does `stage` unless a test says otherwise."""
        match stage:
            case Stage.SEGMENTATION:
                return [self.drawer]
            case Stage.ATTRIBUTES:
                return [self.tagger]
            case Stage.STYLES:
                return [self.stylist]
            case Stage.FIRST_REVIEW:
                return [self.checker]
            case Stage.SECOND_REVIEW:
                return [self.left, self.right]
            case _:
                return [self.judge]

    def step(self, stage: str, result: Any = None) -> None:
        """The usual people do `stage` of the one image that waits there, each with the same result."""
        for person in self.usual(stage):
            person.do(stage, result)

    def bring(self, to: str, *, start: str = "segmentation") -> None:
        """The usual people do every stage from `start` up to, but not, `to`.

        Without HTTP and in one transaction, since it is where a test starts from, not what it tests.
        """
        order = list(Stage)
        stages = order[order.index(Stage(start)) : order.index(Stage(to))]
        seats = [(person, stage) for stage in stages for person in self.usual(stage)]
        taxonomies = shelf(self.rt)
        rulebook, taxonomy_id = Rulebook(self.rt.policy, taxonomies), taxonomies.present_id()
        now = self.clock.now()
        with self.rt.db.begin() as conn:
            for person, stage in seats:
                claimant = Claimant(person.id, taxonomy_id)
                row = leases.claim(conn, claimant, self.rt.policy, now, stage)
                assert not isinstance(row, QueueState), (person.name, stage, row)
                task = handover.task_view(conn, row)
                given = Given(row.token, Kind.SUBMIT, good_result(task))
                assert answers.answer(conn, person.id, row.id, given, rulebook, now) is None

    def image_at(self, stage: str) -> int:
        """A new image, brought to `stage`."""
        image_id = self.image()
        self.bring(stage)
        return image_id

    def accepted_image(self) -> int:
        """A new image, brought to its end."""
        image_id = self.image_at("second_review")
        self.step("second_review")
        assert self.state(image_id) == "accepted"
        return image_id

    def split_image(self, left: Json | None = None, right: Json | None = None) -> int:
        """A new image whose seats differ: an adjudication is open."""
        image_id = self.image_at("second_review")
        self.left.do("second_review", left or verdict(2, "styles"))
        self.right.do("second_review", right or verdict(5))
        return image_id

    def loop_image(self, disputed: str = "styles") -> int:
        """A new image that the first review has bounced to `disputed` for the third time."""
        image_id = self.image_at("first_review")
        for round_ in range(3):
            if round_:
                self.bring("first_review", start=disputed)
            self.checker.do("first_review", verdict(2, disputed))
        return image_id

    def shown(self, image_id: int) -> Json:
        """The image as the admin sees it."""
        return self.admin.image(image_id)

    def state(self, image_id: int) -> str:
        """The image's state."""
        state: str = self.shown(image_id)["state"]
        return state

    def happened(self, image_id: int) -> list[str]:
        """What happened to the image, in order."""
        return [event["what"] for event in self.shown(image_id)["history"]]

    def open_stages(self, image_id: int) -> list[tuple[str, int]]:
        """(stage, round) of the image's open tasks."""
        rows = self.rows(
            "SELECT stage, round FROM tasks WHERE image_id = :image AND state IN (0, 1, 4) ORDER BY id",
            image=image_id,
        )
        return [(list(Stage)[stage].value, round_) for stage, round_ in rows]

    def progress(self, stage: str) -> Json:
        """The figures of one stage."""
        figures: Json = self.admin.read("/stats/progress")["stages"][stage]
        return figures

    def rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """What the database holds."""
        with self.rt.db.read() as conn:
            return [tuple(row) for row in conn.execute(sa.text(statement), values)]

    def tidy(self) -> None:
        """The reaper passes."""
        with self.rt.db.begin() as conn:
            leases.tidy(conn, self.rt.policy, self.clock.now())
