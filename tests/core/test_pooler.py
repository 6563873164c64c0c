"""PostgreSQL behind PgBouncer in transaction mode, and how many connections a process holds without one."""

import http.client
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
import sqlalchemy as sa

from crowd.core.config import Settings, SettingsError, load_settings
from crowd.core.db import Database
from crowd.core.health import database_fault
from crowd.core.statements import Statement
from crowd.jobs import CONNECTIONS, job_runtime
from tests.conftest import Migrated
from tests.core.processes import eventually
from tests.hosts import Balancer, Site, is_ready, start_pooler, work_through
from tests.servers import Postgres, start_postgres

NEXT = Statement(sa.select((sa.bindparam("number", type_=sa.Integer) + 1).label("next")))
POOLED = {"CROWD_DB_POOLER": "transaction"}
SERVER_CONNECTIONS = 4
# Others, such as an autovacuum, are not the application's.
CONNECTED = """\
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = %s
AND application_name LIKE %s
"""


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that this test may stop."""
    with start_postgres() as server:
        if server is None or not server.is_own:
            pytest.skip("no PostgreSQL server of our own")
        yield server


def test_a_crowd_works_through_two_web_hosts_behind_a_pooler(
    own_postgres: Postgres, redis_url: str, tmp_path: Path
) -> None:
    own_postgres.create_database("crowd")
    with start_pooler(own_postgres, SERVER_CONNECTIONS) as folder:
        address = f"postgresql://postgres@/crowd?host={folder}&port=6432"
        site = Site(tmp_path, address, redis_url, POOLED)
        migrating = site.crowd("db", "upgrade")
        assert migrating.returncode == 0, migrating.stderr
        assert "no_idle_timeout" in migrating.stderr + migrating.stdout
        with psycopg.connect(own_postgres.url, autocommit=True) as conn:
            conn.execute("ALTER ROLE postgres SET idle_in_transaction_session_timeout = '60s'")
        with site.jobs("jobs"), site.web("one") as one, site.web("other") as other:
            token = _admin(site)
            balancer = Balancer(one.url, other.url)
            with _counting(own_postgres, "crowd") as seen:
                figures = work_through(balancer, token, 8, lambda _snapshot: None)
            assert not figures.troubles, figures
            assert figures.cycles >= 8 * 6
            assert len(balancer.answered) == 2
            assert 0 < max(seen) <= SERVER_CONNECTIONS
            _export(one.url, token)
            _goes_away_and_comes_back(own_postgres, one.url, token)


def test_the_pooler_refuses_what_the_setting_leaves_out(own_postgres: Postgres, tmp_path: Path) -> None:
    """Else the setting would do nothing, and so would the tests that use it."""
    with start_pooler(own_postgres, SERVER_CONNECTIONS) as folder:
        address = f"postgresql://postgres@/postgres?host={folder}&port=6432"
        with closing(Database(_settings(tmp_path, DATABASE_URL=address).database_url)) as db:
            assert database_fault(db) == "the database does not answer"
        with closing(Database(_settings(tmp_path, DATABASE_URL=address, **POOLED).database_url)) as db:
            assert "crowd db upgrade" in str(database_fault(db))


def test_statements_repeat_on_sessions_that_never_prepared_them(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    with start_pooler(own_postgres, SERVER_CONNECTIONS) as folder:
        address = f"postgresql://postgres@/postgres?host={folder}&port=6432"
        url = _settings(tmp_path, DATABASE_URL=address, CROWD_DB_CONNECTIONS="12", **POOLED).database_url
        counting = _counting(own_postgres, "postgres")
        with counting as seen, closing(Database(url)) as db, ThreadPoolExecutor(12) as pool:

            def ask(number: int) -> tuple[int, int]:
                values = {"number": number}
                with db.begin() as conn:
                    plain = conn.execute(sa.text("SELECT :number + 1"), values).scalar_one()
                    return plain, NEXT.run(conn, values).scalar_one()

            assert list(pool.map(ask, range(600))) == [(number, number) for number in range(1, 601)]
        assert 0 < max(seen) <= SERVER_CONNECTIONS


def test_web_processes_and_job_workers_hold_no_more_connections_than_they_may(
    migrated: Migrated, redis_url: str, tmp_path: Path
) -> None:
    migrated.empty()
    most = 3
    more = {"CROWD_DB_CONNECTIONS": str(most), "CROWD_WEB_THREADS": "16"}
    # A copy of its own: what a killed process leaves connected for a moment is in nobody's way.
    with migrated.copied() as address:
        site = Site(tmp_path, address, redis_url, more)
        job_site = Site(tmp_path, address, redis_url, {"CROWD_DB_CONNECTIONS": "16", "PGAPPNAME": "jobs"})
        database = address.partition("?")[0].rpartition("/")[2]
        with site.web("one") as web, _counting(migrated.server, database, "jobs") as by_jobs:
            token = _admin(site)
            ask = partial(_progress, web.url, token)
            with _counting(migrated.server, database, "crowd") as seen, ThreadPoolExecutor(16) as pool:
                answers = list(pool.map(lambda _number: ask(), range(200)))
            with job_site.jobs("jobs"):
                # Upkeep is the first that it does.
                assert eventually(lambda: any(by_jobs), 60)
    assert answers == [200] * 200
    # All of them were in use, so the bound was felt and not just never reached.
    assert max(seen) == most
    assert 0 < max(by_jobs) <= CONNECTIONS


@pytest.mark.parametrize(("wanted", "given"), [("16", CONNECTIONS), ("2", 2)])
def test_a_job_worker_keeps_to_its_own_bound_whatever_web_processes_may(
    wanted: str, given: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROWD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@/crowd")
    monkeypatch.setenv("CROWD_DB_CONNECTIONS", wanted)
    with closing(job_runtime.__wrapped__().db) as db:
        assert db.engine.pool.size() == given  # type: ignore[attr-defined]


def test_how_to_connect_travels_in_the_address(tmp_path: Path) -> None:
    one = "postgresql://me:p%40ss@db/crowd?sslmode=require"
    assert _settings(tmp_path, DATABASE_URL=one).database_url.endswith("me:p%40ss@db/crowd?sslmode=require")
    url = _settings(
        tmp_path, DATABASE_URL="postgres://me:p%40ss@/crowd?host=a:5432&host=b:5433", CROWD_DB_CONNECTIONS="5"
    ).database_url
    with closing(Database(url)) as db:
        assert db.engine.url.query["host"] == ("a:5432", "b:5433")
        assert db.engine.url.password == "p@ss"
        assert "pool" not in db.engine.url.query
        assert db.engine.pool.size() == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CROWD_DB_POOLER", "session"),
        ("CROWD_DB_CONNECTIONS", "0"),
        ("CROWD_DB_CONNECTIONS", "many"),
        ("DATABASE_URL", "postgresql://me@one:5432,other:5432/crowd"),
    ],
)
def test_a_setting_that_cannot_work_is_named(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        _settings(tmp_path, **{"DATABASE_URL": "postgresql://me@/crowd", name: value})


def _goes_away_and_comes_back(server: Postgres, url: str, token: str) -> None:
    server.stop(immediate=True)
    started = time.monotonic()
    assert _progress(url, token) == httpx.codes.SERVICE_UNAVAILABLE
    assert not is_ready(url)
    assert time.monotonic() - started < 15
    server.start()
    assert eventually(lambda: _progress(url, token) == httpx.codes.OK, 20)


def _export(url: str, token: str) -> None:
    """A release and its export: the long reads, by a job worker behind the pooler."""
    with httpx.Client(
        base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
    ) as client:
        release = client.post("/releases", json={"name": "v1"})
        assert release.status_code == httpx.codes.CREATED, release.text
        job = client.post(f"/releases/{release.json()['id']}/exports", json={"format": "kfashion"}).json()[
            "job"
        ]
        path = f"{url}{job['url']}"
        assert eventually(lambda: client.get(path).json()["state"] == "done", 60)


def _admin(site: Site) -> str:
    """The token of a new admin."""
    assert site.crowd("workers", "add", "chief", "--grade", "admin").returncode == 0
    return site.crowd("workers", "token", "chief").stdout.split()[-1]


def _progress(url: str, token: str) -> int:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    with closing(connection):
        connection.request("GET", "/api/v1/stats/progress", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status


def _settings(folder: Path, **environment: str) -> Settings:
    return load_settings({"CROWD_DATA_DIR": str(folder), **environment})


class _counting:  # noqa: N801 - read as a word of the test
    """How many connections a database has, asked again and again during the block."""

    def __init__(self, server: Postgres, database: str, program: str = "%") -> None:
        self._server, self._names = server, [database, program]
        self._over = threading.Event()
        self._seen: list[int] = []
        self._thread = threading.Thread(target=self._count)

    def __enter__(self) -> list[int]:
        self._thread.start()
        return self._seen

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _count(self) -> None:
        with psycopg.connect(self._server.url, autocommit=True) as conn:
            while not self._over.wait(0.02):
                (count,) = conn.execute(CONNECTED, self._names).fetchall()[0]
                self._seen.append(count)
