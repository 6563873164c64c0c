"""What a crowd waits while images are imported, and while reviewers send many images back."""

import contextlib
import io
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import httpx
from PIL import Image

from benchmarks.queue import people
from benchmarks.queue.build import Built, Say
from benchmarks.queue.figures import Figure, percentile, size_name
from benchmarks.queue.load import HOST, Order, Outcome
from benchmarks.queue.serving import Load, Web, environment, gunicorn, load_generator, place
from benchmarks.queue.web import Length
from crowd.core.supervisor import spawn_bound
from crowd.policy import Grade

PART = "beside"
PEOPLE, REJECTING = 60, 6
THINK = 1.0
UPLOADS_A_SECOND = 4.0
SIDE = 240
REJECTION = {"score": 2, "blame": "styles", "reasons": ["wrong_entry"], "comment": "look again"}


def measure(database: Built, length: Length, _say: Say) -> list[Figure]:
    """The same crowd three times: alone, beside an import, and beside reviewers who reject all they see."""
    size, seconds = size_name(database.tasks), length.seconds * length.rounds
    with (
        place() as (folder, redis),
        load_generator() as load,
        load_generator() as rejecting,
        gunicorn("application", database.url, folder, redis) as web,
    ):
        crowd, bouncers = _orders(database, web, seconds)
        load.carry_out(replace(crowd, seconds=seconds / 2))
        alone = load.carry_out(crowd)
        with importing(database, web, environment(database.url, folder, redis)) as uploads:
            beside_import = load.carry_out(crowd)
        beside_bounces, bounced = _together(load, rejecting, crowd, bouncers)
    return [
        Figure(PART, f"images imported meanwhile, {size}", "/s", uploads.done / uploads.seconds),
        Figure(PART, f"uploads that failed, {size}", "uploads", float(uploads.failed), bound=0),
        *_figures(f"beside an import, {size}", beside_import, alone),
        Figure(
            PART, f"images bounced meanwhile, {size}", "/s", sum(bounced.cycles.values()) / bounced.seconds
        ),
        *_figures(f"beside bounces, {size}", beside_bounces, alone, len(bounced.errors)),
    ]


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
        Image.effect_noise((SIDE, SIDE), 60).convert("RGB").save(out, "JPEG")
        form = {"supplier": "shop 1", "rights": "owned"}
        try:
            answer = self._client.post("/images", data=form, files={"file": ("new.jpg", out.getvalue())})
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.CREATED


@contextlib.contextmanager
def importing(database: Built, web: Web, env: Mapping[str, str]) -> Iterator[Uploads]:
    """Uploads, and the job worker that serves them, for the time of the block."""
    command = [sys.executable, "-m", "crowd.jobworker", "--queues", "upkeep", "images"]
    worker = spawn_bound(command, env=dict(env))
    uploads = Uploads(database, web)
    uploads.start()
    try:
        yield uploads
    finally:
        uploads.stop()
        # Nothing is lost with it, and asking it to end would wait for its next look at the queue.
        worker.kill()
        worker.wait()


def _orders(database: Built, web: Web, seconds: float) -> tuple[Order, Order]:
    """The crowd, and reviewers beside them who are not of it."""
    reviewers = people.of_grade(database.seed, Grade.SEMI_EXPERT)[-REJECTING:]
    apart = {member.id for member in reviewers}
    crowd = [member for member in people.sample(database.seed, PEOPLE) if member.id not in apart]
    rejects = replace(database.replies, verdict=REJECTION)
    return (
        Order(web.port, [member.token for member in crowd], seconds, THINK, database.replies.as_json()),
        Order(web.port, [member.token for member in reviewers], seconds, THINK / 2, rejects.as_json()),
    )


def _together(load: Load, other: Load, order: Order, others_order: Order) -> tuple[Outcome, Outcome]:
    other.begin(others_order)
    found = load.carry_out(order)
    return found, other.end()


def _figures(name: str, outcome: Outcome, alone: Outcome, other_errors: int = 0) -> list[Figure]:
    pairs = (("claim", outcome.claims, alone.claims), ("answer", outcome.submits, alone.submits))
    found = [
        Figure(
            PART,
            f"{kind} p{100 * share:.0f} {name}",
            "ms",
            1000 * percentile(ours, share),
            1000 * percentile(base, share),
        )
        for kind, ours, base in pairs
        for share in (0.5, 0.95)
    ]
    errors = len(outcome.errors) + other_errors
    return [*found, Figure(PART, f"errors {name}", "errors", float(errors), bound=0)]
