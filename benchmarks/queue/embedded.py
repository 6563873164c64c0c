"""The embedded system on SQLite: a small office of twenty people against one person alone."""

import json
import os
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.queue import people
from benchmarks.queue.build import Built, Say
from benchmarks.queue.figures import Figure, percentile
from benchmarks.queue.load import Order, Outcome
from benchmarks.queue.people import Member
from benchmarks.queue.play import API, SIZES, make_replies
from benchmarks.queue.replies import Replies
from benchmarks.queue.serving import Load, load_generator
from benchmarks.queue.web import Length
from crowd.core import clock
from crowd.core.db import Database
from crowd.core.migrate import upgrade
from crowd.images import queries as images
from crowd.images.history import Happening, record
from crowd.images.models import ImageState, Rights, Supplier, What
from crowd.simulation.vocabulary import Vocabulary
from crowd.standalone import start_standalone
from crowd.tasks import decisions

PART = "sqlite"
PEOPLE = 20
IMAGES = 600
THINK = 1.0


def measure(database: Built, length: Length, _say: Say) -> list[Figure]:
    """`crowd standalone` with one person, then with twenty, all thinking for a second."""
    seed, seconds = database.seed, length.seconds * length.rounds
    # Whatever address stands in this process's environment is another database's.
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="crowd-bench-sqlite-") as folder:
        _prepare(Path(folder), seed)
        with start_standalone(Path(folder)) as url, load_generator() as load:
            crew = people.sample(seed, PEOPLE)
            replies = _replies(url, crew[0], seed)
            _crowd(load, url, crew, replies, 3.0)
            alone = _crowd(load, url, crew[:1], replies, seconds)
            together = _crowd(load, url, crew, replies, seconds)
    return [
        Figure(PART, f"cycles, {len(crew)} people / one", "/s", _rate(together), _rate(alone)),
        *(
            Figure(
                PART,
                f"{kind} p{100 * share:.0f}, {len(crew)} people / one",
                "ms",
                1000 * percentile(ours, share),
                1000 * percentile(base, share),
                most=5.0 if share == 0.99 else None,
            )
            for kind, ours, base in (
                ("claim", together.claims, alone.claims),
                ("answer", together.submits, alone.submits),
            )
            for share in (0.5, 0.99)
        ),
        Figure(PART, f"errors, {len(crew)} people", "errors", float(len(together.errors)), bound=0),
    ]


def _rate(outcome: Outcome) -> float:
    return sum(outcome.cycles.values()) / outcome.seconds


def _prepare(folder: Path, seed: int) -> None:
    """People, and images that have been prepared; their files are never asked for."""
    url = f"sqlite:///{folder / 'crowd.sqlite'}"
    upgrade(url)
    db = Database(url)
    try:
        with db.begin() as conn:
            people.hire_all(conn, seed)
            now = clock.now()
            supplier = images.named(conn, Supplier, "shop 1", now)
            width, height = SIZES[0]
            for number in range(IMAGES):
                image_id = images.add_image(
                    conn,
                    supplier_id=supplier,
                    file_name=f"photo-{number}.jpg",
                    rights=Rights.OWNED,
                    sha256=number.to_bytes(32, "big"),
                    state=ImageState.IN_WORK,
                    width=width,
                    height=height,
                    created_at=now,
                )
                record(conn, image_id, Happening(What.UPLOADED), now)
                decisions.open_first(conn, image_id, now)
    finally:
        db.close()


def _replies(url: str, member: Member, seed: int) -> Replies:
    request = urllib.request.Request(
        f"{url}{API}/taxonomy", headers={"Authorization": f"Bearer {member.token}"}
    )
    with urllib.request.urlopen(request) as answer:
        return make_replies(Vocabulary.read(json.load(answer)), seed)


def _crowd(load: Load, url: str, crew: list[Member], replies: Replies, seconds: float) -> Outcome:
    port = urlsplit(url).port
    assert port is not None
    return load.carry_out(Order(port, [member.token for member in crew], seconds, THINK, replies.as_json()))
