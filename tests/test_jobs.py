"""Background work with a real Redis and real RQ job workers: done, and found again when Redis forgets."""

import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
import sqlalchemy as sa
from flask import Flask
from rq import Queue

from crowd.core import clock
from crowd.images import queries
from crowd.images.models import Image, Rights
from crowd.images.service import Delivery, keep_original, prepare, take_file
from crowd.policy import Grade, load_policy
from crowd.runtime import Runtime
from crowd.tasks import leases
from crowd.tasks.leases import Claimant, QueueState
from crowd.tasks.taxonomies import shelf
from crowd.wiring import wire
from tests.datasets.factories import Crowd as LabelledCrowd
from tests.kinds import MakeWorker, client_of
from tests.pictures import jpeg

# Files about an export as a whole; the others are an image's each.
OF_THE_WHOLE = {"croissant", "statistics"}


@contextmanager
def job_worker(rt: Runtime, *queues: str) -> Iterator[subprocess.Popen[bytes]]:
    """A job worker process on the test's own database and Redis."""
    env = os.environ | {
        "CROWD_DATA_DIR": str(rt.settings.data_dir),
        "DATABASE_URL": rt.settings.database_url,
        "REDIS_URL": str(rt.settings.redis_url),
    }
    chosen = ["--queues", *queues] if queues else []
    process = subprocess.Popen([sys.executable, "-m", "crowd.jobworker", *chosen], env=env)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


def import_pictures(rt: Runtime, count: int) -> list[int]:
    wire(rt)
    originals = [keep_original(rt, jpeg(seed)) for seed in range(count)]
    with rt.db.begin() as conn:
        return [
            take_file(conn, rt.policy, kept, Delivery("Shop", f"{seed}.jpg", Rights.OWNED), None).image_id
            for seed, kept in enumerate(originals)
        ]


def unprepared(rt: Runtime) -> int:
    with rt.db.read() as conn:
        return queries.unprepared(conn)


def ready_tasks(rt: Runtime) -> int:
    with rt.db.read() as conn:
        return int(conn.exec_driver_sql("SELECT count(*) FROM tasks WHERE state = 0").scalar_one())


def test_a_job_worker_makes_working_images_and_opens_tasks(rt: Runtime, redis_url: str) -> None:
    import_pictures(rt, 3)
    assert (unprepared(rt), ready_tasks(rt)) == (3, 0)
    with job_worker(rt):
        assert rt.queue.nudge("images")
        assert until(lambda: unprepared(rt) == 0)
        assert until(lambda: ready_tasks(rt) == 3)


def test_work_comes_back_by_itself_after_redis_was_flushed(rt: Runtime, redis_url: str) -> None:
    import_pictures(rt, 2)
    assert rt.queue.nudge("images")
    connection = redis.Redis.from_url(redis_url)
    connection.flushall()
    assert len(Queue("images", connection=connection)) == 0
    with job_worker(rt):
        assert until(lambda: unprepared(rt) == 0)


def test_a_nudge_that_waits_is_not_repeated(rt: Runtime, redis_url: str) -> None:
    assert rt.queue.nudge("images")
    assert rt.queue.nudge("images")
    assert len(Queue("images", connection=redis.Redis.from_url(redis_url))) == 1


def test_images_of_a_dead_job_worker_are_due_again(rt: Runtime) -> None:
    import_pictures(rt, 2)
    now = clock.now()
    with rt.db.begin() as conn:
        taken = queries.take_unprepared(conn, now, now.replace(year=now.year + 1), 32)
    assert len(taken) == 2
    with rt.db.begin() as conn:
        assert queries.take_unprepared(conn, now, now, 32) == []
        later = now.replace(year=now.year + 2)
        assert len(queries.take_unprepared(conn, later, later, 32)) == 2


def test_an_expired_lease_comes_back_by_upkeep(rt: Runtime, redis_url: str, make_worker: MakeWorker) -> None:
    import_pictures(rt, 1)
    prepare(rt)
    holder, _ = make_worker(Grade.GENERAL)
    claimant = Claimant(holder, shelf(rt).present_id())
    with rt.db.begin() as conn:
        task = leases.claim(conn, claimant, load_policy(lease_seconds=1), clock.now())
    assert not isinstance(task, QueueState)
    assert ready_tasks(rt) == 0
    with job_worker(rt, "upkeep"):
        assert until(lambda: ready_tasks(rt) == 1)


def test_an_export_ordered_over_http_is_written_by_a_job_worker(
    rt: Runtime, app: Flask, redis_url: str, make_worker: MakeWorker
) -> None:
    _, token = make_worker(Grade.ADMIN)
    admin = {"Authorization": f"Bearer {token}"}
    LabelledCrowd(rt).accept(2)
    client = client_of(app)
    release = client.post("/api/v1/releases", json={"name": "v1"}, headers=admin)
    assert release.status_code == 201, release.text
    order = {"format": "kfashion"}
    ordered = client.post(f"/api/v1/releases/{release.json['id']}/exports", json=order, headers=admin)
    assert ordered.status_code == 202, ordered.text
    job = ordered.json["job"]["url"]
    with job_worker(rt, "exports"):
        assert until(lambda: client.get(job, headers=admin).json["state"] == "done")
    done = client.get(job, headers=admin).json
    assert (done["written"], done["total"]) == (2, 2)
    archive = client.get(done["download"], headers=admin)
    with zipfile.ZipFile(io.BytesIO(archive.data)) as files:
        assert files.testzip() is None
        assert (
            sum(name.endswith(".json") for name in files.namelist() if Path(name).stem not in OF_THE_WHOLE)
            == 2
        )


def test_a_storage_that_is_not_there_refuses_no_image(rt: Runtime) -> None:
    import_pictures(rt, 1)
    originals = rt.storage.root / "originals"
    originals.rename(originals.with_name("unmounted"))
    prepare(rt)
    assert (unprepared(rt), ready_tasks(rt)) == (1, 0)
    shutil.rmtree(originals, ignore_errors=True)
    originals.with_name("unmounted").rename(originals)
    with rt.db.begin() as conn:
        conn.execute(sa.update(Image).values(prepare_after=clock.now()))
    prepare(rt)
    assert (unprepared(rt), ready_tasks(rt)) == (0, 1)
