"""People at work while something happens to their system; what each was told is held against it later."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts import service as accounts_service
from crowd.commands.demo import HOST, free_port
from crowd.core.supervisor import spawn_bound
from crowd.images.files import files_of
from crowd.images.history import replay
from crowd.images.models import Image, ImageEvent, ImageState
from crowd.policy import Grade
from crowd.runtime import Runtime
from crowd.simulation.client import Client, expect, open_http
from crowd.simulation.crew import assemble
from crowd.simulation.crowd import Crowd, Plan
from crowd.simulation.figures import Figures
from crowd.simulation.ledger import Ledger
from crowd.simulation.member import Account, Member, Workshop
from crowd.simulation.truths import Truths
from crowd.simulation.vocabulary import Vocabulary
from crowd.tasks import counts
from crowd.tasks.models import Kind, Standing, Submission
from crowd.tiers import service as tiers
from crowd.webserver import gunicorn_command
from tests.commands.places import Place, environ_without_places
from tests.core.processes import eventually
from tests.pictures import jpeg

SEED = 7
WORKERS = 8
CONNECTIONS = 24


@dataclass(frozen=True)
class Told:
    """An answer that somebody was told is kept: when, of which task and token, and the answer itself."""

    at: float
    task_id: int
    token: int
    kind: Kind
    body: dict[str, Any]


@dataclass
class Acknowledged:
    """Everything that a crowd was told is kept."""

    told: list[Told] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.told)

    def before(self, moment: float) -> list[Told]:
        """What had been told by then (monotonic seconds)."""
        return [each for each in self.told if each.at < moment]


class Witness(Client):
    """A client that remembers which of its answers were acknowledged."""

    seen: Acknowledged

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """As any client, with an entry for each answer that was taken."""
        response = super().send(method, path, **options)
        now = time.monotonic()
        if response.status_code == httpx.codes.OK:
            match path.split("/"):
                case ["", "tasks", task_id, "submit"]:
                    self._note(now, int(task_id), Kind.SUBMIT, options["json"])
                case ["", "tasks", task_id, "send-back"]:
                    self._note(now, int(task_id), Kind.SEND_BACK, options["json"])
                case ["", "tasks", "submit-batch"]:
                    given = {answer["task_id"]: answer for answer in options["json"]["answers"]}
                    for outcome in response.json()["outcomes"]:
                        if outcome["status"] == httpx.codes.OK:
                            self._note(now, outcome["task_id"], Kind.SUBMIT, given[outcome["task_id"]])
        return response

    def _note(self, at: float, task_id: int, kind: Kind, body: dict[str, Any]) -> None:
        self.seen.told.append(Told(at, task_id, body["token"], kind, body))


class Nobody:
    """Does not care which images are seen."""

    def saw(self, image_id: int) -> None:
        """Nothing."""

    def may_be_settled(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Team:
    """Bots with their accounts, and what they know of the images."""

    accounts: list[Account]
    truths: Truths
    token: str
    images: list[int]

    @classmethod
    def arrive(cls, place: Place, url: str, images: int) -> "Team":
        """Accounts on the system at `url`, and so many images in work."""
        personas = assemble(WORKERS, SEED, 0.1)
        with place.opened() as rt, rt.db.begin() as conn:
            token = _token(conn, "chief", Grade.ADMIN)
            accounts = [
                Account(each, f"bot-{each.number}", _token(conn, f"bot-{each.number}", each.grade))
                for each in personas
            ]
        with open_http(url, CONNECTIONS) as http:
            admin = Client(http, token, Ledger(), threading.Event())
            truths = Truths(Vocabulary.read(admin.fetch("/taxonomy")), SEED)
            ids = [_hand_in(admin, number) for number in range(images)]
        return cls(accounts, truths, token, ids)

    @contextmanager
    def at_work(self, url: str, think: float) -> Iterator[Acknowledged]:
        """All work for the time of the block, `think` seconds a task; yields what they are told."""
        stop, ledger, seen = threading.Event(), Ledger(), Acknowledged()
        with open_http(url, CONNECTIONS) as http:
            shop = Workshop(self.truths, ledger, Nobody(), stop, SEED, think)
            members = [
                Member(each, self._witness(http, each, ledger, stop, seen), shop) for each in self.accounts
            ]
            threads = [threading.Thread(target=member.work, daemon=True) for member in members]
            for thread in threads:
                thread.start()
            try:
                yield seen
            finally:
                stop.set()
                for thread in threads:
                    thread.join(60)

    def finish(self, url: str) -> Figures:
        """Work until nothing is left to do."""
        stop, ledger = threading.Event(), Ledger()
        with open_http(url, CONNECTIONS) as http:
            admin = Client(http, self.token, ledger, stop)
            plan = Plan(SEED, think=0.0, timeout=90)
            crowd = Crowd(http, admin, self.accounts, self.truths, ledger, stop, plan)
            return crowd.run(self.images, lambda snapshot: None)

    @staticmethod
    def _witness(
        http: httpx.Client, account: Account, ledger: Ledger, stop: threading.Event, seen: Acknowledged
    ) -> Witness:
        witness = Witness(http, account.token, ledger, stop, patience=5.0)
        witness.seen = seen
        return witness


def _token(conn: Connection, name: str, grade: Grade) -> str:
    """A new person's; without a password, whose hashing takes its time."""
    return accounts_service.issue_token(conn, tiers.join(conn, name, grade, by=None).id)[1]


def _hand_in(admin: Client, number: int) -> int:
    files = {"file": (f"{number}.jpg", jpeg(number))}
    taken = admin.send("POST", "/images", files=files, data={"supplier": "shop", "rights": "owned"})
    return int(expect(taken, 201).json()["id"])


@contextmanager
def served(place: Place) -> Iterator[str]:
    """A web server on the place for the time of the block; yields its base URL."""
    port = free_port(19000 + os.getpid() % 1000)
    settings, environ = place.settings, {**environ_without_places(), **place.environ, "WEB_CONCURRENCY": "1"}
    command = gunicorn_command(settings, HOST, port, environ, patience=2)
    process = spawn_bound(command, signal.SIGTERM, env=environ)
    url = f"http://{HOST}:{port}"
    try:
        assert eventually(lambda: _answers(url), 60)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def lost(conn: Connection, told: list[Told]) -> list[Told]:
    """Those of the acknowledged answers that are not there exactly once, counted, and as they were given."""
    rows: dict[tuple[int, int], list[Any]] = {}
    for row in conn.execute(sa.select(Submission.__table__).where(Submission.standing == Standing.COUNTED)):
        rows.setdefault((row.task_id, row.token), []).append(row)
    return [each for each in told if not _is_kept(rows.get((each.task_id, each.token), []), each)]


def _is_kept(rows: list[Any], told: Told) -> bool:
    if len(rows) != 1 or rows[0].kind is not told.kind:
        return False
    given = told.body["result"] if told.kind is Kind.SUBMIT else told.body
    # The system adds what was left out (a region's box, a comment), and changes nothing.
    return _says(
        rows[0].result, {name: value for name, value in given.items() if name not in ("token", "seconds")}
    )


def _says(kept: Any, given: Any) -> bool:
    if isinstance(given, dict):
        return isinstance(kept, dict) and all(
            _says(kept.get(name), value) for name, value in given.items() if value not in ([], "", None)
        )
    if isinstance(given, list):
        return len(kept) == len(given) and all(map(_says, kept, given))
    return bool(kept == given)


def assert_consistent(rt: Runtime) -> None:
    """Figures are right, images where their history leads, no task has two answers, no file is missing."""
    with rt.db.read() as conn:
        wrong = counts.differences(conn)
        assert not wrong, f"figures that are not what they count: {wrong}"
        images = conn.execute(sa.select(Image.__table__)).all()
        happened: dict[int, list[Any]] = {}
        for event in conn.execute(sa.select(ImageEvent.image_id, ImageEvent.what).order_by(ImageEvent.id)):
            happened.setdefault(event.image_id, []).append(event.what)
        answers = conn.scalars(
            sa.select(Submission.task_id).where(Submission.standing == Standing.COUNTED)
        ).all()
    assert images
    assert max(Counter(answers).values()) == 1
    for image in images:
        assert replay(happened[image.id]) == (image.state, image.round)
        files = files_of(image.sha256)
        assert rt.storage.exists(files.original)
        if image.state is not ImageState.REFUSED:
            assert rt.storage.exists(files.working)
            assert rt.storage.exists(files.thumbnail)


def wait_until_told(seen: Acknowledged, count: int, seconds: float = 30.0) -> None:
    """Return once so many answers were acknowledged."""
    deadline = time.monotonic() + seconds
    while len(seen) < count:
        assert time.monotonic() < deadline, f"only {len(seen)} answers in {seconds} s"
        time.sleep(0.02)
