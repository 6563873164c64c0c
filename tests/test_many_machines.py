"""More than one machine: two web hosts and two job workers share a database, a Redis and a folder."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import redis
import sqlalchemy as sa
from rq import Queue, Worker
from rq.registry import FailedJobRegistry

from crowd.core import clock
from crowd.core.db import Database
from crowd.jobs import QUEUES
from crowd.policy import Grade, Stage, load_policy
from crowd.runtime import Runtime
from crowd.simulation.crowd import Snapshot
from crowd.tasks.leases import Claimant, QueueState, claim
from crowd.tasks.models import Miss, Standing, Submission, Task, TaskState
from crowd.tasks.taxonomies import shelf
from tests.core.processes import eventually
from tests.hosts import Balancer, Site, work_through
from tests.kinds import MakeWorker
from tests.pictures import jpeg
from tests.test_jobs import import_pictures, unprepared

# A copy of its own: what killed processes leave connected for a moment is in nobody's way.
pytestmark = [
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
    pytest.mark.own_database,
]

ADMIN_PASSWORD = "a long password of the chief"


@pytest.fixture
def site(rt: Runtime, redis_url: str, tmp_path: Path) -> Site:
    return Site(tmp_path, rt.db.url, redis_url, {"CROWD_STORAGE": rt.settings.storage})


def test_a_crowd_goes_on_and_loses_nothing_when_machines_fall_over(
    rt: Runtime, site: Site, make_worker: MakeWorker
) -> None:
    _, token = make_worker(Grade.ADMIN)
    with (
        site.web("web-1") as one,
        site.web("web-2") as other,
        site.jobs("jobs-1") as job_host,
        site.jobs("jobs-2"),
    ):
        balancer = Balancer(one.url, other.url)
        before: list[int] = []

        def watch(snapshot: Snapshot) -> None:
            if not before and sum(snapshot.done.values()) >= 30:
                before.append(balancer.answered[f"{other.url}"])
                other.fall_over()
                job_host.fall_over()

        figures = work_through(balancer, token, 12, watch)
        assert before, "the crowd was done before anything fell over"
        assert before[0] > 30, "the second web host had hardly served anybody"
        assert not figures.troubles, figures
        assert sum(figures.images.values()) == 12
        with rt.db.read() as conn:
            counted = sa.select(Submission.task_id).where(Submission.standing == Standing.COUNTED)
            kept = set(conn.execute(counted).scalars())
        assert balancer.acknowledged <= kept
        assert len(kept) >= figures.cycles

        import_pictures(rt, 3)
        ready = {TaskState.READY: 3}
        assert eventually(lambda: ready.items() <= _states(rt.db).items(), 30), "no job worker works any more"


def test_what_comes_in_at_one_machine_is_seen_at_the_other(
    rt: Runtime, site: Site, make_worker: MakeWorker
) -> None:
    make_worker(Grade.ADMIN, name="chief", password=ADMIN_PASSWORD)
    _, token = make_worker(Grade.GENERAL)
    folder = site.folder / "delivery"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    with site.web("web-1") as one, site.web("web-2") as other, site.jobs("jobs-1"), site.jobs("jobs-2"):
        imported = site.crowd("import", str(folder), "--supplier", "Shop", "--rights", "owned")
        assert imported.returncode == 0, imported.stderr
        assert unprepared(rt) == 0
        with closing(_session(one.url)) as browser, httpx.Client(trust_env=False) as worker:
            files = {"file": ("five.jpg", jpeg(5), "image/jpeg")}
            form = {"supplier": "Shop", "rights": "owned"}
            csrf = {"X-CSRF-Token": str(browser.cookies["csrf_token"])}
            # A session begun at one machine writes at the other: both sign with the same key.
            made = browser.post(f"{other.url}/api/v1/images", files=files, data=form, headers=csrf)
            assert made.status_code == 201, made.text
            assert browser.get(f"{one.url}/api/v1/images/{made.json()['id']}/file").status_code == 200
            bearer = {"Authorization": f"Bearer {token}"}
            task = worker.post(f"{one.url}/api/v1/tasks/claim", json={}, headers=bearer).json()
            assert worker.get(f"{other.url}{task['image']['url']}", headers=bearer).status_code == 200
            back = {"token": task["lease"]["token"]}
            released = worker.post(
                f"{other.url}/api/v1/tasks/{task['id']}/release", json=back, headers=bearer
            )
            assert released.status_code == 204


def test_upkeep_in_many_copies_ends_each_lease_once(
    rt: Runtime, site: Site, make_worker: MakeWorker, redis_url: str
) -> None:
    leases = 60
    import_pictures(rt, leases)
    connection = redis.Redis.from_url(redis_url)
    with site.jobs("jobs-1"), site.jobs("jobs-2"):
        assert eventually(lambda: unprepared(rt) == 0, 60)
        _hold_until_now(rt, make_worker, leases)
        for _ in range(40):
            Queue("upkeep", connection=connection).enqueue("crowd.jobs.upkeep", result_ttl=0)
        assert eventually(lambda: not Queue("upkeep", connection=connection).job_ids, 60)
        assert eventually(lambda: _states(rt.db) == {TaskState.READY: leases}, 20)
        assert eventually(lambda: _busy_ones(connection) == 2, 20), "one job worker did everything"
    with rt.db.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(Miss)).scalar_one() == leases
    for name in QUEUES:
        assert len(FailedJobRegistry(name, connection=connection)) == 0, name


def _hold_until_now(rt: Runtime, make_worker: MakeWorker, leases: int) -> None:
    """Have people claim so many tasks, whose leases run out at once."""
    policy = load_policy(lease_seconds=1)
    past = clock.now() - timedelta(minutes=1)
    for _ in range(leases // policy.held_leases):
        worker_id, _token = make_worker(Grade.GENERAL)
        claimant = Claimant(worker_id, shelf(rt).present_id())
        for _ in range(policy.held_leases):
            with rt.db.begin() as conn:
                assert not isinstance(claim(conn, claimant, policy, past, Stage.SEGMENTATION), QueueState)


def _states(db: Database) -> dict[TaskState, int]:
    with db.read() as conn:
        rows = conn.execute(sa.select(Task.state, sa.func.count()).group_by(Task.state))
        return {row[0]: row[1] for row in rows}


def _busy_ones(connection: "redis.Redis") -> int:
    return sum(worker.successful_job_count > 5 for worker in Worker.all(connection=connection))


def _session(url: str) -> httpx.Client:
    client = httpx.Client(trust_env=False, timeout=30)
    login = client.post(f"{url}/api/v1/login", json={"username": "chief", "password": ADMIN_PASSWORD})
    assert login.status_code == 200, login.text
    return client
