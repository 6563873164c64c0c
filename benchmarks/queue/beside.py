"""What a crowd waits while images are imported, and while reviewers send many images back."""

import contextlib
import io
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import httpx
from PIL import Image

from benchmarks.queue import people
from benchmarks.queue.build import Built, Say
from benchmarks.queue.figures import Figure, middle, percentile, size_name
from benchmarks.queue.load import HOST, Order, Outcome
from benchmarks.queue.play import SIZES
from benchmarks.queue.serving import Web, environment, gunicorn, load_generator, place
from benchmarks.queue.web import Length
from crowd.core.supervisor import spawn_bound
from crowd.policy import Grade

PART = "beside"
# The crowd answers about 55 a second, half of them reviews: two who reject all are one in ten of these.
PEOPLE, REJECTING = 60, 2
THINK = 1.0
UPLOADS_A_SECOND = 4.0
# The canned replies fit images of this size.
SIZE = SIZES[0]
REJECTION = {"score": 2, "blame": "styles", "reasons": ["wrong_entry"], "comment": "look again"}
# By how much what runs beside may move the crowd's p95.
MOST = 1.5


@dataclass(slots=True)
class _Seen:
    """What became of the rounds: the crowd's in each company, and of those who were beside it."""

    alone: list[Outcome] = field(default_factory=list)
    beside_import: list[Outcome] = field(default_factory=list)
    beside_bounces: list[Outcome] = field(default_factory=list)
    bouncing: list[Outcome] = field(default_factory=list)
    uploading: list["Uploads"] = field(default_factory=list)


def measure(database: Built, length: Length, say: Say) -> list[Figure]:
    """The same people in turns: alone, beside an import, and with reviewers who reject all they see."""
    seen = _Seen()
    with (
        place() as (folder, redis),
        load_generator() as load,
        load_generator() as rejecting,
        gunicorn("application", database.url, folder, redis) as web,
        job_worker(environment(database.url, folder, redis)),
    ):
        crowd, passing, bouncers = _orders(database, web, length.seconds)

        # The same reviewers work in every turn: what they say differs, not how many people there are.
        def together(reviewers: Order) -> tuple[Outcome, Outcome]:
            rejecting.begin(reviewers)
            return load.carry_out(crowd), rejecting.end()

        def alone() -> None:
            seen.alone.append(together(passing)[0])

        def importing() -> None:
            with uploads(database, web) as sent:
                seen.beside_import.append(together(passing)[0])
            seen.uploading.append(sent)

        def bouncing() -> None:
            beside, rejected = together(bouncers)
            seen.beside_bounces.append(beside)
            seen.bouncing.append(rejected)

        with uploads(database, web):
            together(passing)
        # Whatever else the machine does, and however the queue changes, meets all three.
        turns = (alone, importing, bouncing)
        for number in range(length.rounds):
            for turn in turns if number % 2 == 0 else reversed(turns):
                turn()
    for rounds in (seen.alone, seen.beside_import, seen.beside_bounces, seen.bouncing):
        for error in [error for each in rounds for error in each.errors][:2]:
            say(f"beside: {error}")
    return _figures(size_name(database.tasks), seen)


class Uploads:
    """Small photographs handed in one after the other, at a steady rate, until stopped."""

    def __init__(self, database: Built, web: Web) -> None:
        token = people.of_grade(database.seed, Grade.ADMIN)[0].token
        self._client = httpx.Client(
            base_url=f"http://{HOST}:{web.port}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="uploads")
        self._began = time.monotonic()
        self.done = self.failed = 0
        self.seconds = 0.0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the upload at hand."""
        self._stop.set()
        self._thread.join()
        self.seconds = time.monotonic() - self._began
        self._client.close()

    def _work(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            done = self._upload()
            self.done += done
            self.failed += not done
            self._stop.wait(max(0.0, 1 / UPLOADS_A_SECOND - (time.monotonic() - began)))

    def _upload(self) -> bool:
        out = io.BytesIO()
        Image.effect_noise(SIZE, 60).convert("RGB").save(out, "JPEG")
        form = {"supplier": "shop 1", "rights": "owned"}
        try:
            answer = self._client.post("/images", data=form, files={"file": ("new.jpg", out.getvalue())})
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.CREATED


@contextlib.contextmanager
def uploads(database: Built, web: Web) -> Iterator[Uploads]:
    """Uploads for the time of the block."""
    sent = Uploads(database, web)
    sent.start()
    try:
        yield sent
    finally:
        sent.stop()


@contextlib.contextmanager
def job_worker(env: Mapping[str, str]) -> Iterator[None]:
    """The job worker that prepares what is uploaded; it is there in every turn, as in production."""
    command = [sys.executable, "-m", "crowd.jobworker", "--queues", "upkeep", "images"]
    worker = spawn_bound(command, env=dict(env))
    try:
        yield
    finally:
        # Nothing is lost with it, and asking it to end would wait for its next look at the queue.
        worker.kill()
        worker.wait()


def _orders(database: Built, web: Web, seconds: float) -> tuple[Order, Order, Order]:
    """The crowd, and reviewers beside it: as they pass what they see, and as they reject it."""
    reviewers = people.of_grade(database.seed, Grade.SEMI_EXPERT)[-REJECTING:]
    apart = {member.id for member in reviewers}
    crowd = [member for member in people.sample(database.seed, PEOPLE) if member.id not in apart]
    tokens, replies = [member.token for member in reviewers], database.replies
    rejects = replace(replies, verdict=REJECTION)
    return (
        Order(web.port, [member.token for member in crowd], seconds, THINK, replies.as_json()),
        Order(web.port, tokens, seconds, THINK / 2, replies.as_json()),
        Order(web.port, tokens, seconds, THINK / 2, rejects.as_json()),
    )


def _figures(size: str, seen: _Seen) -> list[Figure]:
    uploaded = sum(each.done for each in seen.uploading) / sum(each.seconds for each in seen.uploading)
    failed = float(sum(each.failed for each in seen.uploading))
    bounces = sum(sum(each.cycles.values()) for each in seen.bouncing)
    bounced = bounces / sum(each.seconds for each in seen.bouncing)
    return [
        Figure(PART, f"images imported meanwhile, {size}", "/s", uploaded),
        Figure(PART, f"uploads that failed, {size}", "uploads", failed, bound=0),
        *waits(f"beside an import, {size}", seen.beside_import, seen.alone),
        Figure(PART, f"images bounced meanwhile, {size}", "/s", bounced),
        *waits(f"beside bounces, {size}", seen.beside_bounces, seen.alone),
        _errors(f"errors alone, {size}", seen.alone),
        _errors(f"errors beside an import, {size}", seen.beside_import),
        _errors(f"errors beside bounces, {size}", [*seen.beside_bounces, *seen.bouncing]),
    ]


def waits(name: str, beside: list[Outcome], alone: list[Outcome]) -> list[Figure]:
    """The crowd's waits beside something against those alone: medians of the rounds."""

    def ms(rounds: list[Outcome], kind: str, share: float) -> float:
        return 1000 * middle(percentile(getattr(each, kind), share) for each in rounds)

    return [
        Figure(
            PART,
            f"{word} p{100 * share:.0f} {name}",
            "ms",
            ms(beside, kind, share),
            ms(alone, kind, share),
            most=most,
        )
        for word, kind in (("claim", "claims"), ("answer", "submits"))
        for share, most in ((0.5, None), (0.95, MOST))
    ]


def _errors(name: str, rounds: list[Outcome]) -> Figure:
    return Figure(PART, name, "errors", float(sum(len(each.errors) for each in rounds)), bound=0)
