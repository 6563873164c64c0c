"""Redis watched over by Sentinels: its address, and what goes on when the master is killed."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from limits import RateLimitItemPerMinute
from redis import Redis

from crowd.core import limits
from crowd.core.config import SettingsError, load_settings
from crowd.core.embedded import EmbeddedUnavailable, find_redis_binary, redis_address, wait_for_redis
from crowd.core.limits import Counters
from crowd.core.queue import JobQueue, connect
from crowd.core.sentinel import SentinelAddress, parse_sentinel
from crowd.core.supervisor import spawn_bound
from crowd.runtime import Runtime, build_runtime
from tests.core.processes import eventually
from tests.servers import start_redis
from tests.test_jobs import import_pictures, job_worker, unprepared

SERVICE = "crowd"
PASSWORD = "of redis"
SENTINELS = 3
THREE = RateLimitItemPerMinute(3)
SENTINEL_CONFIG = """\
port {port}
dir {folder}
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel auth-pass {service} "{password}"
sentinel down-after-milliseconds {service} 1500
sentinel failover-timeout {service} 4000
"""


@dataclass
class Watched:
    """A master, its replica and three Sentinels, each a process."""

    url: str
    processes: dict[int, "subprocess.Popen[bytes]"]

    @property
    def master(self) -> int:
        """The port of the present master, as the Sentinels tell it."""
        place = parse_sentinel(self.url).sentinels[-1]
        with Redis(*place, decode_responses=True) as client:
            return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])

    def kill_master(self) -> int:
        """End it at once; returns its port."""
        port = self.master
        self.processes[port].kill()
        self.processes[port].wait()
        return port


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    try:
        binary = find_redis_binary()
    except EmbeddedUnavailable:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("no Redis server binary here")
    ports = _free_ports(2 + SENTINELS)
    master, replica, *sentinels = ports
    with contextlib.ExitStack() as stack:
        processes = {}

        def start(port: int, *words: str) -> None:
            command = [str(binary), *words]
            with (tmp_path / f"{port}.log").open("wb") as output:
                processes[port] = spawn_bound(command, signal.SIGKILL, stdout=output, stderr=output)
            stack.callback(_end, processes[port])

        for port in (master, replica):
            follow = ["--replicaof", "127.0.0.1", str(master)] if port == replica else []
            login = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
            start(port, "--port", str(port), "--save", "", "--dir", str(tmp_path), *login, *follow)
            wait_for_redis(_plain(port), 10)
        for port in sentinels:
            config = tmp_path / f"sentinel-{port}.conf"
            config.write_text(
                SENTINEL_CONFIG.format(
                    port=port, folder=tmp_path, service=SERVICE, master=master, password=PASSWORD
                )
            )
            start(port, str(config), "--sentinel")
            wait_for_redis(f"redis://127.0.0.1:{port}/0", 10)
        for port in sentinels:
            assert eventually(partial(_sees_all, port), 20), "the Sentinels do not find each other"
        places = ",".join(f"127.0.0.1:{port}" for port in sentinels)
        yield Watched(f"redis+sentinel://:{PASSWORD.replace(' ', '%20')}@{places}/{SERVICE}", processes)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_work_and_limits_go_on_after_the_master_was_killed(
    rt: Runtime, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RECHECK_SECONDS", 0.2)
    ours = build_runtime(replace(rt.settings, redis_url=watched.url))
    one, other = Counters(watched.url), Counters(watched.url)
    import_pictures(ours, 3)
    with job_worker(ours) as process:
        assert ours.queue.nudge("images")
        assert eventually(lambda: unprepared(ours) == 0, 30)
        assert [counters.take(THREE, "a") for counters in (one, other, one)] == [None] * 3
        assert other.take(THREE, "a") is not None

        killed = watched.kill_master()
        started = time.monotonic()
        assert not ours.queue.nudge("images")
        assert not ours.queue.is_up()
        assert one.take(THREE, "b") is None
        assert time.monotonic() - started < 5, "a request waited for a master that is dead"
        with rt.db.begin() as conn:
            conn.exec_driver_sql("UPDATE images SET prepare_after = '2020-01-01 00:00:00+00'")
        assert unprepared(ours) == 3

        assert eventually(lambda: watched.master != killed, 30), "no failover"
        assert eventually(ours.queue.is_up, 10)
        assert eventually(lambda: unprepared(ours) == 0, 30), "the job worker did not follow"
        assert process.poll() is None
        assert eventually(lambda: _both_count(one, other, THREE), 10)
    ours.db.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_job_worker_lives_on_when_redis_dies_while_it_works(
    rt: Runtime, redis_server: str | None, tmp_path: Path
) -> None:
    """RQ then ends its loop as if it had been told to, and a process that exits 0 is not started again."""
    if redis_server is None:
        pytest.skip("no Redis server binary here")
    folder = tmp_path / "redis"
    folder.mkdir()
    ours = build_runtime(replace(rt.settings, redis_url=redis_address(folder)))
    import_pictures(ours, 40)
    with contextlib.ExitStack() as stack:
        with start_redis(folder):
            process = stack.enter_context(job_worker(ours))
            assert ours.queue.nudge("images")
            assert eventually(lambda: unprepared(ours) < 40, 30)
            assert unprepared(ours), "the job was done before Redis could die"
        # The present job goes on, and finds nobody to report to in the end.
        assert eventually(lambda: unprepared(ours) == 0, 60)
        time.sleep(2)
        import_pictures(ours, 42)
        with start_redis(folder):
            assert eventually(lambda: unprepared(ours) == 0, 30), "the job worker did not come back"
            assert process.poll() is None
            process.terminate()
            assert process.wait(20) == 0
    ours.db.close()


def test_a_silent_redis_does_not_hold_up_a_probe() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        for url in (f"redis://{place}/0", f"redis+sentinel://{place},{place}/crowd"):
            started = time.monotonic()
            assert not JobQueue(url).is_up()
            assert time.monotonic() - started < 5, url


@pytest.mark.parametrize(
    ("url", "meaning"),
    [
        ("redis+sentinel://a:1,b/crowd", SentinelAddress((("a", 1), ("b", 26379)), "crowd")),
        (
            "redis+sentinel://me:p%40ss@[::1]:5/my%20one?sentinel_password=s%26",
            SentinelAddress((("::1", 5),), "my one", "me", "p@ss", None, "s&"),
        ),
    ],
)
def test_an_address_says_where_the_sentinels_are_and_what_they_watch(
    url: str, meaning: SentinelAddress
) -> None:
    assert parse_sentinel(url) == meaning
    assert "p@ss" not in repr(meaning)


def test_passwords_of_redis_and_of_the_sentinels_are_two() -> None:
    client = connect("redis+sentinel://:inner@a:1/crowd?sentinel_password=outer")
    pool: Any = client.connection_pool
    assert pool.connection_kwargs["password"] == "inner"
    sentinel = pool.sentinel_manager.sentinels[0].connection_pool
    assert sentinel.connection_kwargs["password"] == "outer"


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:1",
        "redis+sentinel://a:1/crowd/0",
        "redis+sentinel:///crowd",
        "redis+sentinel://a:x,b:1/crowd",
        "redis+sentinel://a:1/crowd?db=1",
        "http://a:1",
        "redis://a:port/0",
        "a:6379",
    ],
)
def test_an_address_that_cannot_work_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^REDIS_URL: "):
        load_settings({"REDIS_URL": url, "CROWD_DATA_DIR": str(tmp_path)})


def _both_count(one: Counters, other: Counters, item: RateLimitItemPerMinute) -> bool:
    """Whether they count together again; each call counts under a fresh name."""
    name = str(time.monotonic())
    taken = [counters.take(item, name) for counters in (one, other, one, other)]
    return taken[:3] == [None] * 3 and taken[3] is not None


def _sees_all(port: int) -> bool:
    with Redis("127.0.0.1", port, decode_responses=True) as client:
        state = client.sentinel_master(SERVICE)
    return (state["num-other-sentinels"], state["num-slaves"]) == (SENTINELS - 1, 1)


def _plain(port: int) -> str:
    return f"redis://:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/0"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(server.getsockname()[1]) for server in servers]


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
