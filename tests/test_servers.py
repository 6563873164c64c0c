"""The servers that the tests lean on do what drills will ask of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from tests.core.processes import eventually, is_alive
from tests.servers import Postgres, find_postgres_binaries, start_postgres

pytestmark = pytest.mark.skipif(
    find_postgres_binaries() is None and os.environ.get("CI") != "true", reason="no PostgreSQL here"
)

HOLDS_A_SERVER = """
import time
from tests.servers import start_postgres
with start_postgres() as postgres:
    print(postgres._process.pid, postgres._directory, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TEST_DATABASE_URL", raising=False)
        with start_postgres() as server:
            assert server is not None
            yield server


def test_a_committed_row_survives_a_crash_of_the_server(postgres: Postgres) -> None:
    url = postgres.create_database("drill")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    with psycopg.connect(url) as connection:
        postgres.restart(immediate=True)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_a_stopped_server_refuses_until_it_is_started_again(postgres: Postgres) -> None:
    postgres.stop()
    try:
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(postgres.url)
    finally:
        postgres.start()
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_of_somebody_else_cannot_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql+psycopg://elsewhere/db")
    with start_postgres() as server:
        assert server is not None
        assert server.url == "postgresql://elsewhere/db"
        with pytest.raises(RuntimeError, match="TEST_DATABASE_URL"):
            server.stop()


def test_without_binaries_only_ci_insists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    monkeypatch.setattr("tests.servers.find_postgres_binaries", lambda: None)
    monkeypatch.delenv("CI", raising=False)
    with start_postgres() as server:
        assert server is None
    monkeypatch.setenv("CI", "true")
    with pytest.raises(RuntimeError, match="install postgresql"), start_postgres():
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_server_outlives_an_interrupted_test_run(number: signal.Signals) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "TEST_DATABASE_URL"}
    run = subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ
    )
    with run:
        assert run.stdout is not None
        pid, directory = run.stdout.readline().decode().split()
        assert is_alive(int(pid))
        run.send_signal(number)
    assert eventually(lambda: not is_alive(int(pid)))
    # Only a killed run has nobody left to remove the folder.
    assert os.path.exists(directory) == (number is signal.SIGKILL)
    subprocess.run(["rm", "-rf", directory], check=True)
