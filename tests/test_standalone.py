"""`crowd standalone`: the whole system as one process tree."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis
from rq import Worker

from crowd.core.embedded import redis_answers, redis_url
from crowd.core.supervisor import exclusive
from crowd.ml import extra
from crowd.standalone import JOB_QUEUES, LOCK_FILE, StandaloneFailed, run_standalone, start_standalone
from tests.core.processes import eventually, is_alive


@pytest.fixture(autouse=True)
def _embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "CROWD_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A loopback port on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def test_it_serves_revives_its_web_server_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # Spaces, and what an address reads as its own: the data lies here all the same.
    data_dir = tmp_path / "our data#1%41?a=b"
    pid_file = data_dir / "web.pid"
    with start_standalone(data_dir) as url:
        assert _answers(url)
        assert (data_dir / "crowd.sqlite").is_file()
        redis = redis_url(data_dir)
        assert redis is not None
        assert redis_answers(redis)
        with Redis.from_url(redis) as queue:
            workers = len(JOB_QUEUES) + extra.is_there()
            assert eventually(lambda: len(Worker.all(connection=queue)) == workers, 20)
        first = int(pid_file.read_text())
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: int(pid_file.read_text()) != first)
        assert eventually(lambda: _answers(url), 20)
        second = int(pid_file.read_text())
    assert not is_alive(second)
    assert not pid_file.exists()
    assert redis_url(data_dir) is None
    assert os.listdir(tmp_path) == [data_dir.name]


def test_a_taken_port_is_said_plainly(
    tmp_path: Path, taken_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_standalone(tmp_path, taken_port) == 2
    assert f"port {taken_port} is taken by another program" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("port", "host", "text"),
    [(70000, "127.0.0.1", "between 0 and 65535"), (0, "203.0.113.1", "cannot listen on 203.0.113.1")],
)
def test_an_impossible_address_is_said_plainly(
    tmp_path: Path, port: int, host: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_standalone(tmp_path, port, host) == 2
    assert text in capsys.readouterr().err


def test_a_second_one_on_the_same_data_dir_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with exclusive(tmp_path / LOCK_FILE):
        assert run_standalone(tmp_path, 0) == 2
    assert f"process {os.getpid()} holds" in capsys.readouterr().err


def test_a_setting_that_cannot_work_is_said_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CROWD_LEASE_SECONDS", "soon")
    assert run_standalone(tmp_path, 0) == 2
    assert "CROWD_LEASE_SECONDS" in capsys.readouterr().err


def test_a_database_that_is_away_is_said_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://nobody@/none?host={tmp_path}")
    assert run_standalone(tmp_path, 0) == 2
    assert "DATABASE_URL: the database cannot be reached" in capsys.readouterr().err


def test_a_start_that_fails_reaches_the_caller(tmp_path: Path, taken_port: int) -> None:
    with pytest.raises(StandaloneFailed, match="exit code 2"), start_standalone(tmp_path, taken_port):
        pass


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("CROWD_POLICY", "bounce_cap: many\nspeed: 3\n", "bounce_cap: must be a whole number"),
        ("CROWD_POLICY", "a: [", "line 1, column 5"),
        ("CROWD_TAXONOMY", "parts: 3\n", "parts"),
    ],
)
def test_a_mistake_in_a_file_of_ones_own_is_told_once_before_anything_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
    said: str,
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text)
    monkeypatch.setenv(name, str(own))
    assert run_standalone(tmp_path / "data", 0) == 2
    told = capsys.readouterr().err
    assert told.count(said) == 1
    assert "Traceback" not in told
