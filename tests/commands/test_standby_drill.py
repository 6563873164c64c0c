"""The other drill: the primary PostgreSQL server dies while people work, and its standby has every answer."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from crowd.core.db import Database
from crowd.core.migrate import upgrade
from tests.commands.drills import Team, lost, served, wait_until_told
from tests.commands.places import Place
from tests.conftest import _with_driver
from tests.core.processes import eventually
from tests.servers import Postgres, find_postgres_binaries, identity, own_directory, start_postgres

pytestmark = pytest.mark.skipif(
    find_postgres_binaries() is None and os.environ.get("CI") != "true", reason="no PostgreSQL here"
)


@pytest.fixture
def primary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """A server that this test may take down."""
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    with start_postgres() as server:
        assert server is not None
        yield server


@contextmanager
def _standby_of(primary: Postgres) -> Iterator[Postgres]:
    """A second server that follows the first one; from now on the first one waits for it at every commit."""
    binaries = find_postgres_binaries()
    assert binaries is not None
    with own_directory() as directory:
        command = [
            str(binaries / "pg_basebackup"),
            "--dbname",
            primary.url,
            "--pgdata",
            str(directory / "data"),
        ]
        command += ["--wal-method=stream", "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        subprocess.run(command, check=True, cwd="/", **identity())
        standby = Postgres(f"postgresql://postgres@/postgres?host={directory}", binaries, directory)
        standby.start()
        try:
            _on(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
            _on(primary, "SELECT pg_reload_conf()")
            synchronous = "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
            assert eventually(lambda: _on(primary, synchronous) is True)
            yield standby
        finally:
            standby.stop(immediate=True)


def _on(server: Postgres, statement: str) -> object:
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def test_a_promoted_standby_has_every_answer_that_was_acknowledged(primary: Postgres, tmp_path: Path) -> None:
    place = Place(_with_driver(primary.create_database("crowd")), tmp_path / "data")
    upgrade(place.settings.database_url)
    with served(place) as url, _standby_of(primary) as standby:
        team = Team.arrive(place, url, 6)
        with team.at_work(url, think=0.05) as seen:
            wait_until_told(seen, 20)
            primary.stop(immediate=True)
        assert _on(standby, "SELECT pg_promote()") is True
        database = Database(_with_driver(standby.url.replace("/postgres?", "/crowd?")))
        try:
            with database.read() as conn:
                assert lost(conn, seen.told) == []
        finally:
            database.close()
