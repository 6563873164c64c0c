"""Keeps a handful of child processes alive until told to stop; it does not know what they are for."""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

POLL_SECONDS = 0.2
FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0
# A child that has lived this long is well again: its next death counts as the first.
SETTLED_SECONDS = 10.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None

Say = Callable[[str], None]


class AlreadyRunning(Exception):
    """Another process holds the lock file."""


class ChildFailed(Exception):
    """A child ended, or stayed silent too long, before it was ready for the first time."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep alive; `env` is its whole environment.

    `ready` tells whether it can be used (None: as soon as it runs); `pid_file` holds its process id
    and is written anew at each restart.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    ready: Callable[[], bool] | None = None
    pid_file: Path | None = None
    ready_seconds: float = 60.0


def say_on_stderr(line: str) -> None:
    """One line on stderr; a terminal that has gone away must not keep the children from being stopped."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def die_with_parent(parent: int, death_signal: signal.Signals = signal.SIGKILL) -> None:
    """To be called in a child just after the fork: the kernel signals it when `parent` ends.

    Linux alone can do this; elsewhere nothing happens. The kernel watches the thread that forked,
    so the fork has to come from one that lives as long as the process.
    """
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    # The parent may have ended between the fork and the line above, which then never fires.
    if os.getppid() != parent:
        os._exit(1)


def spawn_bound(
    command: Sequence[str], death_signal: signal.Signals = signal.SIGKILL, **popen: Any
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own that gets `death_signal` when this process ends.

    A terminal's Ctrl-C does not reach it: the caller stops it, when and in which order it likes.
    """
    parent = os.getpid()
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        # Only the system call runs between fork and exec, so threads of this process do no harm.
        preexec_fn=lambda: die_with_parent(parent, death_signal),  # noqa: PLW1509
        **popen,
    )


@contextlib.contextmanager
def exclusive(lock_file: Path) -> Iterator[None]:
    """Hold the lock file; the kernel lets it go however this process ends. Raises AlreadyRunning."""
    with lock_file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunning(f"process {lock.read().strip() or 'unknown'} holds {lock_file}") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


@dataclass(slots=True)
class _Post:
    """A child's place: the process that fills it now, and when the next one may start."""

    child: Child
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    next_start: float = 0.0

    def fill(self) -> None:
        self.process = spawn_bound(self.child.command, env=dict(self.child.env))
        self.started = time.monotonic()
        if self.child.pid_file:
            _write_pid(self.child.pid_file, self.process.pid)

    def bury(self) -> float:
        """Clear away what the dead process left and return the seconds until the next start."""
        assert self.process is not None
        # A web server's orphaned workers would keep its port from the next one.
        _kill_session(self.process.pid)
        now = time.monotonic()
        self.deaths = 1 if now - self.started > SETTLED_SECONDS else self.deaths + 1
        delay = restart_delay(self.deaths)
        self.process, self.next_start = None, now + delay
        return delay


def restart_delay(deaths: int) -> float:
    """Seconds to wait before the start that follows the `deaths`-th quick death in a row (from 1)."""
    return min(FIRST_DELAY * 2.0 ** min(deaths - 1, 10), LONGEST_DELAY)


class Supervisor:
    """Starts children in order, restarts those that die, stops all in reverse order.

    Single-threaded, and to be run in the main thread: it takes the stop signals for its time.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        stop_seconds: float = 10.0,
        say: Say = say_on_stderr,
    ) -> None:
        self._posts = [_Post(child) for child in children]
        self._stop_seconds = stop_seconds
        self._say = say
        self._stop_requests = 0

    def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Start all, call `on_ready`, keep all alive until SIGINT, SIGTERM or SIGHUP, stop all.

        A second signal cuts the waiting short. Raises ChildFailed when a child does not come up
        at the first start; the others are stopped then too.
        """
        with self._taking_stop_signals():
            try:
                self._start()
                if on_ready and not self._stop_requests:
                    on_ready()
                while not self._stop_requests:
                    self._revive()
                    time.sleep(POLL_SECONDS)
            finally:
                self._stop()

    @contextlib.contextmanager
    def _taking_stop_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._on_stop_signal) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_requests += 1

    def _is_pressed(self) -> bool:
        """Whether a second signal asks for an end at once."""
        return self._stop_requests > 1

    def _start(self) -> None:
        for post in self._posts:
            if self._stop_requests:
                return
            try:
                post.fill()
            except (OSError, subprocess.SubprocessError) as error:
                raise ChildFailed(f"{post.child.name} cannot be started: {error}") from None
            self._await_ready(post)

    def _await_ready(self, post: _Post) -> None:
        child, process = post.child, post.process
        assert process is not None
        deadline = time.monotonic() + child.ready_seconds
        while child.ready and not self._stop_requests:
            if process.poll() is not None:
                raise ChildFailed(f"{child.name} {_ending(process)} before it was ready")
            if child.ready():
                return
            if time.monotonic() > deadline:
                raise ChildFailed(f"{child.name} was not ready within {child.ready_seconds:g} s")
            time.sleep(POLL_SECONDS / 4)

    def _revive(self) -> None:
        for post in self._posts:
            if post.process is None:
                self._refill(post)
            elif post.process.poll() is not None:
                ending = _ending(post.process)
                self._say(f"{post.child.name} {ending}; starting it again in {post.bury():g} s")

    def _refill(self, post: _Post) -> None:
        if time.monotonic() < post.next_start:
            return
        try:
            post.fill()
        except (OSError, subprocess.SubprocessError) as error:
            # Out of processes or memory for the moment: the other children must not pay for it.
            post.next_start = time.monotonic() + LONGEST_DELAY
            self._say(f"{post.child.name} cannot be started ({error}); next try in {LONGEST_DELAY:g} s")

    def _stop(self) -> None:
        for post in reversed(self._posts):
            if post.process is not None:
                self._end(post.child.name, post.process)
            if post.child.pid_file:
                post.child.pid_file.unlink(missing_ok=True)

    def _end(self, name: str, process: subprocess.Popen[bytes]) -> None:
        # TERM goes to the leader alone, which knows how to let its own children finish.
        process.terminate()
        deadline = time.monotonic() + self._stop_seconds
        while process.poll() is None and time.monotonic() < deadline and not self._is_pressed():
            time.sleep(POLL_SECONDS / 10)
        if process.poll() is None:
            self._say(f"{name} does not stop: killing it")
        _kill_session(process.pid)
        process.wait()


def _write_pid(path: Path, pid: int) -> None:
    """Written aside and renamed, so that a reader never finds the file empty."""
    aside = path.with_name(f"{path.name}.new")
    aside.write_text(f"{pid}\n")
    aside.replace(path)


def _ending(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _kill_session(leader: int) -> None:
    """KILL the group that `leader` leads and, on Linux, whatever else belongs to its session.

    A job worker's fork moves to a process group of its own, but stays in the session.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for pid in _session_members(leader):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _session_members(leader: int) -> list[int]:
    """Process ids of the living members of a session, from /proc; empty where there is no /proc."""
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # After the command in brackets, which may hold anything: state, parent, group, session.
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(session) == leader and state not in "ZX":
            members.append(int(entry.name))
    return members
