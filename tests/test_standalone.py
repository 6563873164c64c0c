"""`crowd standalone`: the whole system as one process tree."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from crowd.core.embedded import redis_answers, redis_url
from crowd.core.supervisor import exclusive
from crowd.standalone import LOCK_FILE, StandaloneFailed, run_standalone, start_standalone
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
    pid_file = tmp_path / "web.pid"
    with start_standalone(tmp_path) as url:
        assert _answers(url)
        redis = redis_url(tmp_path)
        assert redis is not None
        assert redis_answers(redis)
        first = int(pid_file.read_text())
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: int(pid_file.read_text()) != first)
        assert eventually(lambda: _answers(url), 20)
        second = int(pid_file.read_text())
    assert not is_alive(second)
    assert not pid_file.exists()
    assert redis_url(tmp_path) is None


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
