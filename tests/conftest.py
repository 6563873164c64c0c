"""What every test may ask for: real databases, a real Redis, the application, and people."""

import contextlib
import gc
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from argon2 import PasswordHasher
from flask import Flask
from psycopg import sql

from crowd.accounts import service as accounts
from crowd.app import create_app
from crowd.core import security
from crowd.core.config import Settings
from crowd.core.embedded import EmbeddedUnavailable
from crowd.core.migrate import upgrade
from crowd.policy import Grade
from crowd.runtime import Runtime, build_runtime
from crowd.tiers import service as tiers
from tests.kinds import Bearer, Client, MakeWorker, client_of
from tests.servers import (
    QUEUES,
    Postgres,
    find_postgres_binaries,
    own_directory,
    spare_the_disk,
    start_postgres,
    start_redis,
)

DATABASES = ("sqlite", "postgresql")
# The sequences of these tables, those that were ever asked for a number.
START_AGAIN = """
SELECT setval(s.seqrelid::regclass, s.seqstart, false)
FROM pg_sequence s
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.deptype IN ('a', 'i')
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY(%s::text[]::regclass[])
AND pg_sequence_last_value(s.seqrelid) IS NOT NULL
"""
# Each takes half a minute and more, the longest first; to be followed up with what --durations shows.
LONG_FILES = {
    f"tests/{name}": place
    for place, name in enumerate(
        (
            # The first to look at plans builds the queues that the others find.
            "tasks/test_stats_plans.py",
            "ml/test_candidates_processes.py",
            "browser/test_stories.py",
            "test_fuzz.py",
            "browser/test_screens.py",
            "tasks/test_claim_plans.py",
            "tasks/test_gold_plans.py",
            "simulation/test_simulate.py",
            "simulation/test_demo.py",
            "ml/test_candidates_registry.py",
            "core/test_pooler.py",
            "ml/training/test_train.py",
            "ml/training/test_learning.py",
            "test_many_machines.py",
            "faults/test_live_upgrade.py",
            "browser/test_staying.py",
            "test_standalone.py",
            "commands/test_import.py",
            "commands/test_backup.py",
            "core/test_sentinel.py",
            "tasks/test_progress.py",
            "tasks/test_invariants.py",
            "ml/test_candidates_plans.py",
            "ml/test_candidates_bots.py",
            "simulation/test_line.py",
            "benchmarks/test_training_plans.py",
            "benchmarks/test_queue_benchmark.py",
            "test_jobs.py",
            "test_run_script.py",
        )
    )
}
# Numbers are put aside for gold by chance: tests of other things would not come out the same twice.
os.environ.setdefault("CROWD_GOLD_SHARE", "0")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks of this tree."""
    config.addinivalue_line("markers", "own_database: changes the shape of the database, so needs its own")
    # Of several processes, the one that shares the work out opens the folder for all.
    if not hasattr(config, "workerinput"):
        stack = contextlib.ExitStack()
        os.environ[QUEUES] = str(stack.enter_context(own_directory()))
        config.add_cleanup(stack.close)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: processes that share the work by the file then end at about the same time."""
    items.sort(key=lambda item: LONG_FILES.get(item.nodeid.partition("::")[0], len(LONG_FILES)))


def pytest_collection_finish() -> None:
    """What was imported stays: looked through at every collection, it costs a third of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def pytest_report_header() -> str:
    """Which databases this run can use."""
    if os.environ.get("TEST_DATABASE_URL"):
        return "databases: sqlite, postgresql (of TEST_DATABASE_URL)"
    binaries = find_postgres_binaries()
    return f"databases: sqlite, {f'postgresql ({binaries})' if binaries else 'no postgresql found'}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests really ran on each database."""
    ran = dict.fromkeys(DATABASES, 0)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            parameters = report.nodeid.partition("[")[2].rstrip("]").split("-")
            for name in DATABASES:
                ran[name] += name in parameters
    counts = ", ".join(f"{count} on {name}" for name, count in ran.items())
    terminalreporter.write_line(f"tests by database: {counts}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """This process's PostgreSQL server. None to be had: the test is skipped, under CI=true an error.

    It waits for no disk: whoever takes a server down has one of their own.
    """
    with start_postgres(durable=False) as server:
        if server is None:
            pytest.skip("no PostgreSQL server binaries here")
        yield server


@dataclass(frozen=True)
class Migrated:
    """A migrated database on PostgreSQL: emptied between tests, copied for those that change its shape."""

    server: Postgres
    name: str
    tables: list[str]

    @property
    def address(self) -> str:
        """Its `postgresql://` address."""
        return _address(self.server.url, self.name)

    def empty(self) -> None:
        """Remove every row, and whoever is left connected; a fresh copy would take fifty times as long."""
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(others, [self.name, connection.info.backend_pid])
            if connection.info.parameter_status("is_superuser") == "on":
                self._delete(connection)
            else:
                self._truncate(connection)

    def _delete(self, connection: psycopg.Connection[Any]) -> None:
        """Row by row where there are any: to TRUNCATE makes new files for each table and index."""
        probe = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(name, sql.Identifier(name))
            for name in self.tables
        )
        filled = [name for (name,) in connection.execute(probe)]
        with connection.transaction():
            # Neither foreign keys nor the triggers that keep history as it is.
            connection.execute("SET LOCAL session_replication_role = replica")
            for name in filled:
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
            connection.execute(START_AGAIN, [self.tables])

    def _truncate(self, connection: psycopg.Connection[Any]) -> None:
        names = sql.SQL(", ").join(map(sql.Identifier, self.tables))
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(names))

    @contextlib.contextmanager
    def copied(self) -> Iterator[str]:
        """A copy for the time of the block; yields its address."""
        copy = sql.Identifier(f"{self.name}_copy")
        # A template must have no other visitors.
        self.empty()
        self._on_server(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(copy, sql.Identifier(self.name)))
        try:
            yield _address(self.server.url, f"{self.name}_copy")
        finally:
            self._on_server(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(copy))

    def drop(self) -> None:
        """Remove it from the server, which need not be the tests' own."""
        name = sql.Identifier(self.name)
        self._on_server(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def _on_server(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def migrated(postgres: Postgres, process_name: str) -> Iterator[Migrated]:
    """This process's migrated database on PostgreSQL."""
    name = f"crowd_{process_name}_{os.getpid()}"
    address = postgres.create_database(name)
    upgrade(_with_driver(address))
    found = Migrated(postgres, name, _tables(address))
    yield found
    found.drop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The migrated file that each test's own is copied from."""
    path = tmp_path_factory.mktemp("template") / "crowd.sqlite"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated, empty database of the test's own: once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        path = tmp_path / "crowd.sqlite"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    database: Migrated = request.getfixturevalue("migrated")
    if request.node.get_closest_marker("own_database"):
        with database.copied() as address:
            yield _with_driver(address)
        return
    database.empty()
    yield _with_driver(database.address)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """This process's embedded Redis; None where no binary is installed, under CI=true an error."""
    try:
        with start_redis(tmp_path_factory.mktemp("redis")) as url:
            yield url
    except EmbeddedUnavailable:
        if os.environ.get("CI") == "true":
            raise
        yield None


@pytest.fixture
def redis_url(redis_server: str | None) -> str:
    """An empty Redis."""
    if redis_server is None:
        pytest.skip("no Redis server binary here")
    _empty(redis_server)
    return redis_server


@pytest.fixture
def settings(database_url: str, redis_server: str | None, tmp_path: Path) -> Settings:
    """Settings on the test's own database and folder; without hidden gold and limits in the way."""
    if redis_server:
        _empty(redis_server)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    return Settings(
        data_dir=data_dir,
        database_url=database_url,
        redis_url=redis_server,
        storage=str(data_dir / "storage"),
        secret_key="only for tests",
        gold_percent=0.0,
        requests_per_minute=100_000,
    )


@pytest.fixture
def rt(settings: Settings) -> Iterator[Runtime]:
    """The runtime of those settings, the same one as the application's."""
    runtime = build_runtime(settings)
    spare_the_disk(runtime.db)
    yield runtime
    runtime.db.close()


@pytest.fixture
def app(rt: Runtime) -> Flask:
    """The whole application."""
    application = create_app(rt=rt, environ={})
    application.testing = True
    return application


@pytest.fixture
def client(app: Flask) -> Client:
    """Somebody who is not logged in."""
    return client_of(app)


@pytest.fixture
def make_worker(rt: Runtime) -> MakeWorker:
    """`make_worker(grade, name=..., password=...)` gives (id, token). Without a password: token only."""
    count = 0

    def make(grade: Grade, *, name: str | None = None, password: str | None = None) -> tuple[int, str]:
        nonlocal count
        count += 1
        chosen = accounts.choose_password(password) if password else None
        with rt.db.begin() as conn:
            person = tiers.join(conn, name or f"{grade}-{count}", grade, by=None, password=chosen)
            _, token = accounts.issue_token(conn, person.id)
        return person.id, token

    return make


@pytest.fixture
def bearer() -> Bearer:
    """`bearer(token)` gives the headers of a request with that token."""
    return lambda token: {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> Iterator[None]:
    """Passwords of tests are worth no tenth of a second each; servers of their own make them as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(security, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        yield


@pytest.fixture(scope="session")
def process_name(request: pytest.FixtureRequest) -> str:
    """The name of this xdist process; `main` without xdist."""
    return str(getattr(request.config, "workerinput", {}).get("workerid", "main"))


def _with_driver(address: str) -> str:
    return "postgresql+psycopg://" + address.removeprefix("postgresql://")


def _tables(address: str) -> list[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    with psycopg.connect(address) as connection:
        return [name for (name,) in connection.execute(query)]


def _address(url: str, name: str) -> str:
    head, _, query = url.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")


def _empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as server:
        server.flushall()
