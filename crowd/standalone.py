"""The whole system from one command: Redis, web and job workers as supervised children of one process."""

import argparse
import contextlib
import errno
import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sqlalchemy.exc import OperationalError

from crowd.core.config import DEFAULT_DATA_DIR, Settings, SettingsError, load_settings
from crowd.core.db import Database
from crowd.core.embedded import (
    EmbeddedUnavailable,
    redis_address,
    redis_answers,
    redis_command,
)
from crowd.core.health import current_revision
from crowd.core.migrate import upgrade
from crowd.core.supervisor import (
    AlreadyRunning,
    Child,
    ChildFailed,
    Supervisor,
    exclusive,
    say_on_stderr,
    spawn_bound,
)
from crowd.ml import extra
from crowd.policy import PolicyError, load_policy
from crowd.taxonomy import TaxonomyError, load_taxonomy
from crowd.webserver import gunicorn_command, shared_metrics

LOCK_FILE = "standalone.lock"
WEB_PID_FILE = "web.pid"
JOB_QUEUES = {"jobs-upkeep": ["upkeep"], "jobs-images": ["images"], "jobs-exports": ["redos", "exports"]}

# The workers of a web server that was killed hold its port until they notice and their requests are done.
PORT_PATIENCE_SECONDS = 8.0
STOP_PATIENCE_SECONDS = 60.0


class PortUnavailable(Exception):
    """The address cannot be listened on; the message says why."""


class StandaloneFailed(Exception):
    """The system did not come up; what went wrong stands on stderr."""


def run_standalone(
    data_dir: Path,
    port: int,
    host: str = "127.0.0.1",
    ready_callback: Callable[[str], None] | None = None,
) -> int:
    """Run everything until Ctrl-C or SIGTERM; return the exit code.

    0: stopped on request; 1: a child did not come up; 2: a setting, the port or the data dir
    stands in the way (said on stderr). Port 0 takes a free one. `ready_callback` gets the base URL
    once the system answers, in place of the lines printed for a person.
    """
    try:
        settings = load_settings({**os.environ, "CROWD_DATA_DIR": str(data_dir)})
        with exclusive(settings.data_dir / LOCK_FILE):
            _check_files(settings)
            port = _free_port(host, port)
            is_new = _is_new(settings)
            upgrade(settings.database_url)
            supervisor = Supervisor(_children(settings, host, port, os.environ))
            supervisor.run(lambda: (ready_callback or _greet(settings, is_new))(_base_url(host, port)))
    except AlreadyRunning as problem:
        return _fail(f"Crowd is running on this data dir already: {problem}", 2)
    except OperationalError as problem:
        return _fail(f"DATABASE_URL: the database cannot be reached: {problem.orig}", 2)
    except PolicyError as problem:
        return _fail(f"CROWD_POLICY: {problem}", 2)
    except TaxonomyError as problem:
        return _fail(f"CROWD_TAXONOMY: {problem}", 2)
    except PermissionError as problem:
        return _fail(f"CROWD_DATA_DIR: {problem.filename}: {problem.strerror}", 2)
    except (SettingsError, PortUnavailable, EmbeddedUnavailable) as problem:
        return _fail(str(problem), 2)
    except ChildFailed as problem:
        return _fail(str(problem), 1)
    except KeyboardInterrupt:
        return 130
    return 0


def _check_files(settings: Settings) -> None:
    """Read policy and taxonomy here once, so that a mistake in them is told once and not by every child."""
    load_policy(settings.policy_file)
    load_taxonomy(settings.taxonomy_file)


def _is_new(settings: Settings) -> bool:
    """Whether nothing was ever set up here; whoever mistyped the data dir wants to be told."""
    with contextlib.closing(Database(settings.database_url)) as db:
        return current_revision(db) is None


@contextlib.contextmanager
def start_standalone(data_dir: Path, port: int = 0, host: str = "127.0.0.1") -> Iterator[str]:
    """The whole system in a process of its own for the time of the block; yields its base URL.

    It has its own session, so a Ctrl-C reaches the caller alone, whose leaving the block stops it.
    Raises StandaloneFailed when it does not come up.
    """
    ready, told = os.pipe()
    command = [
        sys.executable,
        "-m",
        "crowd.standalone",
        str(data_dir),
        str(port),
        host,
        str(told),
    ]
    process = spawn_bound(command, signal.SIGTERM, pass_fds=(told,))
    os.close(told)
    try:
        with os.fdopen(ready) as pipe:
            url = pipe.read()
        if not url:
            raise StandaloneFailed(f"the system did not come up (exit code {process.wait()})")
        yield url
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _children(settings: Settings, host: str, port: int, environ: Mapping[str, str]) -> list[Child]:
    """What runs, in the order of starting; a REDIS_URL in `environ` takes the embedded Redis's place."""
    data_dir = settings.data_dir
    redis = environ.get("REDIS_URL") or redis_address(data_dir)
    env = {**environ, "CROWD_DATA_DIR": str(data_dir), "REDIS_URL": redis}
    children = [
        Child(
            "web",
            gunicorn_command(settings, host, port, environ, patience=5),
            env | shared_metrics(data_dir, environ),
            ready=lambda: _is_ready(host, port),
            pid_file=data_dir / WEB_PID_FILE,
        ),
        *(Child(name, _job_command(queues), env) for name, queues in JOB_QUEUES.items()),
    ]
    if extra.is_there():
        children.append(Child("jobs-candidates", _job_command(["candidates"]), env))
    if not environ.get("REDIS_URL"):
        children.insert(
            0,
            Child("redis", redis_command(data_dir), env, lambda: redis_answers(redis)),
        )
    return children


def _job_command(queues: list[str]) -> list[str]:
    return [sys.executable, "-m", "crowd.jobworker", "--queues", *queues]


def _free_port(host: str, port: int) -> int:
    """The port, or a free one for 0, when it can be listened on. Raises PortUnavailable."""
    deadline = time.monotonic() + PORT_PATIENCE_SECONDS
    told = False
    while True:
        try:
            return _try_port(host, port)
        except OverflowError:
            raise PortUnavailable(f"port {port}: a port lies between 0 and 65535") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PortUnavailable(f"cannot listen on {host} port {port}: {error.strerror}") from None
            if time.monotonic() > deadline:
                text = f"port {port} is taken by another program: stop it, or choose another with --port"
                raise PortUnavailable(text) from None
        if not told:
            say_on_stderr(f"port {port} is taken; waiting a moment for it")
            told = True
        time.sleep(0.1)


def _try_port(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)
        return int(probe.getsockname()[1])


def _is_ready(host: str, port: int) -> bool:
    """Whether GET /readyz answers 200."""
    connection = http.client.HTTPConnection(_reachable(host), port, timeout=2.0)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _base_url(host: str, port: int) -> str:
    return f"http://{_bracketed(_reachable(host))}:{port}"


def _greet(settings: Settings, is_new: bool) -> Callable[[str], None]:
    """What tells a person on stdout that the system is up and what to do next."""
    usual = settings.data_dir == Path(DEFAULT_DATA_DIR).resolve()
    where = "" if usual else f"CROWD_DATA_DIR={shlex.quote(str(settings.data_dir))} "

    def greet(url: str) -> None:
        print(
            f"Crowd is ready:   {url}\n"
            f"  data dir        {settings.data_dir}{' (new: there was nothing before)' if is_new else ''}\n"
            f"  database        {'SQLite, embedded' if settings.is_sqlite else 'PostgreSQL'}\n"
            f"  first admin     {where}crowd workers add NAME --grade admin\n"
            f"  Ctrl-C stops everything",
            flush=True,
        )

    return greet


def _fail(text: str, code: int) -> int:
    say_on_stderr(f"crowd standalone: {text}")
    return code


def _tell(pipe: int) -> Callable[[str], None]:
    """What writes the base URL into the pipe of `start_standalone` and closes it."""

    def tell(url: str) -> None:
        with os.fdopen(pipe, "w") as told:
            told.write(url)

    return tell


def _main() -> int:
    parser = argparse.ArgumentParser(description="The process behind start_standalone.")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("host")
    parser.add_argument("pipe", type=int)
    given = parser.parse_args()
    return run_standalone(given.data_dir, given.port, given.host, _tell(given.pipe))


if __name__ == "__main__":
    sys.exit(_main())
