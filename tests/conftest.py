"""What every test may ask for: real databases, a real Redis, the application, and people."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from psycopg import sql

from crowd.accounts import service as accounts
from crowd.app import create_app
from crowd.core.config import Settings
from crowd.core.embedded import EmbeddedUnavailable
from crowd.core.migrate import upgrade
from crowd.policy import Grade
from crowd.runtime import Runtime, build_runtime
from crowd.tiers import service as tiers
from tests.servers import Postgres, find_postgres_binaries, start_postgres, start_redis

DATABASES = ("sqlite", "postgresql")
DRIVER = "postgresql+psycopg://"

MakeWorker = Callable[..., tuple[int, str]]


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
    """This process's PostgreSQL server. None to be had: the test is skipped, under CI=true an error."""
    with start_postgres() as server:
        if server is None:
            pytest.skip("no PostgreSQL server binaries here")
        yield server


@dataclass(frozen=True)
class Template:
    """A migrated, empty database on PostgreSQL that others are copied from."""

    server: Postgres
    name: str

    @contextlib.contextmanager
    def copied(self, name: str) -> Iterator[str]:
        """A fresh copy for the time of the block; yields its address."""
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._execute(copy.format(sql.Identifier(name), sql.Identifier(self.name)))
        try:
            yield _address(self.server.url, name)
        finally:
            self.drop(name)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres, worker_id: str) -> Iterator[Template]:
    """The migrated database that each test's own is copied from."""
    name = f"crowd_{worker_id}_{os.getpid()}"
    upgrade(DRIVER + postgres.create_database(name).removeprefix("postgresql://"))
    template = Template(postgres, name)
    yield template
    template.drop(name)


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
    template: Template = request.getfixturevalue("postgres_template")
    with template.copied(f"{template.name}_test") as address:
        yield DRIVER + address.removeprefix("postgresql://")


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
    """Settings on the test's own database and folder; without reservations and limits in the way."""
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
        requests_per_minute=100_000,
    )


@pytest.fixture
def rt(settings: Settings) -> Iterator[Runtime]:
    """The runtime of those settings, the same one as the application's."""
    runtime = build_runtime(settings)
    yield runtime
    runtime.db.close()


@pytest.fixture
def app(rt: Runtime) -> Flask:
    """The whole application."""
    application = create_app(rt=rt, environ={})
    application.testing = True
    return application


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Somebody who is not logged in."""
    return app.test_client()


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
def bearer() -> Callable[[str], dict[str, str]]:
    """`bearer(token)` gives the headers of a request with that token."""
    return lambda token: {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """The name of this xdist process; `main` without xdist."""
    return str(getattr(request.config, "workerinput", {}).get("workerid", "main"))


def _address(url: str, name: str) -> str:
    head, _, query = url.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")


def _empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as server:
        server.flushall()
